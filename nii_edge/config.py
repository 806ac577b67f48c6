"""YAML files to frozen trees. Unknown and repeated keys are refused; errors name file and path.

Paths in a file are relative to the file's own folder.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import msgspec.inspect
import yaml
from msgspec import Meta
from msgspec.inspect import DictType, EnumType, LiteralType

from nii_edge.addresses import is_local
from nii_edge.errors import ConfigError
from nii_edge.records import Category, Channel, DType, Kind, Name

Positive = Annotated[int, Meta(ge=1)]
Unit = Annotated[float, Meta(ge=0, le=1)]
Endpoint = Annotated[str, Meta(pattern=r"^(tcp|ipc)://.+$")]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every configuration record."""


# ---- scanner profiles -------------------------------------------------------------------------


class Format(Config, frozen=True, kw_only=True):
    """One kind of picture a scanner may send. The first one listed is the default.

    `air`: counts of a `low`/`high` pixel with nothing in the beam, after offset correction (uint16), 1.0
    for float32 transmission. `white`: the value of a white display pixel. One of the two, by channel.
    """

    channels: tuple[Channel, ...]
    dtype: DType
    air: Annotated[float, Meta(gt=0)] | None = None
    white: Annotated[float, Meta(gt=0)] | None = None

    @property
    def is_counts(self) -> bool:
        """True for detector counts or transmission, False for a display picture."""
        return self.channels[0] in ("low", "high")

    def __post_init__(self) -> None:
        allowed: tuple[tuple[Channel, ...], ...] = (
            ("low", "high"), ("high",), ("low",), ("grey",), ("red", "green", "blue"),
        )  # fmt: skip
        if self.channels not in allowed:
            raise ValueError(f"channels {list(self.channels)}; expected one of {[list(a) for a in allowed]}")
        if self.is_counts and (self.air is None or self.white is not None):
            raise ValueError("low/high channels need `air` (and no `white`)")
        if not self.is_counts and (self.white is None or self.air is not None):
            raise ValueError("display channels need `white` (and no `air`)")


Millimetres = Annotated[float, Meta(gt=0, le=100_000)]


class LineScan(Config, frozen=True, kw_only=True):
    """How the lines of a line scanner become cartons; see `nii_edge.edge.lines`.

    A line of the belt is `line_pitch_mm` long and `counts_per_line` encoder counts. `view_offsets_mm`: how
    far along the belt each view stands. `barrier`: lines carry the light barrier's bits. A pixel below
    `threshold` of air is dark, a line with `dark_pixels` of them is inside a carton. Runs and holes up to
    `debounce_lines` are noise; up to `skip_lines` lines that the belt was too fast for are filled in.
    Cartons nearer than `min_gap_mm`, or longer than `max_length_mm`, are MERGED.
    """

    line_pitch_mm: Millimetres
    counts_per_line: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    view_offsets_mm: tuple[Annotated[float, Meta(ge=0, le=100_000)], ...] = (0.0,)
    barrier: bool = False
    threshold: Annotated[float, Meta(gt=0, lt=1)] = 0.9
    dark_pixels: Annotated[int, Meta(ge=1, le=65_535)] = 4
    debounce_lines: Annotated[int, Meta(ge=1, le=100)] = 3
    skip_lines: Annotated[int, Meta(ge=0, le=100)] = 1
    min_length_mm: Millimetres = 50.0
    max_length_mm: Millimetres = 1_200.0
    min_gap_mm: Millimetres = 50.0
    margin_mm: Annotated[float, Meta(ge=0, le=1_000)] = 8.0

    def lines(self, mm: float) -> int:
        """The nearest whole number of belt lines."""
        return round(mm / self.line_pitch_mm)

    def __post_init__(self) -> None:
        gap = self.lines(self.min_gap_mm)
        if gap <= 2 * self.lines(self.margin_mm) or gap <= 2 * self.debounce_lines:
            raise ValueError(
                f"`min_gap_mm` is {gap} lines: it must be more than two margins and than two `debounce_lines`"
            )
        if not self.debounce_lines < self.lines(self.min_length_mm) < self.lines(self.max_length_mm):
            raise ValueError("`min_length_mm` must be over `debounce_lines` and below `max_length_mm`")
        if self.lines(self.max_length_mm) + 2 * gap > 65_535:
            raise ValueError("`max_length_mm` and two gaps must not be over 65,535 lines")


Millimetre = Annotated[float, Meta(ge=-100_000, le=100_000)]


class ViewGeometry(Config, frozen=True, kw_only=True):
    """Where one view's source and detector stand, in mm across the belt (from its middle) and up from it, as
    in the scanner's installation drawing. `source_mm` is null for parallel rays; `detector_mm`: the corners
    of its panels, in the order of its pixels, of `pitch_mm` each; every `card` pixels (0: never) there is a
    dead stretch of `gap_mm`."""

    source_mm: tuple[Millimetre, Millimetre] | None
    detector_mm: tuple[tuple[Millimetre, Millimetre], ...]
    pitch_mm: Annotated[float, Meta(gt=0, le=1_000)]
    card: Annotated[int, Meta(ge=0, le=65_535)] = 0
    gap_mm: Annotated[float, Meta(ge=0, le=1_000)] = 0.0

    def __post_init__(self) -> None:
        ends = list(zip(self.detector_mm, self.detector_mm[1:], strict=False))
        if not ends or any(one == other for one, other in ends):
            raise ValueError("`detector_mm` needs two corners or more, each another place")
        if self.source_mm in self.detector_mm:
            raise ValueError(f"the source {self.source_mm} stands in the detector")


class Profile(Config, frozen=True, kw_only=True):
    """What is true of every frame of one make and set-up of scanner, so its headers need not say it.

    With `line_scan` it sends lines as the belt moves, otherwise whole frames. `geometry`, one for each view,
    is what mass and size in true units need. `shows`: what a frame does, a stretch of belt with whatever lies
    on it, or one whole carton with belt before and behind it: then CUT and MERGED are told apart.
    """

    version: Literal[1]
    name: str
    views: tuple[Name, ...]
    formats: tuple[Format, ...]
    pixel_pitch_mm: tuple[Annotated[float, Meta(gt=0)], Annotated[float, Meta(gt=0)]] | None
    belt_axis: Literal["rows", "columns"]
    palette: Literal["none", "orange-green-blue", "grey"]
    penetration_limit: Annotated[float, Meta(gt=0, lt=1)]
    black_level: Annotated[float, Meta(gt=0, lt=1)]
    line_scan: LineScan | None = None
    geometry: tuple[ViewGeometry, ...] | None = None
    shows: Literal["belt", "carton"] = "belt"

    def __post_init__(self) -> None:
        if not self.views or len(self.views) > 8 or not self.formats:
            raise ValueError("a profile needs 1 to 8 views and at least one format")
        raw = all(form.is_counts and form.dtype != "float32" for form in self.formats)
        if self.shows == "carton" and not raw:
            raise ValueError("`shows: carton` needs formats of raw counts alone: no pictures and no float32")
        if self.geometry is not None and len(self.geometry) != len(self.views):
            raise ValueError(f"`geometry` is of {len(self.geometry)} views; there are {len(self.views)}")
        if self.line_scan is None:
            return
        offsets = self.line_scan.view_offsets_mm
        if len(offsets) != len(self.views):
            raise ValueError(f"`view_offsets_mm` has {len(offsets)} offsets for {len(self.views)} views")
        if self.shows == "carton":
            raise ValueError(
                "`shows: carton` is for frames; cartons are cut out of lines as `line_scan` says"
            )
        if self.belt_axis != "rows":
            raise ValueError("lines become the rows of a frame: with `line_scan`, `belt_axis` is rows")

    def format_for(self, channels: tuple[Channel, ...] | None, dtype: DType | None) -> Format | None:
        """The first format with these channels and dtype; None stands for "as the profile says"."""
        for form in self.formats:
            if channels in (None, form.channels) and dtype in (None, form.dtype):
                return form
        return None


# ---- bundles ----------------------------------------------------------------------------------

FrontEndChannel = Literal[
    "opacity",
    "transmission_low",
    "transmission_high",
    "effective_z",
    "areal_density",
    "grey",
    "red",
    "green",
    "blue",
]
"""What the front end can make of a frame for a model; see `nii_edge.xray.frontend`."""


class ModelInput(Config, frozen=True, kw_only=True):
    """The model's one input tensor: float32, shape (batch, channels, height, width).

    The frame, or with `crop: content` what of it is not empty belt, is resized to fit `size` (height,
    width), `letterbox` keeping its proportions and filling with `pad` at right and bottom. Then
    ``(value - mean) / std`` per channel. Content that is much longer than wide is cut into up to `pieces`
    overlapping ones, each an input of its own. Each input is looked at `looks` times, turned and mirrored,
    and scores are the means.
    """

    name: str
    channels: tuple[FrontEndChannel, ...]
    size: tuple[Positive, Positive]
    fit: Literal["letterbox", "stretch"] = "letterbox"
    crop: Literal["none", "content"] = "none"
    pieces: Annotated[int, Meta(ge=1, le=16)] = 1
    looks: Literal[1, 2, 4, 8] = 1
    pad: float = 0.0
    mean: tuple[float, ...] = ()
    std: tuple[Annotated[float, Meta(gt=0)], ...] = ()
    batch: bool = True

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) != len(self.channels):
                raise ValueError(f"`{name}` has {len(values)} values for {len(self.channels)} channels")
        if self.pieces > 1 and (self.crop != "content" or self.fit != "letterbox"):
            raise ValueError("`pieces` above 1 needs `crop: content` and `fit: letterbox`")
        if self.looks > 1 and self.size[0] != self.size[1]:
            raise ValueError(f"`looks` {self.looks} needs a square `size`: the input is turned by quarters")


class BoxesHead(Config, frozen=True, kw_only=True, tag="boxes", tag_field="head"):
    """Three tensors per picture as torchvision exports them: boxes (n, 4) in input pixels, scores (n,),
    labels (n,) counting the background as 0 when `background`. `apart`: of two boxes of a label that overlap
    by more (IoU) once all looks agree, the less sure one is dropped; 1 keeps all."""

    boxes: str
    scores: str
    labels: str
    background: bool = True
    apart: Unit = 1.0


class GridHead(Config, frozen=True, kw_only=True, tag="grid", tag_field="head"):
    """YOLO-style: one tensor (batch, 4 + classes, anchors), boxes centre x, y, width, height in input
    pixels, scores already in 0-1; with `objectness` (batch, 5 + classes, anchors). NMS is done here."""

    output: str
    objectness: bool = False
    transposed: bool = False
    nms_iou: Unit = 0.5
    max_boxes: Positive = 300


class QueriesHead(Config, frozen=True, kw_only=True, tag="queries", tag_field="head"):
    """DETR-style: logits (batch, queries, classes), boxes (batch, queries, 4) centre x, y, width, height
    as fractions of the input. `softmax` with a last "no object" class, or `sigmoid` per class."""

    logits: str
    boxes: str
    activation: Literal["softmax", "sigmoid"] = "softmax"


class DenseHead(Config, frozen=True, kw_only=True, tag="dense", tag_field="head"):
    """A map of scores in 0-1 per label: (batch, labels, height / stride, width / stride). Connected areas
    at or above the label's threshold, of at least `min_area` (a fraction of the frame), are findings."""

    output: str
    min_area: Annotated[float, Meta(ge=0, lt=1)] = 0.0


Head = BoxesHead | GridHead | QueriesHead | DenseHead


class Label(Config, frozen=True, kw_only=True):
    """One thing the model tells apart. Below `threshold` nothing is reported; `why` may use {score},
    {percent} (of the frame) and {view}."""

    name: Name
    category: Category
    threshold: Unit
    why: Annotated[str, Meta(max_length=200)]


class BundleManifest(Config, frozen=True, kw_only=True):
    """`bundle.yaml`: everything needed to run and trust one model."""

    version: Literal[1]
    name: Name
    model_version: str
    description: str
    licence: str
    kind: Kind
    format: Literal["onnx", "torch-export"]
    model: str
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    input: ModelInput
    output: Head
    labels: tuple[Label, ...]
    golden: str

    def __post_init__(self) -> None:
        if not self.labels or len({label.name for label in self.labels}) != len(self.labels):
            raise ValueError("`labels` must hold at least one label, each name once")
        if (self.input.pieces > 1 or self.input.looks > 1) and isinstance(self.output, DenseHead):
            raise ValueError("`pieces` or `looks` above 1 need a head that gives boxes: areas are not joined")


# ---- edge -------------------------------------------------------------------------------------


class Listen(Config, frozen=True, kw_only=True):
    """Where the daemon binds. `insecure: true` permits plain TCP on other than the loopback without keys."""

    scanners: Endpoint
    verdicts: Endpoint
    tap: Endpoint | None = None
    insecure: bool = False


Overload = Literal["refer", "block"]


class SelfTestDuty(Config, frozen=True, kw_only=True):
    """How often a lane's test piece must be scanned. `histories`: the files that `nii-edge scanner self-test`
    adds its results to. `piece`: the test piece, whose limits their trend is held against."""

    histories: Annotated[tuple[str, ...], Meta(min_length=1, max_length=8)]
    hours: Annotated[float, Meta(gt=0, le=8_760)] = 24.0
    piece: str | None = None


class ScannerEntry(Config, frozen=True, kw_only=True):
    """One scanner lane. `overload`: what happens to a scan that finds no room (see `edge.admission.Lane`).
    `calibration`: a file for each view, in their order (`nii-edge scanner calibrate`); null if the scanner
    corrects its counts itself. Older than `calibration_hours` they are refused. `self_test`: null if nobody
    needs to be reminded of it."""

    profile: str
    overload: Overload = "refer"
    calibration: tuple[str, ...] | None = None
    calibration_hours: Annotated[float, Meta(gt=0)] = 168.0
    self_test: SelfTestDuty | None = None


class DetectorEntry(Config, frozen=True, kw_only=True):
    """One detector: a model bundle."""

    bundle: str


class Inference(Config, frozen=True, kw_only=True):
    """The inference process. `batch`: most frames in one run. `slots`: frames held in shared memory."""

    runtime: Literal["onnx", "torch"] = "onnx"
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    allow_cpu: bool = False
    allow_torch: bool = False
    threads: Annotated[int, Meta(ge=1, le=256)] = 2
    batch: Annotated[int, Meta(ge=1, le=64)] = 4
    slots: Annotated[int, Meta(ge=2, le=4096)] = 32
    start_timeout_ms: Positive = 60_000


class LedgerBudget(Config, frozen=True, kw_only=True):
    """How much the ledger may hold. Records are kept until the collector has had them for
    `retention_hours`; at `max_entries` CLEAR stops. `ballast_mb` is space kept back for the last verdicts
    on a full disk."""

    retention_hours: Annotated[float, Meta(ge=0, le=87_600)] = 168
    max_entries: Annotated[int, Meta(ge=1_000)] = 5_000_000
    picture_mb: Annotated[int, Meta(ge=0, le=1_000_000)] = 2_048
    ballast_mb: Annotated[int, Meta(ge=0, le=10_000)] = 64


class HealthServer(Config, frozen=True, kw_only=True):
    """Where /livez, /readyz, /metrics, /status and /ledger/ are served; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 9464


class Security(Config, frozen=True, kw_only=True):
    """Keys: who we are (`key`, a secret key file) and who may talk to us (`allow`, a list of public keys).

    All sockets want keys then; `loopback: open` excepts those that only this machine can reach.
    """

    key: str
    allow: str
    loopback: Literal["locked", "open"] = "locked"


class CollectorLink(Config, frozen=True, kw_only=True):
    """The collector this edge reports to. `server_key`: its public key, as a file. `key`: our secret key
    file; `security.key` if left out."""

    endpoint: Endpoint
    server_key: str | None = None
    key: str | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        if self.server_key is None and not self.insecure and not is_local(self.endpoint):
            raise ValueError(
                f"{self.endpoint} is another machine: give the collector's `server_key`, or say "
                "`insecure: true` if the network is yours alone"
            )


class ThreatProjection(Config, frozen=True, kw_only=True):
    """Threats from a `library` (a folder) are projected into copies of a share `rate` of operational scans,
    to see how many are found. `labels`: which findings count for a threat's label; any if not listed."""

    library: str
    rate: Annotated[float, Meta(gt=0, le=1)] = 0.01
    labels: dict[Name, tuple[Name, ...]] = {}


class ScaleCheck(Config, frozen=True, kw_only=True):
    """How far a carton's weights may be apart, where the scanner sends what a scale says.

    `error_kg` and `error` (a share): how far the scale may be off; `declared`: how far the papers may be, as
    a share of what they say; `sigmas`: how many standard deviations of their own error X-rays may be.
    """

    error_kg: Annotated[float, Meta(ge=0, le=100)] = 0.1
    error: Annotated[float, Meta(ge=0, le=1)] = 0.01
    declared: Annotated[float, Meta(ge=0, le=1)] = 0.1
    sigmas: Annotated[float, Meta(gt=0, le=20)] = 4.0


class SameLayout(Config, frozen=True, kw_only=True):
    """Cartons packed alike under other goods, detector `layout`. `nearer`: how alike (0: the same);
    `remembered`: the last so many cartons are compared; the more, the more often honest ones are alike by
    chance."""

    nearer: Annotated[float, Meta(gt=0, le=5)] = 0.27
    remembered: Annotated[int, Meta(ge=2, le=10_000)] = 1_000


class ManifestCheck(Config, frozen=True, kw_only=True):
    """The manifest verifier, detector `manifest`. `store`: what `nii-edge manifest import` wrote; `regime`:
    the rules; `fit`: what `nii-edge fit-cartons` wrote; `normal`: the folder that `nii-edge learn-normal`
    wrote, null if the site has learned nothing yet; `detector`: the bundle whose shapes are evidence, the one
    that `fit` was fitted with, null to do without; `prior`: the share of cartons that the site expects not to
    be what they say; `from_collector`: take what the collector has of manifests into the store, too;
    `scale`: what a weight by the belt's scale is held against; `same_layout`: whether cartons of other
    master bills are compared; null: they are not."""

    store: str
    regime: str
    fit: str
    normal: str | None = None
    detector: str | None = None
    prior: Annotated[float, Meta(gt=0, lt=1)] = 0.02
    from_collector: bool = True
    scale: ScaleCheck = ScaleCheck()
    same_layout: SameLayout | None = None


class Barcodes(Config, frozen=True, kw_only=True):
    """Barcodes that pass twice, detector `barcode`. `twice_minutes`: within so many another scan of one is
    told. `no_read`: what readers say when they read none, in any case. `review_lanes`: scanners that
    cartons come to a second time; what passes there is neither compared nor remembered."""

    twice_minutes: Annotated[float, Meta(gt=0, le=10_080)] = 60.0
    no_read: tuple[str, ...] = ("NOREAD", "NO READ", "NO_READ", "NR", "ERROR", "?", "???")
    review_lanes: tuple[Name, ...] = ()


class Log(Config, frozen=True, kw_only=True):
    """Logs go to stderr, one line an event."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class EdgeConfig(Config, frozen=True, kw_only=True):
    """`edge.yaml`. `signers`: a list of public keys (nii-edge keys); then only models run that one of them
    has signed (nii-edge models sign). null: anybody's."""

    version: Literal[1]
    edge: Name
    state_dir: str
    listen: Listen
    scanners: dict[Name, ScannerEntry]
    detectors: dict[Name, DetectorEntry]
    policy: str
    signers: str | None = None
    deadline_ms: Annotated[int, Meta(ge=10, le=60_000)] = 500
    view_timeout_ms: Annotated[int, Meta(ge=1, le=60_000)] = 1_000
    drain_ms: Annotated[int, Meta(ge=0, le=600_000)] = 5_000
    max_frame_bytes: Annotated[int, Meta(ge=1024, le=1 << 30)] = 64 << 20
    inference: Inference = Inference()
    ledger: LedgerBudget = LedgerBudget()
    health: HealthServer | None = HealthServer()
    security: Security | None = None
    collector: CollectorLink | None = None
    tip: ThreatProjection | None = None
    manifest: ManifestCheck | None = None
    barcodes: Barcodes | None = None
    log: Log = Log()

    def __post_init__(self) -> None:
        if not self.scanners or not (self.detectors or self.manifest):
            raise ValueError("`scanners` needs at least one entry, so does `detectors` without `manifest`")
        listen, link = self.listen, self.collector
        for name in ("manifest", "anomaly", "layout"):  # the latter compare what the verifier measured
            if self.manifest is not None and name in self.detectors:
                raise ValueError(f"`detectors.{name}` and `manifest` would be two detectors of one name")
        self._check_barcodes()
        if self.security is None:
            _refuse_open_bind(listen.insecure, listen.scanners, listen.verdicts, listen.tap)
        if link is not None and link.server_key and not link.key and self.security is None:
            raise ValueError("`collector.server_key` needs our own `collector.key` or `security.key`")
        if self.health is not None:
            _refuse_open_bind(self.listen.insecure, f"tcp://{self.health.host}:{self.health.port}")

    def _check_barcodes(self) -> None:
        if self.barcodes is None:
            return
        if "barcode" in self.detectors:
            raise ValueError("`detectors.barcode` and `barcodes` would be two detectors of one name")
        for lane in sorted(set(self.barcodes.review_lanes) - set(self.scanners)):
            names = ", ".join(sorted(self.scanners))
            raise ValueError(f"`barcodes.review_lanes`: {lane!r} is not in `scanners`; they are {names}")


class CollectorConfig(Config, frozen=True, kw_only=True):
    """`collector.yaml`. `manifests`: the store of manifests that edges may ask for; null: none."""

    version: Literal[1]
    archive: str
    edges: Endpoint
    subscribers: Endpoint
    manifests: str | None = None
    insecure: bool = False
    security: Security | None = None
    log: Log = Log()

    def __post_init__(self) -> None:
        if self.security is None:
            _refuse_open_bind(self.insecure, self.edges, self.subscribers)


def _refuse_open_bind(insecure: bool, *endpoints: str | None) -> None:
    for endpoint in endpoints:
        if endpoint and not insecure and not is_local(endpoint):
            raise ValueError(
                f"{endpoint} is plain TCP that other machines can reach; bind 127.0.0.1, give keys "
                "(`security`), or say `insecure: true` if the network is yours alone"
            )


# ---- loading ----------------------------------------------------------------------------------


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key said twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise ConfigError(f"line {line}: key {key!r} stands here a second time")
            seen.add(key)
        return super().construct_mapping(node, deep)


C = TypeVar("C", bound=Config)


def load(path: Path, kind: type[C], checked: Callable[[bytes], None] = lambda _: None) -> C:
    """Read the YAML file `path` as a `kind`, its bytes after they were `checked`.

    Raises:
        ConfigError: names the file, the path inside it (``$.listen.tap``), and what was expected.
    """
    try:
        data = path.read_bytes()
        checked(data)
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        tree = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path}: not a plain YAML mapping: {error}") from error
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}{_meant(str(error), kind)}") from error


def _meant(said: str, kind: type[msgspec.Struct]) -> str:
    """The keys that are like the one nobody knows, for a person who misspelt it; or the values that may stand
    where another one does."""
    unknown = re.search(r"unknown field `([^`]*)`", said)
    if unknown is None:
        values = _values_at(said, msgspec.inspect.type_info(kind))
        several = f"one of {', '.join(values)}" if len(values) > 2 else " or ".join(values)
        return f"; expected {several}" if values else ""
    like = difflib.get_close_matches(
        unknown[1], sorted(_keys(msgspec.inspect.type_info(kind), set())), 3, 0.5
    )
    return f"; did you mean {' or '.join(like)}?" if like else ""


def _values_at(said: str, root: msgspec.inspect.Type) -> list[str]:
    """The few values that are allowed at the place that an error names, ``$.views[0].name``; none where it
    may be many."""
    place = re.search(r" - at (`key` in )?`\$([^`]*)`$", said)
    if place is None:
        return []
    nodes = _alternatives(root)
    for name in re.findall(r"\.([^.\[]+)|\[[^\]]*\]", place[2]):
        nodes = [one for node in nodes for inner in _within(node, name) for one in _alternatives(inner)]
    if place[1]:
        nodes = [key for node in nodes if isinstance(node, DictType) for key in _alternatives(node.key_type)]
    values: list[object] = []
    for node in nodes:
        if isinstance(node, LiteralType):
            values += node.values
        elif isinstance(node, EnumType):
            values += [member.value for member in node.cls]
    return sorted(set(map(str, values)))


def _alternatives(node: msgspec.inspect.Type) -> list[msgspec.inspect.Type]:
    return list(node.types) if isinstance(node, msgspec.inspect.UnionType) else [node]


def _within(node: msgspec.inspect.Type, name: str) -> list[msgspec.inspect.Type]:
    """What the field `name` of a record may be, or without one the entries of a list or mapping."""
    if isinstance(node, msgspec.inspect.StructType) and name:
        tags = [LiteralType((node.tag,))] if name == node.tag_field and isinstance(node.tag, str) else []
        return [*tags, *(field.type for field in node.fields if field.encode_name == name)]
    if isinstance(node, DictType):
        return [node.value_type]
    if isinstance(node, msgspec.inspect.TupleType):
        return list(node.item_types)
    return [node.item_type] if isinstance(node, msgspec.inspect.CollectionType) else []


def _keys(node: object, seen: set[type]) -> set[str]:
    """All keys of a configuration, at any depth."""
    found: set[str] = set()
    if isinstance(node, msgspec.inspect.StructType):
        if node.cls in seen:
            return found
        seen.add(node.cls)
        for field in node.fields:
            found |= {field.encode_name} | _keys(field.type, seen)
    elif isinstance(node, msgspec.inspect.UnionType):
        for one in node.types:
            found |= _keys(one, seen)
    elif isinstance(node, msgspec.inspect.DictType):
        found |= _keys(node.value_type, seen)
    elif isinstance(node, msgspec.inspect.CollectionType):
        found |= _keys(node.item_type, seen)
    return found
