"""The error hierarchy. Every message says what was found, what was expected, where, and what to do.

::

    NiiEdgeError
    ├── ConfigError          a configuration, profile, policy or manifest is wrong; refused at the start
    │   ├── BundleError      a model bundle is incomplete, altered, or of the wrong form
    │   ├── CalibrationError a scanner's calibration cannot be made or used; carries a `CalibrationFault`
    │   └── ThreatError      a threat library is incomplete, altered, or of the wrong form
    ├── RuntimeMissingError  the asked-for inference runtime or device is not there
    ├── QuestionError        somebody asks, over HTTP, what cannot be understood
    ├── WireError            bytes from a peer are not a message of this protocol; carries a `Reason`
    ├── FrameError           a frame is not usable; carries the `Reason` of the UNKNOWN it leads to
    ├── DetectorFaultError   a detector broke its contract: wrong shape, values that are not finite
    ├── LedgerError          the ledger cannot be trusted or written; the daemon must stop
    │   ├── LedgerFullError      its disk is full; nothing of the commit was written
    │   └── LedgerDamagedError   what it holds is not what was written
    ├── ManifestError        a manifest file or the store of manifests cannot be read or written
    ├── DataError            labelled pictures cannot be read, or not one of them can be used
    ├── RecordingError       a recording, picture or array cannot be read
    └── SceneError           a simulated scene, material or scanner is not as it must be
"""

from __future__ import annotations

from enum import StrEnum

from nii_edge.records import Reason


class NiiEdgeError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(NiiEdgeError):
    """A configuration file is wrong: names the file, the path inside it, and what was expected."""


class BundleError(ConfigError):
    """A model bundle is incomplete, altered, or of the wrong form."""


class CalibrationFault(StrEnum):
    """Why a calibration is refused."""

    WRONG_WIDTH = "WRONG_WIDTH"  # made for another number of detector pixels
    STALE = "STALE"  # older than permitted, or from the future
    ENERGIES_SWAPPED = "ENERGIES_SWAPPED"  # the low channel lets more through than the high one
    PROFILE_MISMATCH = "PROFILE_MISMATCH"  # channels, belt axis, air level or scanner are not the profile's
    TOO_FEW_LINES = "TOO_FEW_LINES"  # too little was measured to tell signal from noise
    BAD_DETECTOR = "BAD_DETECTOR"  # too many pixels, or too many side by side, are dead, hot or noisy
    NOT_AIR = "NOT_AIR"  # something was in the beam, or the tube was off
    BAD_WEDGES = "BAD_WEDGES"  # step wedges are missing, too few, impossible, or contradict each other
    DAMAGED = "DAMAGED"  # the file is not what was written


class CalibrationError(ConfigError):
    """A calibration cannot be made from these measurements, or does not belong to this scanner."""

    def __init__(self, fault: CalibrationFault, detail: str) -> None:
        super().__init__(f"{fault.value}: {detail}")
        self.fault = fault
        self.detail = detail


class ThreatError(ConfigError):
    """A threat library is incomplete, altered, or of the wrong form."""


class RuntimeMissingError(NiiEdgeError):
    """The asked-for inference runtime, provider or device is not available on this machine."""


class QuestionError(NiiEdgeError):
    """A question over HTTP is not one; it says what was found and expected."""


class WireError(NiiEdgeError):
    """Bytes from a peer are not a message of this protocol.

    `reason` is what the peer is told in the `refused` reply.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


class FrameError(NiiEdgeError):
    """A frame whose scan is known cannot be used; its scan ends as UNKNOWN(`reason`)."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


class DetectorFaultError(NiiEdgeError):
    """A detector or its model broke its contract; the scan ends as UNKNOWN(MODEL_FAULT)."""


class LedgerError(NiiEdgeError):
    """The ledger cannot be trusted or written. Screening without it would lose verdicts, so stop."""


class LedgerFullError(LedgerError):
    """The ledger's disk is full. Nothing of the commit was written; with more room it may be tried again."""


class LedgerDamagedError(LedgerError):
    """What the ledger holds is not what was written into it."""


class RecordDamagedError(LedgerDamagedError):
    """Record `number` of an archive cannot be given any more; those before and after it can."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


class RecordingError(NiiEdgeError):
    """A recording, picture or array cannot be read as asked."""


class ManifestError(NiiEdgeError):
    """A manifest file, or the store of manifests, cannot be read or written. Nothing of it is guessed."""


class DataError(NiiEdgeError):
    """Labelled pictures cannot be read, or none of them can be used: says what was found and expected."""


class SceneError(NiiEdgeError):
    """A simulated scene does not fit its scanner, or names what there is not."""
