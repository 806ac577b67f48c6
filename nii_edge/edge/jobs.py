"""What the daemon and its child processes say to each other: msgpack over a socket pair, pixels by slot."""

from __future__ import annotations

import msgspec
import numpy as np

from nii_edge.config import Barcodes, Inference, Profile, ScaleCheck
from nii_edge.detect.heat import Blocks, Box
from nii_edge.records import Channel, DType, Encoding, Outcome, Reason, ScanId, ScanType

JOBS_AHEAD = 2
"""Jobs at the inference process, which works on all of them at once."""


class LaneFiles(msgspec.Struct, frozen=True, kw_only=True):
    """One scanner's calibration files, one for each view, and the transmission it sees nothing below."""

    files: tuple[str, ...]
    penetration_limit: float


class ManifestSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What the manifest verifier needs: its files, the site's prior, the lanes' profiles, and the folders of
    what is normal and of the detector whose shapes are evidence, if there are any. `signers` as in
    `Setup`; `scale` as in `ManifestCheck`, `no_read` as in `Barcodes`."""

    store: str
    regime: str
    fit: str
    prior: float
    profiles: dict[str, Profile]
    normal: str | None = None
    detector: str | None = None
    signers: tuple[str, ...] | None = None
    scale: ScaleCheck = ScaleCheck()
    no_read: tuple[str, ...] = Barcodes().no_read


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """First message to a child: the shared memory it inherits, and what it is to be. `signers`: public
    keys of those whose models may run, None: anybody's."""

    shared_fd: int
    slots: int
    slot_bytes: int
    bundles: dict[str, str] = {}  # detector name -> bundle folder
    inference: Inference = Inference()
    calibrations: dict[str, LaneFiles] = {}  # by scanner, those that have any
    manifest: ManifestSetup | None = None
    signers: tuple[str, ...] | None = None


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The inference process is up. `models`: name@version#sha256 of what is loaded. `untrusted`: why a
    detector did not pass its golden frames, by detector; no scan may be CLEAR while one is listed."""

    device: str
    models: tuple[str, ...]
    untrusted: dict[str, str]


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The child cannot do its work and ends, and why."""

    error: str


class JobFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One view in shared memory: little-endian, shape (height, width, channels)."""

    view: int
    view_name: str
    slot: int
    shape: tuple[int, int, int]
    dtype: DType
    channels: tuple[Channel, ...]
    full_scale: float
    opaque_below: float


class JobScan(msgspec.Struct, frozen=True, kw_only=True):
    """One scan to be looked at. `scale_kg`: as in `Scan`."""

    id: ScanId
    scan_type: ScanType
    carton: str | None
    frames: tuple[JobFrame, ...]
    scale_kg: float | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A batch of scans."""

    number: int
    scans: tuple[JobScan, ...]


class ViewBlocks(msgspec.Struct, frozen=True, kw_only=True):
    """`detect.heat.Blocks`: `values` are `shape` (rows, columns, features) bytes."""

    view: int
    box: Box
    shape: tuple[int, int, int]
    values: bytes

    @classmethod
    def of(cls, blocks: Blocks) -> ViewBlocks:
        """To be sent."""
        rows, columns, features = blocks.values.shape
        return cls(
            view=blocks.view, box=blocks.box, shape=(rows, columns, features), values=blocks.values.tobytes()
        )

    def blocks(self) -> Blocks:
        """As they were sent."""
        return Blocks(self.view, self.box, np.frombuffer(self.values, np.uint8).reshape(self.shape))


class CartonTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What cartons are compared in: `values` as `detect.anomaly.TRAITS`, `size` in kilograms and litres, and
    its `views` in blocks; `ways`: the log-odds of each way to lie (`detect.fusion.Weighed`); `declared`: the
    line of its papers, in words."""

    master_bill: str
    values: tuple[float, ...]
    ways: tuple[float, ...]
    views: tuple[ViewBlocks, ...] = ()
    declared: str = ""
    size: tuple[float, float] = (0.0, 0.0)


class JobDone(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a `Job`: the outcomes of every detector, what was measured, and the chapters that are
    declared (as in `Verdict`), scan by scan."""

    number: int
    outcomes: tuple[tuple[Outcome, ...], ...]
    traits: tuple[CartonTraits | None, ...] = ()
    chapters: tuple[tuple[int, ...], ...] = ()


class DecodeJob(msgspec.Struct, frozen=True, kw_only=True):
    """An encoded picture lies in the first `size` bytes of `slot`."""

    slot: int
    size: int
    encoding: Encoding


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a `DecodeJob`: the pixels now lie in the slot; or why not, in words."""

    shape: tuple[int, int, int] = (0, 0, 0)
    dtype: DType = "uint8"
    reason: Reason | None = None
    detail: str = ""
