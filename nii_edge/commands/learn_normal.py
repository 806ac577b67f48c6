"""`nii-edge learn-normal`: recordings of honest cartons to a bundle of what is normal for their goods."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec
import numpy as np
from rich.console import Console

from nii_edge.adapters.array_files import read_arrays
from nii_edge.adapters.calibration_files import read_optics
from nii_edge.adapters.mcap_recording import McapSource
from nii_edge.adapters.normal_files import NormalManifest, write_normal
from nii_edge.adapters.sqlite_manifests import ManifestReader
from nii_edge.commands.recorded_scans import Key, LeftOutError, Why, frames_of, scans_of
from nii_edge.commands.sight import Eyes, Sight
from nii_edge.compose import calibration_files_of
from nii_edge.config import EdgeConfig, Profile, load
from nii_edge.detect import anomaly, mass, normal
from nii_edge.detect.carton_fit import from_arrays
from nii_edge.detect.manifest import Lane
from nii_edge.errors import ConfigError, DataError, DetectorFaultError, FrameError
from nii_edge.papers import Papers
from nii_edge.ports import SourceFrame
from nii_edge.records import Decision, Name
from nii_edge.xray import whole
from nii_edge.xray.carton import measure, missing

Told: TypeAlias = Callable[[str, int, int], None]

ODD_AT = 0.01
"""A carton that at most this share of honest ones would be as odd as, among those of its master bill, teaches
nothing: whoever put it there may want it to."""
MOST_TOLD = 3
"""Cartons left out for each reason that are told in words; all are counted."""
MOST_PROBLEMS = 20
"""Problems of recordings that are told."""


class Request(NamedTuple):
    """The command's options. `all_verdicts`: cartons that were no CLEAR when they were recorded, too."""

    config: Path
    recordings: Sequence[Path]
    out: Path
    name: str
    all_verdicts: bool


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What --json prints. `scans` = `learned` + all `skipped`; `headings`, `chapters`: consignments by these;
    `norms`, `bank`: whether there was enough for them; `problems`: damage of the recordings."""

    out: str
    name: str
    sha256: str
    scans: int
    learned: int
    consignments: int
    headings: dict[str, int]
    chapters: dict[str, int]
    norms: bool
    bank: bool
    skipped: dict[str, int]
    examples: list[str]
    damaged: int
    problems: list[str]


class _Pupil(NamedTuple):
    """A carton that may teach. `traits` as `anomaly.TRAITS`."""

    barcode: str
    group: str
    lesson: normal.Lesson
    traits: anomaly.Values


class _Class:
    """Cartons as they are read, and those left out."""

    def __init__(
        self, lanes: Mapping[str, Lane], papers: ManifestReader, masses: mass.MassModel, sight: Sight
    ) -> None:
        self._lanes, self._papers, self._masses, self._sight = lanes, papers, masses, sight
        self.pupils: dict[str, _Pupil] = {}
        self.skipped: Counter[Why] = Counter()
        self.examples: list[str] = []

    def leave_out(self, name: str, why: Why, detail: str) -> None:
        """One more that teaches nothing."""
        self.skipped[why] += 1
        if self.skipped[why] <= MOST_TOLD:
            self.examples.append(f"{name}: {why}: {detail}"[:300])

    def take(self, key: Key, frames: Sequence[SourceFrame], *, clear: bool) -> None:
        """One scan. Raises ManifestError: the store cannot be read."""
        try:
            if not clear:
                raise LeftOutError("not_clear", "it was no CLEAR when it was recorded")
            pupil = self._pupil(key[0], frames)
        except LeftOutError as reason:
            self.leave_out("/".join(map(str, key)), reason.why, str(reason))
            return
        self.pupils[pupil.barcode] = pupil

    def _pupil(self, scanner: str, frames: Sequence[SourceFrame]) -> _Pupil:
        lane = self._lanes.get(scanner)
        if lane is None:
            raise LeftOutError("other_lane", f"{scanner} is no calibrated lane of this configuration")
        papers = self._papers_of(frames[0].header.carton)
        shown = frames_of(lane.profile, frames)
        lack = missing(lane.profile, lane.optics, shown)
        if lack is not None:
            raise LeftOutError("cannot_weigh", lack)
        for frame in shown:
            flaw = whole.problem(frame, lane.profile, lane.optics[frame.view].detector)
            if flaw is not None:
                raise LeftOutError("bad_frame", f"{flaw[0]}: {flaw[1]}")
        try:
            measures = measure(lane.profile, lane.optics, shown, self._sight.read)
        except (FrameError, DetectorFaultError) as error:
            raise LeftOutError("bad_frame", str(error)) from error
        if measures is None or not measures.finite:
            raise LeftOutError("nothing_seen", "the frames show no carton that can be measured")
        measures = mass.weighed(self._masses, measures)
        if not measures.finite:
            raise LeftOutError("bad_frame", "its mass cannot be put right by this fit")
        try:
            seen = self._sight.look(scanner, lane.optics, shown)
        except DetectorFaultError as error:
            raise LeftOutError("bad_frame", str(error)) from error
        lesson = normal.lesson(measures, papers, seen)
        if lesson.entry is None and lesson.sample is None:
            raise LeftOutError("several_goods", "its lines are of several headings, or of none")
        return _Pupil(papers.barcode, papers.master_bill, lesson, anomaly.traits(measures, papers, seen))

    def _papers_of(self, barcode: str | None) -> Papers:
        if not barcode:
            raise LeftOutError("no_barcode", "nobody can tell which papers are its")
        if barcode in self.pupils:
            raise LeftOutError("seen_before", f"carton {barcode} has taught already")
        papers = self._papers.find(barcode)
        if papers is None:
            raise LeftOutError("no_papers", f"carton {barcode} is not in the store")
        if papers.problems:
            raise LeftOutError("bad_papers", f"carton {barcode}: {', '.join(papers.problems)}")
        if not papers.master_bill:
            raise LeftOutError("no_master_bill", f"carton {barcode}: its consignment is not known")
        return papers


def learn(request: Request, told: Told) -> Summary:
    """Learn from recordings and write the bundle. `told` hears which recording is how far, in frames.

    Raises:
        ConfigError: an option is wrong, or the configuration has no `manifest` or cannot be read.
        RecordingError: a recording cannot be read at all. DataError: too few consignments for anything.
    """
    _check_target(request.out, request.name)
    config = load(request.config, EdgeConfig)
    here = request.config.resolve().parent
    if config.manifest is None:
        raise ConfigError(f"{request.config}: `manifest` is null; goods are known by the papers in its store")
    arrays, fit_digest = read_arrays(here / config.manifest.fit)
    fit = from_arrays(arrays)
    looks = config.manifest.detector
    sight = Sight(Eyes(here / config.manifest.fit, None if looks is None else here / looks))
    damage: list[str] = []
    with closing(ManifestReader(here / config.manifest.store)) as papers:
        cartons = _Class(_lanes(config, here), papers, fit.mass, sight)
        for path in request.recordings:
            damage += _read(path, cartons, request.all_verdicts, told)
    _leave_out_odd(cartons, fit.null)
    pupils = list(cartons.pupils.values())
    site = normal.learn([each.lesson for each in pupils])
    groups = {each.group for each in pupils}
    if site.norms is None and site.bank is None:
        left = ", ".join(f"{count} {why}" for why, count in cartons.skipped.items()) or "none"
        such = f"; such as {cartons.examples[0]}" if cartons.examples else ""
        raise DataError(
            f"{len(pupils)} cartons of {len(groups)} consignments are too few: norms of chapters need 3 "
            f"consignments, a bank of headings 5; left out: {left}{such}"
        )
    headings = _count([(each.lesson.entry.heading, each.group) for each in pupils if each.lesson.entry])
    manifest = NormalManifest(
        version=1,
        name=request.name,
        sha256="0" * 64,
        fit=fit_digest,
        cartons=len(pupils),
        consignments=len(groups),
        headings=headings,
        recordings=tuple(path.name for path in request.recordings),
        skipped=dict(sorted(cartons.skipped.items())),
    )
    written = write_normal(request.out, manifest, normal.to_arrays(site))
    return Summary(
        out=str(request.out),
        name=request.name,
        sha256=written.manifest.sha256,
        scans=len(pupils) + cartons.skipped.total(),
        learned=len(pupils),
        consignments=len(groups),
        headings=headings,
        chapters=_count(
            [(str(each.lesson.sample.chapter), each.group) for each in pupils if each.lesson.sample]
        ),
        norms=site.norms is not None,
        bank=site.bank is not None,
        skipped=written.manifest.skipped,
        examples=cartons.examples,
        damaged=len(damage),
        problems=damage[:MOST_PROBLEMS],
    )


def _check_target(out: Path, name: str) -> None:
    """Raises ConfigError before any work is done, not after it."""
    try:
        msgspec.convert(name, Name)
    except msgspec.ValidationError as error:
        raise ConfigError(f"--name {name!r}: {error}") from error
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out}: is there already; a daemon may run with it, so name a new folder")


def _lanes(config: EdgeConfig, here: Path) -> dict[str, Lane]:
    """Lanes with a calibration, however old: it is to be that of the time of the recording."""
    profiles = {name: load(here / entry.profile, Profile) for name, entry in config.scanners.items()}
    return {
        name: Lane(profiles[name], tuple(read_optics(Path(f), lane.penetration_limit) for f in lane.files))
        for name, lane in calibration_files_of(config, profiles, here).items()
    }


def _read(path: Path, cartons: _Class, all_verdicts: bool, told: Told) -> list[str]:
    """All scans of one recording; what is damaged in it."""
    source = McapSource(path)
    clear: dict[Key, bool] = {}
    if not all_verdicts:
        for heard in source.verdicts():
            clear[heard.scanner, heard.epoch, heard.seq] = heard.decision is Decision.CLEAR
    damage = list(source.problems)
    total = max(len(source), 1)
    done = 0
    for key, frames in scans_of(source):
        cartons.take(key, frames, clear=clear.get(key, True))
        done += len(frames)
        told(path.name, min(done, total), total)
    told(path.name, total, total)
    return list(dict.fromkeys([*damage, *source.problems]))


def _leave_out_odd(cartons: _Class, null: anomaly.Null) -> None:
    """Cartons unlike the others of their master bill teach nothing."""
    groups: dict[str, list[_Pupil]] = defaultdict(list)
    for pupil in cartons.pupils.values():
        groups[pupil.group].append(pupil)
    for group, pupils in groups.items():
        for pupil in pupils:
            others = np.array([each.traits for each in pupils if each is not pupil])
            if len(others) < anomaly.TEACHERS:
                continue
            odd = anomaly.oddity(null, pupil.traits, others)
            if odd.chance <= ODD_AT:
                del cartons.pupils[pupil.barcode]
                cartons.leave_out(pupil.barcode, "odd", f"unlike the others of {group}, most in {odd.trait}")


def _count(found: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Consignments by heading or chapter."""
    return dict(sorted(Counter(name for name, _ in set(found)).items()))


def show(summary: Summary, console: Console) -> None:
    """The result for a person."""
    console.print(
        f"{summary.out}: learned from {summary.learned} of {summary.scans} cartons, {summary.consignments} "
        f"consignments of {len(summary.headings)} headings; set `manifest.normal` in edge.yaml to it",
        markup=False,
        highlight=False,
    )
    if not summary.norms or not summary.bank:
        lack = "a bank of headings, which needs 5" if summary.norms else "norms of chapters, which need 3"
        console.print(f"too few consignments for {lack}", style="yellow", markup=False)
    for why, count in summary.skipped.items():
        console.print(f"  left out, {why}: {count}", markup=False, highlight=False)
    for words in (*summary.examples, *summary.problems):
        console.print(f"    {words}", style="dim", markup=False, highlight=False)
