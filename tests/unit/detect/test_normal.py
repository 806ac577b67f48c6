"""What was learned goes into a file and comes back the same; another file is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cartons import consignment

from nii_edge.adapters.normal_files import MANIFEST, NormalManifest, read_normal, write_normal
from nii_edge.detect import bank, normal, norms, shapes
from nii_edge.detect.evidence import Site
from nii_edge.errors import BundleError, ConfigError
from nii_edge.records import Finding

GUN = Finding(detector="d", kind="object", label="gun", category="ANOMALY", score=0.8, why="")
SEEN = (shapes.seen([]), None)
"""With an object detector that saw nothing, and without one."""


def site(seen: shapes.Seen | None) -> Site:
    """Of six consignments of one sort of goods, each a little other."""
    made = consignment()
    lessons = [normal.lesson(made.measures[n], made.papers[n], seen) for n in range(3)]
    rng = np.random.default_rng(0)
    several = []
    for group in map(str, range(6)):
        shift = rng.normal(0, 0.05)
        for each in lessons:
            assert each.sample is not None
            assert each.entry is not None
            sample = each.sample._replace(group=group, values=each.sample.values + shift)
            entry = each.entry._replace(group=group, values=each.entry.values + shift)
            several.append(normal.Lesson(sample, entry))
    return normal.learn(several)


@pytest.mark.parametrize("seen", SEEN)
def test_a_shape_that_its_goods_do_not_have_is_unlike_them(seen: shapes.Seen | None) -> None:
    """If a detector looked when the bank was learned; without one it says nothing."""
    made = consignment()
    learned = site(seen).bank
    assert learned is not None
    plain, armed, blind = (
        bank.unlikeness(learned, made.measures[0], made.papers[0], looked).whole
        for looked in (shapes.seen([]), shapes.seen([GUN]), None)
    )
    assert blind <= plain
    assert (armed > plain + 0.1) == (seen is not None)


MANIFEST_OF = NormalManifest(
    version=1,
    name="n",
    sha256="0" * 64,
    fit="0" * 64,
    cartons=18,
    consignments=6,
    headings={},
    recordings=(),
    skipped={},
)


@pytest.mark.parametrize("seen", SEEN)
def test_it_is_the_same_after_the_file(tmp_path: Path, seen: shapes.Seen | None) -> None:
    """Norms and bank judge a carton as they did before."""
    before = site(seen)
    bundle = write_normal(tmp_path / "n", MANIFEST_OF, normal.to_arrays(before))
    after = normal.from_arrays(bundle.arrays)
    made = consignment()
    measures, papers = made.measures[0], made.papers[0]
    assert before.bank is not None
    assert after.bank is not None
    assert bank.unlikeness(after.bank, measures, papers, seen) == pytest.approx(
        bank.unlikeness(before.bank, measures, papers, seen), rel=1e-4
    )
    chapters = [line.chapter for line in papers.lines if line.chapter is not None]
    assert before.norms is not None
    assert after.norms is not None
    found = norms.values(measures, papers)
    assert np.allclose(
        norms.distance(after.norms, chapters, found), norms.distance(before.norms, chapters, found), atol=1e-2
    )
    assert bundle.id == f"normal@n#{bundle.manifest.sha256[:12]}"
    assert normal.from_arrays({}) == Site(None, None)


def test_a_folder_that_is_none_or_was_altered_is_refused(tmp_path: Path) -> None:
    """Named by file, whatever is wrong with it."""
    with pytest.raises(BundleError, match=f"no {MANIFEST} there"):
        read_normal(tmp_path)
    folder = tmp_path / "n"
    write_normal(folder, MANIFEST_OF, normal.to_arrays(site(None)))
    other = write_normal(tmp_path / "other", MANIFEST_OF, {"bank.spread": np.ones(3)})
    with pytest.raises(BundleError, match="weighed by the fit 000000000000, but the configuration's is 1111"):
        read_normal(folder, "1" * 64)
    assert read_normal(folder, "0" * 64).id == read_normal(folder).id
    (folder / "normal.npz").write_bytes((tmp_path / "other" / "normal.npz").read_bytes())
    with pytest.raises(BundleError, match=f"its SHA-256 is {other.manifest.sha256}"):
        read_normal(folder)
    (folder / MANIFEST).write_text("version: 1\nkind: bank\n")
    with pytest.raises(ConfigError, match="unknown field `kind`"):
        read_normal(folder)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a spread of nothing": ({"bank.spread": None}, "bank.spread is missing"),
    "of other features": ({"bank.spread": np.ones(3)}, "bank.spread: shape"),
    "a spread of 0": ({"bank.spread": np.zeros(bank.VALUES)}, "bank.spread: a spread that is not above 0"),
    "no norm of everything": ({"norms.every.mean": None}, "norms.every.mean is missing"),
    "no chapter": ({"norms.x.consignments": np.ones(())}, "norms.x.mean is missing"),
    "an empty heading": ({"bank.heading.9999": np.zeros((0, 22))}, "bank.heading.9999: shape"),
}


@pytest.mark.parametrize(("changes", "words"), WRONG.values(), ids=WRONG)
def test_arrays_that_do_not_fit_are_named(changes: dict[str, Any], words: str) -> None:
    """Each by its name and what was expected."""
    arrays = {**normal.to_arrays(site(None)), **changes}
    with pytest.raises(BundleError, match=words):
        normal.from_arrays({name: value for name, value in arrays.items() if value is not None})
