"""Which cartons share a frame, and where the second of two lies."""

from __future__ import annotations

import msgspec
import numpy as np
from harness import ROOT
from hypothesis import given
from hypothesis import strategies as st

from nii_edge.simulate.framing import CUT_AT, Framing, cut_at, framed
from nii_edge.simulate.labels import truth
from nii_edge.simulate.produce import Job, produce
from nii_edge.simulate.recipe import load_recipe

SHARES = st.floats(0, 1).flatmap(lambda cut: st.tuples(st.just(cut), st.floats(0, 1 - cut)))


@given(st.integers(0, 60), SHARES, st.integers(0, 2**32))
def test_every_carton_is_in_one_frame_or_cut(count: int, shares: tuple[float, float], seed: int) -> None:
    """In order, each once; two only where they are merged, and what has no share does not come."""
    cut, merged = shares
    found = framed(count, Framing(cut, merged), np.random.default_rng(seed))
    assert [carton for cartons, _ in found for carton in cartons] == list(range(count))
    assert all((len(cartons) == 2) == (shows == "merged") for cartons, shows in found)
    assert merged or not any(shows == "merged" for _, shows in found)
    assert cut or not any(shows == "cut" for _, shows in found)


def test_shares_are_shares_of_what_comes() -> None:
    """A fifth cut; of those that are left, three tenths with the next one, which is in its frame then."""
    found = framed(20_000, Framing(cut=0.2, merged=0.3), np.random.default_rng(5))
    shows = [each for _, each in found]
    assert abs(shows.count("cut") / len(shows) - 0.2) < 0.02
    assert abs(shows.count("merged") / len(shows) - 0.3) < 0.02


def test_all_may_be_cut_or_merged() -> None:
    rng = np.random.default_rng(0)
    assert {shows for _, shows in framed(9, Framing(cut=1.0), rng)} == {"cut"}
    assert [cartons for cartons, _ in framed(5, Framing(merged=1.0), rng)] == [(0, 1), (2, 3), (4,)]
    assert all(CUT_AT[0] <= cut_at(rng) <= CUT_AT[1] for _ in range(100))


def test_cartons_are_the_same_however_they_are_framed() -> None:
    """What passes the scanner does not depend on how often it cuts and merges."""
    recipe = load_recipe(ROOT / "configs" / "simulate" / "train.yaml")
    small = msgspec.structs.replace(recipe.consignments, cartons=(4, 4), litres=(8.0, 10.0))
    job = Job(
        msgspec.structs.replace(recipe, consignments=small), "consignment", 5, 0, "depot", False, "nothing"
    )
    whole, framed_otherwise = (
        produce(job._replace(framing=framing)) for framing in (Framing(), Framing(0.5, 0.4))
    )
    one, other = (
        [truth(made, carton) for carton in range(len(made.cartons))] for made in (whole, framed_otherwise)
    )
    assert one == other
    assert {scan.shows for scan in whole.scans} == {"whole"}
    assert {scan.shows for scan in framed_otherwise.scans} - {"whole"}
