"""When was each lane's test piece last scanned, and where does its trend lead? Reminds, decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from nii_edge.errors import ConfigError
from nii_edge.telemetry import Metrics, logger
from nii_edge.xray.self_test import Limit, SelfTest
from nii_edge.xray.trend import foresee

EVERY_S = 30.0
"""The histories are read so often."""


class Duty(NamedTuple):
    """Of one lane: where its results are, each file a view's or a generator's, how old the last may be, and
    the limits that its trend is held against."""

    histories: tuple[Path, ...]
    hours: float
    limits: tuple[Limit, ...] = ()


class LaneSelfTest(msgspec.Struct, frozen=True, kw_only=True):
    """What `nii-edge status` shows of one history. `hours_ago` and `grade` (pass, warn, fail) of its last
    result, None if there is none; `problems` in words."""

    scanner: str
    history: str
    hours_ago: float | None = None
    grade: str | None = None
    problems: tuple[str, ...] = ()


class SelfTests:
    """Looks at the histories now and then, from one thread."""

    def __init__(
        self,
        duties: Mapping[str, Duty],
        read: Callable[[Path], Sequence[SelfTest]],
        metrics: Metrics,
    ) -> None:
        """`read`: a history's results; raises ConfigError."""
        self._duties = dict(duties)
        self._read = read
        self._metrics = metrics
        self._known: tuple[str, ...] = ()
        self._looked_at: float | None = None
        self._log = logger("self-test")
        self.found: tuple[LaneSelfTest, ...] = ()

    def look(self, now: float, now_ns: int) -> None:
        """Read the histories again, if it is time; `now` in monotonic seconds. A problem is logged once."""
        if self._looked_at is not None and now < self._looked_at + EVERY_S:
            return
        self._looked_at = now
        self.found = tuple(
            self._one(scanner, duty, path, now_ns)
            for scanner, duty in self._duties.items()
            for path in duty.histories
        )
        for lane in self.found:
            labels = self._metrics.self_test_age.labels(lane.scanner, lane.history)
            labels.set(float("inf") if lane.hours_ago is None else 3_600 * lane.hours_ago)
            self._metrics.self_test_good.labels(lane.scanner, lane.history).set(not lane.problems)
        # without their figures, which change at each look
        kinds = tuple(problem.split(":")[0] for lane in self.found for problem in lane.problems)
        if kinds != self._known:
            self._known = kinds
            for problem in self.problems():
                self._log.warning("self-test", problem=problem)

    def problems(self) -> tuple[str, ...]:
        """What a person should do, lane by lane."""
        return tuple(problem for lane in self.found for problem in lane.problems)

    def _one(self, scanner: str, duty: Duty, path: Path, now_ns: int) -> LaneSelfTest:
        try:
            results = sorted(self._read(path), key=lambda result: result.made_at_ns)
        except ConfigError as error:
            problem = f"{scanner} self-test unreadable: {error}"
            return LaneSelfTest(scanner=scanner, history=path.name, problems=(problem,))
        if not results:
            problem = f"{scanner} self-test missing: nothing in {path}; scan the test piece"
            return LaneSelfTest(scanner=scanner, history=path.name, problems=(problem,))
        last = results[-1]
        hours = (now_ns - last.made_at_ns) / 3_600e9
        problems = []
        if not 0 <= hours <= duty.hours:
            problems.append(
                f"{scanner} self-test overdue: made {hours:.1f} h ago, at most {duty.hours:g} h are allowed "
                f"({path.name}); scan the test piece"
            )
        if last.grade != "pass":
            bad = [f"{m.metric} {m.value:.3g}" for m in last.measurements if m.grade == last.grade]
            what = last.problem or ", ".join(bad)
            problems.append(f"{scanner} self-test {last.grade}: {what} ({path.name})")
        problems += [
            f"{scanner} self-test trend of {forecast.metric}: {forecast.words}"
            for forecast in foresee(results, duty.limits)
        ]
        return LaneSelfTest(
            scanner=scanner,
            history=path.name,
            hours_ago=round(hours, 2),
            grade=last.grade,
            problems=tuple(problems),
        )
