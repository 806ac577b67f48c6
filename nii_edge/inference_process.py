"""The inference process (``python -m nii_edge.inference_process``): loads the models, looks at scans.

Not for people: `nii-edge run` starts and watches it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, TypeAlias

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from nii_edge.adapters.array_files import read_arrays
from nii_edge.adapters.calibration_files import read_optics
from nii_edge.adapters.carton_reader import CartonReader
from nii_edge.adapters.normal_files import read_normal
from nii_edge.adapters.sqlite_manifests import ManifestReader
from nii_edge.bundle import Bundle, load_bundle
from nii_edge.config import Inference, load
from nii_edge.detect import normal, shapes
from nii_edge.detect.carton_fit import CartonFit, from_arrays
from nii_edge.detect.declared import contradicted
from nii_edge.detect.heads import output_names
from nii_edge.detect.manifest import NO_SITE, NOBODY, Compared, Fitted, Lane, ManifestDetector, Rules, Told
from nii_edge.detect.model_detector import ModelDetector, check_golden
from nii_edge.edge import children
from nii_edge.edge.inference import look
from nii_edge.edge.jobs import (
    JOBS_AHEAD,
    CartonTraits,
    Failed,
    Job,
    JobDone,
    ManifestSetup,
    Ready,
    Setup,
    ViewBlocks,
)
from nii_edge.edge.oddities import LABEL as ODD_LABEL
from nii_edge.edge.slots import SlotView
from nii_edge.errors import BundleError, NiiEdgeError
from nii_edge.papers import NoRead, Papers
from nii_edge.policy import chapters_of
from nii_edge.ports import Detector, Runtime
from nii_edge.records import ScanId
from nii_edge.regime import Regime
from nii_edge.signing import Signers, read_seal
from nii_edge.xray.optics import Optics

Line: TypeAlias = "Connection[bytes, bytes]"
Values = npt.NDArray[np.float64]


def open_runtime(bundle: Bundle, settings: Inference) -> Runtime:
    """The bundle's model, loaded by the runtime its format and the configuration ask for.

    Raises:
        RuntimeMissingError, BundleError: it cannot run here, or not with these settings.
    """
    outputs = output_names(bundle.manifest.output)
    if bundle.manifest.format == "torch-export":
        if settings.runtime != "torch":
            raise BundleError(
                f"{bundle.folder}: a torch-export bundle needs `inference: {{runtime: torch}}`; such files "
                "can carry code, so `run` takes them only with `allow_torch: true`"
            )
        from nii_edge.adapters import torch_runtime

        return torch_runtime.load(bundle.model, bundle.manifest.input, settings, outputs)
    from nii_edge.adapters import onnx_runtime

    return onnx_runtime.load(bundle.model, bundle.manifest.input, settings, outputs)


def open_detector(
    name: str, folder: Path, settings: Inference, lanes: Mapping[str, tuple[Optics, ...]] | None = None,
    signers: Signers = None,
) -> tuple[ModelDetector, Runtime, Bundle]:  # fmt: skip
    """The detector `name` from its bundle; `lanes` by scanner what is known of each of its views. Raises what
    `load_bundle` and `open_runtime` raise."""
    bundle = load_bundle(folder, read_seal(folder, signers))
    runtime = open_runtime(bundle, settings)
    return ModelDetector(bundle, runtime, name, settings.batch, lanes), runtime, bundle


def open_shapes(
    folder: Path, settings: Inference, lanes: Mapping[str, tuple[Optics, ...]], signers: Signers = None
) -> tuple[ModelDetector, Bundle]:
    """The detector in `folder`, whose shapes are to be evidence. Raises what `open_detector` raises, and
    BundleError if its classes are others."""
    detector, _, bundle = open_detector("manifest", folder, settings, lanes, signers)
    words = shapes.unfit(bundle)
    if words is not None:
        raise BundleError(f"{folder}: {words}; shapes of other classes are no evidence here")
    return detector, bundle


def read_fit(path: Path, signers: Signers) -> tuple[CartonFit, str]:
    """What the manifest verifier was fitted to, and its SHA-256. Raises BundleError."""
    arrays, digest = read_arrays(path, read_seal(path, signers))
    return from_arrays(arrays), digest


class Verifier(NamedTuple):
    """The manifest verifier, what verdicts cite of it, what its detector's golden frames say against it."""

    detector: ManifestDetector
    models: tuple[str, ...]
    problems: tuple[str, ...]


def open_manifest(
    setup: ManifestSetup,
    lanes: Mapping[str, tuple[Optics, ...]],
    find: Callable[[str], Papers | None],
    settings: Inference,
    told: Told = NOBODY,
) -> Verifier:
    """The manifest verifier, which looks papers up by `find`. Raises ConfigError, BundleError,
    RuntimeMissingError."""
    fit, digest = read_fit(Path(setup.fit), setup.signers)
    fitted = Fitted(fit, CartonReader(fit.network.tobytes()))
    known = {name: Lane(setup.profiles[name], optics) for name, optics in lanes.items()}
    regime = load(Path(setup.regime), Regime)
    site, models = NO_SITE, [f"manifest@{regime.name}#{digest[:12]}"]
    if setup.normal is not None:
        bundle = read_normal(Path(setup.normal), digest, setup.signers)
        site = normal.from_arrays(bundle.arrays)
        models.append(bundle.id)
    seeing, problems = None, list[str]()
    if setup.detector is not None:
        seeing, seen = open_shapes(Path(setup.detector), settings, lanes, setup.signers)
        if fit.detector != seen.manifest.sha256:
            way = f"with {fit.detector[:12]}" if fit.detector else "without a detector"
            raise BundleError(
                f"{setup.fit} was fitted {way}, `manifest.detector` is {model_id(seen)}; name the one "
                "that it was fitted with, or fit again (nii-edge fit-cartons)"
            )
        problems = check_golden(seeing, seen)
        seeing = seeing.glancing().lowered(shapes.LOWEST)
        models.append(model_id(seen))
    rules = Rules(regime, setup.scale, NoRead(setup.no_read))
    detector = ManifestDetector(known, find, rules, fitted, setup.prior, site, told, seeing)
    return Verifier(detector, tuple(models), tuple(problems))


def model_id(bundle: Bundle) -> str:
    """Name, version and the beginning of the hash, as verdicts cite it."""
    manifest = bundle.manifest
    return f"{manifest.name}@{manifest.model_version}#{manifest.sha256[:12]}"


def inference(connection: Line, setup: Setup) -> None:
    """Load every bundle, prove each on its golden frames, then look at scans until told to end."""
    # jobs are prepared beside each other, and beside the daemon, which checks their frames
    cv2.setNumThreads(max(1, setup.inference.threads // JOBS_AHEAD))
    slots = SlotView(setup.shared_fd, setup.slots, setup.slot_bytes)
    detectors: list[Detector] = []
    models, untrusted, devices = [], {}, []
    traits: dict[ScanId, CartonTraits] = {}
    chapters: dict[ScanId, tuple[int, ...]] = {}

    def measured(scan: ScanId, papers: Papers, found: Compared, ways: Values) -> None:
        traits[scan] = CartonTraits(
            master_bill=papers.master_bill,
            values=tuple(found.traits.tolist()),
            ways=tuple(ways.tolist()),
            views=tuple(ViewBlocks.of(each) for each in found.blocks),
            declared=contradicted(ODD_LABEL, papers),
            size=found.size,
        )

    def declared(scan: ScanId, papers: Papers) -> None:
        chapters[scan] = chapters_of(papers)

    try:
        lanes = {
            scanner: tuple(read_optics(Path(file), lane.penetration_limit) for file in lane.files)
            for scanner, lane in setup.calibrations.items()
        }
        for name, folder in setup.bundles.items():
            detector, runtime, bundle = open_detector(
                name, Path(folder), setup.inference, lanes, setup.signers
            )
            problems = check_golden(detector, bundle)
            if problems:
                untrusted[name] = "; ".join(problems)[:300]
            detectors.append(detector)
            models.append(model_id(bundle))
            devices.append(runtime.device)
        if setup.manifest is not None:
            reader = ManifestReader(Path(setup.manifest.store))
            verifier = open_manifest(
                setup.manifest, lanes, reader.find, setup.inference, Told(measured, declared)
            )
            if verifier.problems:
                untrusted["manifest"] = "; ".join(verifier.problems)[:300]
            detectors.append(verifier.detector)
            models += verifier.models
    except NiiEdgeError as error:
        children.tell(connection, Failed(error=str(error)))
        return
    device = ", ".join(sorted(set(devices)))
    children.tell(connection, Ready(device=device, models=tuple(models), untrusted=untrusted))

    def answer(job: Job) -> JobDone:
        done = look(job, detectors, slots)
        return msgspec.structs.replace(
            done,
            traits=tuple(traits.pop(scan.id, None) for scan in job.scans),
            chapters=tuple(chapters.pop(scan.id, ()) for scan in job.scans),
        )

    children.serve(connection, Job, answer, at_once=JOBS_AHEAD)


def main() -> None:
    """Entry point."""
    inference(*children.enter())


if __name__ == "__main__":
    main()
