"""The error hierarchy. Every message says what was found, what was expected, where, and what to do.

::

    NiiEdgeError
    ├── ConfigError          a configuration, profile, policy or manifest is wrong; refused at the start
    │   ├── BundleError      a model bundle is incomplete, altered, or of the wrong form
    │   └── ThreatError      a threat library is incomplete, altered, or of the wrong form
    ├── RuntimeMissingError  the asked-for inference runtime or device is not there
    ├── WireError            bytes from a peer are not a message of this protocol; carries a `Reason`
    ├── FrameError           a frame is not usable; carries the `Reason` of the UNKNOWN it leads to
    ├── DetectorFaultError   a detector broke its contract: wrong shape, values that are not finite
    ├── LedgerError          the ledger cannot be trusted or written; the daemon must stop
    │   ├── LedgerFullError      its disk is full; nothing of the commit was written
    │   └── LedgerDamagedError   what it holds is not what was written
    └── RecordingError       a recording, picture or array cannot be read
"""

from __future__ import annotations

from nii_edge.records import Reason


class NiiEdgeError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(NiiEdgeError):
    """A configuration file is wrong: names the file, the path inside it, and what was expected."""


class BundleError(ConfigError):
    """A model bundle is incomplete, altered, or of the wrong form."""


class ThreatError(ConfigError):
    """A threat library is incomplete, altered, or of the wrong form."""


class RuntimeMissingError(NiiEdgeError):
    """The asked-for inference runtime, provider or device is not available on this machine."""


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


class RecordingError(NiiEdgeError):
    """A recording, picture or array cannot be read as asked."""
