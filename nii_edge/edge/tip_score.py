"""Was a projected threat found? Pure, but for the counting."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import msgspec

from nii_edge.intervals import wilson
from nii_edge.policy import Circumstances, Policy, alarms
from nii_edge.records import Box, Finding

HIT_IOU = 0.3
"""A finding is at a threat's place if their boxes overlap by this much, as intersection over union."""
SAME_IOU = 0.5
"""Two findings of one detector and label, without and with the threat, are the same one from here on."""

Result = Literal["hit", "miss", "dropped", "not_placed", "fault"]
"""`dropped`: no time for it; `not_placed`: no plausible place in this carton; `fault`: a detector failed."""
RESULTS: tuple[Result, ...] = get_args(Result)


class TipRate(msgspec.Struct, frozen=True, kw_only=True):
    """What became of threats. `shown` = `hits` + `misses`; `pd` = hits / shown in 0-1, None while none was
    shown; `pd_low` to `pd_high` is its Wilson 95 % interval."""

    shown: int
    hits: int
    misses: int
    dropped: int
    not_placed: int
    faults: int
    pd: float | None
    pd_low: float
    pd_high: float


class TipReport(msgspec.Struct, frozen=True, kw_only=True):
    """Threat projection since the start, in `total` and by label. `off`: why it stopped, if it did."""

    rate: float
    threats: int
    off: str
    total: TipRate
    labels: dict[str, TipRate]


def alarming(policy: Policy, findings: Sequence[Finding], where: Circumstances) -> list[Finding]:
    """Those that the policy makes an ALARM of."""
    return [finding for finding in findings if alarms(policy, finding, where)]


def finding_of(
    place: Box, before: Sequence[Finding], after: Sequence[Finding], fitting: Sequence[str] | None
) -> Finding | None:
    """The finding that is a threat's at `place`: the one with the highest score of those `after` it was put
    there that overlap it, carry a `fitting` label (None: any), and were not there `before`; None is a miss.
    Both lists hold alarming findings only."""
    there = [
        finding
        for finding in after
        if (fitting is None or finding.label in fitting)
        and overlap(finding.box, place) >= HIT_IOU
        and not any(_same(finding, old) for old in before)
    ]
    return max(there, key=lambda finding: finding.score, default=None)


def overlap(one: Box | None, other: Box | None) -> float:
    """Intersection over union in 0-1; 0 for boxes of different views, or none."""
    if one is None or other is None or one.view != other.view:
        return 0.0
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (_area(one) + _area(other) - both)


class Tally:
    """Counts results by label. Thread-safe."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._counts: dict[str, Counter[Result]] = {label: Counter() for label in sorted(set(labels))}
        self._lock = threading.Lock()

    def count(self, label: str, result: Result) -> None:
        """One more."""
        with self._lock:
            self._counts[label][result] += 1

    def report(self, rate: float, threats: int, off: str) -> TipReport:
        """All that was counted."""
        with self._lock:
            counts = {label: Counter(counter) for label, counter in self._counts.items()}
        total = sum(counts.values(), Counter[Result]())
        labels = {label: _rate(counter) for label, counter in counts.items()}
        return TipReport(rate=rate, threats=threats, off=off, total=_rate(total), labels=labels)


def _rate(counts: Mapping[Result, int]) -> TipRate:
    hits, misses = counts.get("hit", 0), counts.get("miss", 0)
    low, high = wilson(hits, hits + misses)
    return TipRate(
        shown=hits + misses,
        hits=hits,
        misses=misses,
        dropped=counts.get("dropped", 0),
        not_placed=counts.get("not_placed", 0),
        faults=counts.get("fault", 0),
        pd=hits / (hits + misses) if hits + misses else None,
        pd_low=low,
        pd_high=high,
    )


def _same(finding: Finding, old: Finding) -> bool:
    kinds = (finding.detector, finding.label) == (old.detector, old.label)
    return kinds and overlap(finding.box, old.box) >= SAME_IOU


def _area(box: Box) -> float:
    return (box.x1 - box.x0) * (box.y1 - box.y0)
