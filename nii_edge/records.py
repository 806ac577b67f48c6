"""The words of the system, as frozen records. They know nothing of who makes or carries them.

Coordinates are pixels of the frame, x to the right (columns), y down (rows), half-open boxes
``(x0, y0, x1, y1)``. Times ending in ``_ns`` are Unix time in nanoseconds and are annotations only:
order comes from sequence numbers, durations from monotonic clocks.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.generic]
else:  # a scanner's side, which speaks these records too, need not have NumPy
    Pixels = Any
"""Shape (height, width, channels); uint8, uint16 or float32; read-only."""

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""A name of an edge, scanner, detector or label: letters, digits, dot, dash, underscore."""
Epoch = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Seq = Annotated[int, Meta(ge=1, le=2**53 - 1)]
ViewIndex = Annotated[int, Meta(ge=0, le=7)]
Risk = Annotated[float, Meta(ge=0, le=100)]
Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]{16,128}$")]

Channel = Literal["low", "high", "grey", "red", "green", "blue"]
"""`low` and `high`: detector counts (or transmission) of the two energies of a dual-energy scanner.
`grey`, `red`, `green`, `blue`: a picture made for an operator's display."""

DType = Literal["uint8", "uint16", "float32"]
"""Pixel type. float32 means transmission for `low`/`high` (0 opaque, 1 air) and 0-1 brightness for
display channels."""

Encoding = Literal["raw", "png", "jpeg", "tiff"]
"""`raw` is little-endian, row by row, channels interleaved: (height, width, channels)."""


class Decision(StrEnum):
    """The DICOS alarm decisions."""

    CLEAR = "CLEAR"
    ALARM = "ALARM"
    UNKNOWN = "UNKNOWN"


class Band(StrEnum):
    """What is to be done with a carton: let it pass, have a person look at the picture, open it."""

    CLEAR = "CLEAR"
    REVIEW = "REVIEW"
    REFER = "REFER"

    @property
    def rank(self) -> int:
        """The higher the more urgent."""
        return tuple(Band).index(self)


class ScanType(StrEnum):
    """The DICOS scan types. NON_OPERATIONAL scans (replays, tests) never drive a diverter."""

    OPERATIONAL = "OPERATIONAL"
    NON_OPERATIONAL = "NON_OPERATIONAL"


class Reason(StrEnum):
    """Why a scan is UNKNOWN, or why a message was refused. One list for the whole system."""

    # A scan is UNKNOWN because ...
    BAD_HEADER = "BAD_HEADER"  # its header names the scan but is otherwise wrong
    CORRUPT_FRAME = "CORRUPT_FRAME"  # size, checksum or encoded picture does not hold together
    NOT_FINITE = "NOT_FINITE"  # pixels hold NaN or infinity
    IMAGE_QUALITY = "IMAGE_QUALITY"  # blank, stuck or saturated: nothing can be seen in it
    PROFILE_MISMATCH = "PROFILE_MISMATCH"  # the frame is not what the scanner's profile promises
    MISSING_VIEW = "MISSING_VIEW"  # not all views arrived in time
    CUT = "CUT"  # its lines, or its frame, begin or end in mid-carton, or some were lost inside
    MERGED = "MERGED"  # two cartons too close to tell apart or in one frame, or one longer than any carton
    OVERLOAD = "OVERLOAD"  # no room or no time to look at it
    TIMEOUT = "TIMEOUT"  # the deadline passed before the detectors answered, or a CLEAR was written
    MODEL_FAULT = "MODEL_FAULT"  # the inference process died, hung or returned nonsense
    MODEL_UNTRUSTED = "MODEL_UNTRUSTED"  # a required model did not pass its golden frames
    LEDGER_FULL = "LEDGER_FULL"  # the ledger has no room for more records; nothing is CLEAR
    DISK_FULL = "DISK_FULL"  # the ledger's disk is full; nothing is CLEAR
    NOT_COVERED = "NOT_COVERED"  # a detector that CLEAR requires was not applicable
    CRASH = "CRASH"  # the daemon stopped between receipt and verdict
    SHUTDOWN = "SHUTDOWN"  # the daemon was told to stop and could not finish it
    NO_ANSWER = "NO_ANSWER"  # said by the client: no verdict within the deadline

    # A message is refused because ...
    MALFORMED = "MALFORMED"  # not a message of this protocol, or its identity cannot be read
    VERSION = "VERSION"  # a protocol version this side does not speak
    NOT_ALLOWED = "NOT_ALLOWED"  # its sender's key does not permit it: revoked, or another one's name
    UNKNOWN_SCANNER = "UNKNOWN_SCANNER"  # no such scanner in the configuration
    SEQ_REUSED = "SEQ_REUSED"  # this number was used for other content; the first verdict stands
    TOO_LARGE = "TOO_LARGE"  # over a size limit
    NOT_ARCHIVED = "NOT_ARCHIVED"  # said by the collector: no such record or picture


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all records: immutable, keyword-only, defaults are left out on the wire."""


class ScanId(Record, frozen=True, kw_only=True, order=True):
    """Which scan. `epoch` is the scanner's start, `seq` counts its scans from 1."""

    edge: Name
    scanner: Name
    epoch: Epoch
    seq: Seq

    def digest(self) -> bytes:
        """SHA-256 of the identity alone: the same for ever, whatever happens to the scan."""
        text = f"nii-edge scan\n{self.edge}\n{self.scanner}\n{self.epoch}\n{self.seq}"
        return hashlib.sha256(text.encode()).digest()

    @property
    def alert_id(self) -> str:
        """32 hex digits under which the scan's report travels, is archived and de-duplicated."""
        return self.digest()[:16].hex()

    @property
    def report_id(self) -> str:
        """The number to cite in papers: ``NII-XXXX-XXXX-XXXX-XXXX-C``, the last a check symbol."""
        return format_report_id(int.from_bytes(self.digest()[:10], "big"))

    def __str__(self) -> str:
        return f"{self.scanner}/{self.epoch}/{self.seq}"


_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32, https://www.crockford.com/base32.html: no I, L, O, U, so that none is misread."""


def format_report_id(number: int) -> str:
    """80 bits as ``NII-XXXX-XXXX-XXXX-XXXX-C`` in Crockford base 32. C is their Luhn mod 32 symbol, which
    catches every wrong symbol and nearly every swap of neighbours
    (https://en.wikipedia.org/wiki/Luhn_mod_N_algorithm)."""
    values = [(number >> shift) & 31 for shift in range(75, -5, -5)]
    digits = "".join(_ALPHABET[value] for value in values)
    groups = "-".join(digits[i : i + 4] for i in range(0, 16, 4))
    return f"NII-{groups}-{_ALPHABET[-_luhn_sum(values, first_factor=2) % 32]}"


def is_report_id(text: str) -> bool:
    """True if `text` is a report number whose check symbol is right; small letters are as good."""
    parts = text.upper().split("-")
    if [len(part) for part in parts] != [3, 4, 4, 4, 4, 1] or parts[0] != "NII":
        return False
    symbols = "".join(parts[1:])
    if any(symbol not in _ALPHABET for symbol in symbols):
        return False
    return _luhn_sum([_ALPHABET.index(symbol) for symbol in symbols], first_factor=1) % 32 == 0


def _luhn_sum(values: list[int], first_factor: int) -> int:
    """From the right, every second value doubled, the two base-32 digits of each product added."""
    total = 0
    for place, value in enumerate(reversed(values)):
        product = value * (first_factor if place % 2 == 0 else 3 - first_factor)
        total += product // 32 + product % 32
    return total


class Frame(Record, frozen=True, kw_only=True):
    """One X-ray view of one carton, as pixels, with what its profile says of them.

    `view_name` is the profile's name of the view, for people; empty if it has none.
    `full_scale`: the value of a pixel with nothing in the way: air counts, or display white.
    `opaque_below`: the fraction of `full_scale` at or below which this scanner shows nothing of what
    lies behind: a transmission for `low`/`high`, a brightness for display channels.
    """

    view: ViewIndex
    view_name: str = ""
    channels: tuple[Channel, ...]
    pixels: Pixels
    full_scale: float
    opaque_below: float


class Scan(Record, frozen=True, kw_only=True):
    """All views of one carton that arrived, in view order. `scale_kg`: what a scale weighed it with; None if
    none did."""

    id: ScanId
    scan_type: ScanType
    frames: tuple[Frame, ...]
    carton: str | None = None
    scale_kg: float | None = None


class Box(Record, frozen=True, kw_only=True):
    """A half-open box in pixels of one view."""

    view: ViewIndex
    x0: float
    y0: float
    x1: float
    y1: float


Kind = Literal["object", "anomaly", "manifest", "shielding", "quality"]
"""What sort of detector speaks. `shielding` (impenetrable areas) is counted apart from the others."""

Category = Literal["EXPLOSIVE", "PI", "CONTRABAND", "ANOMALY", "LAPTOP", "PHARMACEUTICAL", "OTHER"]
"""The DICOS threat categories (PI: prohibited item)."""


class Finding(Record, frozen=True, kw_only=True):
    """One thing a detector saw.

    `score` is in 0-1. `why` is one sentence for the person at the screen. `area_px` is the number of
    frame pixels the finding covers, 0 when only its box is known. `joint`: its score is the probability of
    all that its detector saw together; the detector's other findings are parts of it. `declared`: the line of
    the papers that it contradicts, as it was declared; empty if none is meant.
    """

    detector: Name
    kind: Kind
    label: Name
    category: Category
    score: float
    why: str
    box: Box | None = None
    area_px: int = 0
    joint: bool = False
    declared: str = ""


class Outcome(Record, frozen=True, kw_only=True):
    """What one detector says of one scan: `findings` (perhaps none: it looked and saw nothing), or why it is
    `not_applicable`, in words, with what it can tell all the same; or its `fault`: what broke, in words."""

    detector: Name
    findings: tuple[Finding, ...] = ()
    not_applicable: str | None = None
    fault: str | None = None


class Verdict(Record, frozen=True, kw_only=True):
    """The one answer to one scan. `reason` and `detail` are set if and only if it is UNKNOWN.

    `band` is CLEAR if and only if the decision is; None if whoever decided knew no bands. `risk` is 0-100, to
    order alerts by; None if nothing was found and not everything could be looked for. `rule`: which rule of
    the policy gave the band, in words. `chapters` of the Harmonized System that are declared, 0 for goods
    without a code; empty if no papers are known.
    """

    id: ScanId
    scan_type: ScanType
    decision: Decision
    reason: Reason | None = None
    detail: str = ""
    findings: tuple[Finding, ...] = ()
    not_applicable: tuple[str, ...] = ()
    policy: str = ""
    models: tuple[str, ...] = ()
    carton: str | None = None
    band: Band | None = None
    risk: Risk | None = None
    rule: str = ""
    chapters: tuple[Annotated[int, Meta(ge=0, le=99)], ...] = ()

    def __post_init__(self) -> None:
        if (self.decision is Decision.UNKNOWN) != (self.reason is not None):
            raise ValueError(f"a reason goes with UNKNOWN and only with it: {self.decision} {self.reason}")
        if self.band is not None and (self.band is Band.CLEAR) != (self.decision is Decision.CLEAR):
            raise ValueError(f"the band CLEAR goes with CLEAR and only with it: {self.decision} {self.band}")


class Report(Record, frozen=True, kw_only=True):
    """What the centre hears of one scan. An alert when ALARM or UNKNOWN, a small record when CLEAR.

    `frames` are the digests of the pixels, one for each view that arrived. `preview` is the SHA-256 of
    the preview picture, which travels as a message of its own; absent when there is none.
    """

    alert_id: Hex
    report_id: str
    verdict: Verdict
    received_at_ns: int
    decided_at_ns: int
    frames: tuple[str, ...] = ()
    preview: Hex | None = None


def gap_id(edge: str, scanner: str, epoch: int, first: int) -> str:
    """The alert id of a gap."""
    return hashlib.sha256(f"nii-edge gap\n{edge}\n{scanner}\n{epoch}\n{first}".encode()).digest()[:16].hex()


def recall_id(scan: ScanId) -> str:
    """The alert id of a recall."""
    text = f"nii-edge recall\n{scan.edge}\n{scan.scanner}\n{scan.epoch}\n{scan.seq}"
    return hashlib.sha256(text.encode()).digest()[:16].hex()


class Gap(Record, frozen=True, kw_only=True):
    """Sequence numbers a scanner skipped, both ends included: cartons nobody has seen.

    `scan_type` is that of the scan whose number revealed it.
    """

    edge: Name
    scanner: Name
    epoch: Epoch
    first: Seq
    last: Seq
    noticed_at_ns: int
    scan_type: ScanType = ScanType.OPERATIONAL

    @property
    def alert_id(self) -> str:
        """32 hex digits, from scanner, epoch and the first missing number."""
        return gap_id(self.edge, self.scanner, self.epoch, self.first)


class Recall(Record, frozen=True, kw_only=True):
    """An earlier scan whose carton should be looked at after all. The scan's verdict and every balance stay.

    `scan` is the earlier one, `because` the scan that made it look odd; `finding` says what is odd now.
    `band` and `risk` as in `Verdict`, of this finding alone.
    """

    scan: ScanId
    scan_type: ScanType
    carton: str | None = None
    because: ScanId
    finding: Finding
    noticed_at_ns: int
    band: Band | None = None
    risk: Risk | None = None

    @property
    def alert_id(self) -> str:
        """32 hex digits, from the earlier scan's identity: a scan is recalled once."""
        return recall_id(self.scan)


class Preview(Record, frozen=True, kw_only=True):
    """A picture of an alert with its findings drawn in. `sha256` is that of `data`."""

    sha256: Hex
    media_type: str
    data: bytes


def preview_of(data: bytes, media_type: str) -> Preview:
    """`data` with its SHA-256."""
    return Preview(sha256=hashlib.sha256(data).hexdigest(), media_type=media_type, data=data)
