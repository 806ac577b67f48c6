"""What classes are called: in labels, which may use any letters, and in the bundle they taught."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

METRICS = "metrics.json"
"""Beside a bundle's card: what was measured, and under `names` what labels call its classes."""
_NUMBERED = re.compile(r"class_\d+")
_PLURALS = (
    (r"s", ""), (r"ies", "y"), (r"ves", "f"), (r"ves", "fe"), (r"(?<=ch|sh|ss)es|(?<=[xz])es", ""),
)  # fmt: skip
"""Endings of English plurals and what they are instead of."""


def plain(name: str) -> str:
    """A name whatever its case, blanks, underscores and hyphens."""
    return re.sub(r"[\s_-]+", "_", unicodedata.normalize("NFC", name).strip().lower())


def singulars(name: str) -> set[str]:
    """A `plain` name, and what it may be the plural of: ``knives`` of ``knife``, ``knive`` and ``knif``."""
    word = plain(name)
    cut = {re.sub(f"(?:{ending})$", instead, word) for ending, instead in _PLURALS}
    return {word} | {one for one in cut if one and not word.endswith("ss")}


def said(
    ours: Sequence[str],
    theirs: Sequence[str],
    pairs: Mapping[int, int],
    called: Mapping[str, Collection[str]],
) -> list[str]:
    """In words, which names were taken for others than themselves (`pairs`: see `matched_names`) without
    being `called` so in the labels that taught ours."""
    return [
        f"took {theirs[index]!r} for {ours[own]}"
        for index, own in pairs.items()
        if theirs[index] not in (ours[own], *called.get(ours[own], ()))
    ]


def is_made_up(name: str, called: Collection[str]) -> bool:
    """Whether a bundle's class of that name is `called` something that left no letter of itself: the number
    says nothing then, since other labels have other numbers."""
    return _NUMBERED.fullmatch(name) is not None and bool(called) and name not in called


def taught_names(folder: Path) -> dict[str, tuple[str, ...]]:
    """What the labels that taught the bundle in `folder` call its classes, by the bundle's names, as `train`
    wrote it or an export handed it on; nothing if it does not say so."""
    try:
        tree = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    found: Any = _part(tree, "names") or _part(_part(tree, "trained"), "names")
    if not isinstance(found, dict):
        return {}
    return {
        name: tuple(word for word in words if isinstance(word, str))
        for name, words in found.items()
        if isinstance(words, list)
    }


def _part(tree: Any, key: str) -> Any:
    return tree.get(key) if isinstance(tree, dict) else None
