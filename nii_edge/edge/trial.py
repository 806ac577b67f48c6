"""What the detectors are asked for the sake of a test: no carton, no ticket, no verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from nii_edge.edge.jobs import JobScan
from nii_edge.records import Outcome


class TrialAnswer(NamedTuple):
    """What became of a trial: the detectors' `outcomes`; None if their process was lost over it (`begun`), or
    if it was not asked in time or lost while it had other work too."""

    outcomes: tuple[Outcome, ...] | None
    begun: bool


class Trial(NamedTuple):
    """A scan that is nobody's carton. `answer` is called once, from any thread, with the engine's lock held:
    it must return at once. `until`: monotonic seconds by which it must have begun."""

    scan: JobScan
    answer: Callable[[TrialAnswer], None]
    until: float
