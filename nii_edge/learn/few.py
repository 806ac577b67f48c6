"""What figures are worth that rest on few pictures or labels, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from nii_edge.learn.looking import Looked

LEAST_PICTURES = 20
"""With fewer no figure says more than that something works."""
LEAST_LABELS = 5
"""Of a class; with fewer its average precision is a matter of luck."""


def cautions(looked: Sequence[Looked], names: Sequence[str]) -> list[str]:
    """One sentence each: too few pictures to measure on, classes of which nothing or little is labelled on
    them. None where there is enough."""
    labelled = Counter(mark.label for one in looked for mark in one.wanted if not mark.ignored)
    made = []
    if len(looked) < LEAST_PICTURES:
        count = f"{len(looked)} picture{'s' * (len(looked) != 1)}"
        made.append(
            f"The figures mean little: they rest on {count}, where {LEAST_PICTURES} is the least and a "
            "hundred are better. Label more."
        )
    none = [name for label, name in enumerate(names) if not labelled[label]]
    if none:
        made.append(
            f"Nothing is known of {', '.join(none)}: not one is labelled on the pictures measured on."
        )
    few = [
        f"{name} ({labelled[label]})"
        for label, name in enumerate(names)
        if 0 < labelled[label] < LEAST_LABELS
    ]
    if few:
        made.append(
            f"The figures of {', '.join(few)} mean little: fewer than {LEAST_LABELS} are labelled on the "
            "pictures measured on."
        )
    return made


def learned_cautions(taught: Sequence[int], names: Sequence[str], same: bool) -> list[str]:
    """The like of what was learned from: `taught`, how many things of each class; `same`: it was also
    measured on, for want of others."""
    made = []
    if same:
        made.append(
            "The figures say nothing about new pictures: for want of others they were measured on the "
            "pictures that taught. Label more."
        )
    none = [name for name, count in zip(names, taught, strict=True) if not count]
    if none:
        made.append(f"It cannot find {', '.join(none)}: not one is labelled on the pictures that teach.")
    return made
