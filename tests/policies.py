"""Policies, findings and places for Hypothesis: every policy that a file could hold and be taken."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from nii_edge.policy import AlarmRule, Circumstances, Policy
from nii_edge.records import Finding

NAMES = ("a", "b", "c", "d")
LABELS = ("x", "y")
CHAPTERS = (61, 64, 93)
LANES = ("s", "t")
SITES = ("e", "f")

units = st.floats(0, 1)
scores = st.one_of(units, st.just(math.nan))
places = st.builds(
    Circumstances,
    st.sampled_from(SITES),
    st.sampled_from(LANES),
    st.lists(st.sampled_from((0, 8, *CHAPTERS)), unique=True).map(lambda found: tuple(sorted(found))),
)


def finding(score: float, detector: str = "a", label: str = "x", *, joint: bool = False) -> Finding:
    return Finding(
        detector=detector, kind="object", label=label, category="OTHER", score=score, why=f"{label} seen",
        joint=joint,
    )  # fmt: skip


def policy(**changes: object) -> Policy:
    fields: dict[str, object] = {
        "version": 1, "name": "p", "required_for_clear": ("a",), "default_alarm_at": 0.5, **changes,
    }  # fmt: skip
    return Policy(**fields)  # type: ignore[arg-type]


def some(values: tuple[object, ...]) -> st.SearchStrategy[tuple[object, ...]]:
    """A narrowing: mostly none."""
    return st.one_of(st.just(()), st.lists(st.sampled_from(values), max_size=2, unique=True).map(tuple))


@st.composite
def rules(draw: st.DrawFn) -> AlarmRule:
    at = draw(units)
    return AlarmRule(
        detector=draw(st.sampled_from(NAMES)),
        label=draw(st.sampled_from(LABELS)),
        at=at,
        refer_at=draw(st.one_of(st.none(), st.floats(at, 1))),
        chapters=draw(some(CHAPTERS)),
        lanes=draw(some(LANES)),
        sites=draw(some(SITES)),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    required = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    spared = draw(st.lists(st.sampled_from(NAMES), unique=True).filter(lambda s: set(required) - set(s)))
    kept: list[AlarmRule] = []
    for rule in draw(st.lists(rules(), max_size=6)):
        if not any(rule.overlaps(other) for other in kept):
            kept.append(rule)
    at = draw(units)
    return policy(
        required_for_clear=tuple(required),
        may_be_not_applicable=tuple(spared),
        default_alarm_at=at,
        default_refer_at=draw(st.one_of(st.none(), st.floats(at, 1))),
        unknown_band=draw(st.sampled_from(("REVIEW", "REFER"))),
        alarms=tuple(kept),
    )
