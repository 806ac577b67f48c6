"""Scenes to scans with everything that is true of them: the work of one worker, from a seed alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.errors import SceneError
from nii_edge.simulate import goods, threats
from nii_edge.simulate.calibrated import Calibrated, calibrated, upright
from nii_edge.simulate.consignment import Story, make_consignment
from nii_edge.simulate.display import draw_display, render_jpeg
from nii_edge.simulate.framing import ALWAYS_WHOLE, Framing, Shows, both, cut_at, framed
from nii_edge.simulate.judging import faults
from nii_edge.simulate.luggage import make_luggage
from nii_edge.simulate.materials import DENSITIES
from nii_edge.simulate.papers import Fault, MasterBill
from nii_edge.simulate.planes import mean_rest
from nii_edge.simulate.project import Footprint, footprint
from nii_edge.simulate.recipe import Recipe
from nii_edge.simulate.scan import ScannedView, check_fit, cut, scan, visibility
from nii_edge.simulate.scanner import VirtualScanner
from nii_edge.simulate.scene import Placed, Role, Scene, Truth, all_placed, set_down, truths
from nii_edge.simulate.shapes import rotation
from nii_edge.simulate.threats import bottles
from nii_edge.xray.material import look_up_z
from nii_edge.xray.transmission import apply

Kind = Literal["consignment", "luggage"]
Wanted = Literal["nothing", "labelled", "everything"]
Rgb = npt.NDArray[np.uint8]

LABELS = threats.LABELS
"""What is annotated, in the order of category ids from 1."""
SHOWN: frozenset[Role] = frozenset({"threat", "hidden", "parcel", "shielding"})
"""Roles in which a thing with such a label is annotated."""
SEEN_SIGMA = 0.6
"""A thing whose median pixel changes by less than this many standard deviations counts as not to be seen: an
eye or a network averages over some 5 x 5 pixels."""
TRIES = 30


class Job(NamedTuple):
    """What one worker is asked for. The result depends on nothing else. `pictures`: as a maker shows them;
    `seen`: what is annotated in the views, nothing, what has a label, or every thing there is; `framing`:
    how often cartons are cut and merged."""

    recipe: Recipe
    kind: Kind
    seed: int
    number: int
    scanner: str | None  # one of the recipe's; None for any of them
    pictures: bool
    seen: Wanted = "labelled"
    framing: Framing = ALWAYS_WHOLE


class Seen(NamedTuple):
    """One annotated thing in one view, in pixels of the frame. `label`: None for what has none.

    `sigma`: how far its median pixel stands out from the noise. `cover`: g/cm² of everything else on the
    same rays, on average: how deep in the stack it lies. `mask`: (height, width) within `box`. `lawful`:
    goods or clutter of such a shape, which a detector cannot tell from what is prohibited.
    """

    thing: int
    label: str | None
    role: Role
    family: str
    box: tuple[int, int, int, int]
    mask: npt.NDArray[np.bool_]
    sigma: float
    cover: float
    declared: bool
    lawful: bool

    @property
    def visible(self) -> bool:
        """Whether it can be seen at all."""
        return self.sigma >= SEEN_SIGMA


class Shot(NamedTuple):
    """One view: `counts` (height, width, 2), columns are lines; `picture` as a maker's display shows it, of
    another size; None if not asked for."""

    counts: npt.NDArray[np.uint16]
    seen: tuple[Seen, ...]
    picture: bytes | None
    picture_size: tuple[int, int]
    display: str


class Framed(NamedTuple):
    """What the scanner sent as one carton: a shot for each view, and which of the job's cartons they show.
    Of two, the things of the second count on behind those of the first (`Seen.thing`)."""

    shots: tuple[Shot, ...]
    cartons: tuple[int, ...]
    shows: Shows


class Passed(NamedTuple):
    """One carton (or one stretch of luggage). `lie` and `faults` are None and empty where it may pass."""

    truth: tuple[Truth, ...]
    lie: Story | None
    faults: frozenset[Fault]


class Made(NamedTuple):
    """What a job came to: what passed the scanner, and what it sent. `master` is None for luggage."""

    job: Job
    scanner: str
    story: str
    master: MasterBill | None
    cartons: tuple[Passed, ...]
    scans: tuple[Framed, ...]


def produce(job: Job) -> Made:
    """Do one job.

    Raises:
        SceneError: nothing that the recipe makes fits the scanner.
    """
    kinds: tuple[Kind, ...] = ("consignment", "luggage")
    for attempt in range(TRIES):
        rng = np.random.default_rng((job.seed, kinds.index(job.kind), job.number, attempt))
        makes = [make for make in job.recipe.makes() if job.scanner in (None, make.name)]
        scanner = makes[int(rng.integers(len(makes)))]
        try:
            return (
                _consignment(job, scanner, rng) if job.kind == "consignment" else _luggage(job, scanner, rng)
            )
        except SceneError:  # too large for this tunnel: the next attempt draws anew
            continue
    raise SceneError(
        f"{job.kind} {job.number}: in {TRIES} tries nothing fitted the tunnel; make `litres` or bags smaller"
    )


def _consignment(job: Job, scanner: VirtualScanner, rng: np.random.Generator) -> Made:
    made = make_consignment(job.recipe.for_consignments(), rng, DENSITIES)
    scenes = [_centred(carton.scene, scanner) for carton in made.cartons]
    cartons = [
        Passed(truths(scene, DENSITIES), carton.lie, faults(carton.scene, made.master.lines_of(k), DENSITIES))
        for k, (carton, scene) in enumerate(zip(made.cartons, scenes, strict=True))
    ]
    scans = _scans(job, scenes, calibrated(scanner), rng)
    return Made(job, scanner.name, made.story, made.master, tuple(cartons), tuple(scans))


def _luggage(job: Job, scanner: VirtualScanner, rng: np.random.Generator) -> Made:
    scene = _centred(make_luggage(job.recipe.for_luggage(), rng), scanner)
    scans = _scans(job._replace(framing=ALWAYS_WHOLE), [scene], calibrated(scanner), rng)
    passed = Passed(truths(scene, DENSITIES), None, frozenset())
    return Made(job, scanner.name, "luggage", None, (passed,), tuple(scans))


def _scans(job: Job, scenes: Sequence[Scene], unit: Calibrated, rng: np.random.Generator) -> list[Framed]:
    """What the scanner sends of cartons that pass one behind the other. How it frames them is drawn apart,
    so that the cartons are the same however often they are cut and merged."""
    own = rng.spawn(1)[0]
    found = []
    for cartons, shows in framed(len(scenes), job.framing, own):
        scene = scenes[cartons[0]] if len(cartons) == 1 else both(scenes[cartons[0]], scenes[cartons[1]], own)
        views = scan([placed.thing for placed in scene.things], unit.scanner, rng)
        parts = cut(views, cut_at(own)) if shows == "cut" else (views,)
        found += [Framed(_shots(job, scene, part, unit, rng), cartons, shows) for part in parts]
    return found


def _centred(scene: Scene, scanner: VirtualScanner) -> Scene:
    """The scene in the middle of the belt, turned by a quarter if it fits only so. Raises SceneError."""
    for turn in (False, True):
        candidate = _quarter(scene) if turn else scene
        middle = candidate.size[1] / 2
        moved = Scene(tuple(all_placed(candidate.things, (0, -middle, 0))))
        try:
            check_fit([placed.thing for placed in moved.things], scanner)
        except SceneError as error:
            reason = error
            continue
        return moved
    raise reason


def _quarter(scene: Scene) -> Scene:
    return Scene(tuple(set_down(scene.things, rotation("z", 90.0))))


def _shots(
    job: Job, scene: Scene, views: Sequence[ScannedView], unit: Calibrated, rng: np.random.Generator
) -> tuple[Shot, ...]:
    shots = []
    for index, view in enumerate(views):
        counts = upright(view.counts).astype(np.uint16, copy=False)
        seen = () if job.seen == "nothing" else _seen(job, scene.things, view, unit.scanner, index)
        picture, size, family = (None, (0, 0), "")
        if job.pictures:
            picture, size, family = _picture(job, counts, unit, index, rng)
        shots.append(Shot(counts, seen, picture, size, family))
    return tuple(shots)


def _seen(
    job: Job, things: Sequence[Placed], view: ScannedView, scanner: VirtualScanner, index: int
) -> tuple[Seen, ...]:
    """What is annotated in a view. A parcel's mask is that of its shell, filled."""
    found = []
    for number, placed in enumerate(things):
        label = shape_of(placed)
        if label is None and job.seen != "everything":
            continue
        print_ = footprint(placed.thing, scanner.views[index], view.projection.lines)
        if print_.areal.shape[1] == 0 or not print_.mask.any():
            continue
        found.append(_one_seen((number, placed, label), print_, view, scanner, index))
    return tuple(found)


def shape_of(placed: Placed) -> str | None:
    """What a thing is annotated as: prohibited and hidden things, and lawful ones of just the same shapes,
    made by the same makers. None for everything else, however like it looks."""
    if placed.role in SHOWN:
        return placed.thing.label if placed.thing.label in LABELS else None
    if placed.role == "goods":
        return goods.shape_of(placed.thing.family)
    return "bottle" if placed.role == "clutter" and placed.thing.family in bottles.FAMILIES else None


def _one_seen(
    what: tuple[int, Placed, str | None], own: Footprint, view: ScannedView, scanner: VirtualScanner,
    index: int,
) -> Seen:  # fmt: skip
    number, placed, label = what
    mask = own.mask
    sigma = float(np.median(visibility(view.projection, own, scanner, index)))
    height, width = mask.shape
    return Seen(
        thing=number,
        label=label,
        role=placed.role,
        family=placed.thing.family,
        box=(own.top, own.left, own.top + height, own.left + width),
        mask=upright(mask).astype(np.bool_, copy=False),
        sigma=sigma,
        cover=mean_rest(view.projection.areal[:, own.window[0], own.window[1]], own.areal, mask),
        declared=placed.declared,
        lawful=placed.role not in SHOWN,
    )


def _picture(
    job: Job, counts: npt.NDArray[np.uint16], unit: Calibrated, view: int, rng: np.random.Generator
) -> tuple[bytes, tuple[int, int], str]:
    """A JPEG as one of the recipe's displays shows the frame, its (height, width), and whose display."""
    families = job.recipe.display_families()
    display = draw_display(rng, families[int(rng.integers(len(families)))])
    optics = unit.optics[view]
    if optics.materials is None:
        raise SceneError(f"the wedges of {unit.scanner.name} make no table of materials")
    planes = apply(counts, unit.detectors[view])
    z = look_up_z(planes, optics.materials)
    opacity = -cv2.log(np.maximum(planes[1], np.float32(1e-6)))
    data, size = render_jpeg(np.stack([opacity, z]), display, rng)
    return data, size, display.family


def jobs(
    recipe: Recipe, seed: int, consignments: int, luggage: int, scanner: str | None, pictures: bool,
    seen: Wanted = "labelled", framing: Framing = ALWAYS_WHOLE,
) -> list[Job]:  # fmt: skip
    """All that is to be done, in order."""
    every: list[tuple[Kind, int]] = [("consignment", consignments), ("luggage", luggage)]
    return [
        Job(recipe, kind, seed, index, scanner, pictures, seen, framing)
        for kind, index in itertools.chain.from_iterable(
            ((kind, index) for index in range(count)) for kind, count in every
        )
    ]
