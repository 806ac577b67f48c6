"""How the counting tools print: by story, of how many cartons each label speaks."""

from __future__ import annotations

import json
from collections.abc import Mapping


def tell(found: Mapping[str, Mapping[str, int]], as_json: bool) -> None:
    """`found`: by story, how many "cartons" there are and how many each label speaks against."""
    if as_json:
        print(json.dumps(found))
        return
    for story, numbers in found.items():
        labels = sorted(label for label in numbers if label != "cartons")
        said = ", ".join(f"{label} {numbers[label]}" for label in labels) or "nothing"
        print(f"{story}: {numbers['cartons']} cartons; {said}")
