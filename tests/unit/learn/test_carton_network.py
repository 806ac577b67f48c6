"""The network that reads cartons: what it is taught, and that its file says what it said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from cartons import consignment

from nii_edge.adapters.carton_reader import CartonReader
from nii_edge.errors import BundleError, DetectorFaultError
from nii_edge.learn.carton_network import CartonNetwork, from_onnx, losses, to_onnx
from nii_edge.learn.carton_pool import (
    Sample,
    View,
    feed,
    fits,
    lay,
    overlaid,
    read_samples,
    varied,
    write_samples,
)
from nii_edge.xray.carton import described, locate
from nii_edge.xray.carton_map import CELL, COUNTS, stacked

BOX = np.array([[10.0, 20.0, 42.0, 60.0], [50.0, 8.0, 66.0, 30.0]], np.float32)


def sample(views: int = 2, seed: int = 1) -> Sample:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(views):
        mass = rng.uniform(1, 4, (90 + 10 * seed, 120))
        own = np.stack([mass, np.full_like(mass, 8), np.zeros_like(mass)]).astype(np.float16)
        made.append(View(own, BOX, np.array([True, False])))
    return Sample(tuple(made), np.zeros(8, np.float32), 1, True, "8205")


def test_samples_are_kept_as_they_were(tmp_path: Path) -> None:
    """Through a file and back."""
    samples = [sample(1, 1), sample(2, 2)]
    write_samples(tmp_path / "a.npz", samples)
    found = read_samples([tmp_path / "a.npz"])
    assert [(each.parcels, each.hidden, each.sort, each.area) for each in found] == [
        (each.parcels, each.hidden, each.sort, each.area) for each in samples
    ]
    for one, other in zip(samples[1].views, found[1].views, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_every_parcel_is_one_wherever_it_lies() -> None:
    """Density adds up to the number of parcels in each view, and heat lies where something is hidden."""
    rng = np.random.default_rng(3)
    for _ in range(10):
        batch = lay([varied(sample(2, 1), rng), varied(sample(1, 2), rng)], {"8205": 7}, rng)
        assert torch.allclose(batch.density.sum((1, 2)), torch.ones(len(batch.planes)), atol=1e-4)
        assert (batch.heat.sum((1, 2)) >= 2).all()
        assert batch.heat.sum() * CELL**2 < 3 * batch.heat.shape[0] * 16 * 22
        assert batch.sort.tolist() == [7, 7]
        assert len(batch.owner) == len(batch.planes)


def test_what_is_told_of_a_changed_carton_is_true_of_it() -> None:
    """Larger or denser cartons are told as such, by their sides, their mass and their density."""
    rng = np.random.default_rng(4)
    own = sample(1, 2)
    (before,) = own.views
    masses, sides = [], []
    for _ in range(60):
        made = varied(own, rng)
        (after,) = made.views
        side = np.log(after.map.shape[2] / before.map.shape[2])
        mass = np.log(after.map[0].sum(dtype=np.float64) / before.map[0].sum(dtype=np.float64))
        assert np.allclose(made.scalars[:3], side, atol=0.15)
        assert made.scalars[3] == pytest.approx(3 * side, abs=0.15)
        assert made.scalars[4] == pytest.approx(mass, abs=0.25)
        assert made.scalars[5] == pytest.approx(mass - 3 * side, abs=0.25)
        wide = np.ptp(after.boxes[:, [0, 2]], axis=1) / np.ptp(before.boxes[:, [0, 2]], axis=1)
        assert np.allclose(np.log(wide), side, atol=1e-3)
        masses.append(mass)
        sides.append(side)
    assert np.ptp(masses) > 0.5
    assert np.ptp(sides) > 0.15


def test_contents_of_two_cartons_add_up() -> None:
    """Masses, parcels and places; Z is the mean by mass; a larger carton does not fit."""
    large, small = sample(2, 2), sample(2, 1)
    assert fits(small, large)
    assert not fits(large, small)
    assert not fits(sample(1, 1), large)
    both = overlaid(large, small, np.random.default_rng(5))
    assert (both.parcels, both.hidden, both.sort) == (2, True, "")
    for one, other, whole in zip(large.views, small.views, both.views, strict=True):
        added = other.map[0].astype(np.float64).sum() + one.map[0].astype(np.float64).sum()
        assert whole.map[0].sum() == pytest.approx(added, rel=1e-3)
        assert np.allclose(whole.map[1], 8)
        assert len(whole.boxes) == 4
        assert (whole.boxes[:, 2:] <= whole.map.shape[:0:-1]).all()
    assert both.scalars[4] == pytest.approx(np.log(2))
    assert both.scalars[5] == pytest.approx(np.log(2))


def test_what_it_learned_is_what_its_file_says(tmp_path: Path) -> None:
    """A few steps on one batch lower every part of the loss; the ONNX file then answers the same."""
    torch.manual_seed(1)
    network = CartonNetwork(8).train()
    batches = feed([sample(2, 1), sample(1, 2)] * 3, {"8205": 7}, 2, np.random.default_rng(1))
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    history = []
    for _ in range(30):
        batch = next(batches)
        parts = losses(network(batch.planes, batch.owner, batch.scalars), batch)
        history.append(float(torch.stack(list(parts.values())).sum().detach()))
        optimiser.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        optimiser.step()
    assert np.mean(history[-5:]) < 0.6 * np.mean(history[:5])

    network.eval()
    made = consignment()
    located = locate(made.lane.profile, made.lane.optics, made.frames[0])
    assert located is not None
    read = CartonReader(to_onnx(network))
    for maps in (located.maps, located.maps[:1]):
        scalars = described(located.measures).astype(np.float32)
        with torch.no_grad():
            wanted = network.read(torch.from_numpy(stacked(maps)), torch.from_numpy(scalars)[None])
        found = read(maps, described(located.measures))
        assert np.allclose(found.parcels, wanted.counts.softmax(1)[0], atol=1e-4)
        assert found.hidden == pytest.approx(float(wanted.hidden), abs=1e-3)
        assert np.allclose(found.heat, wanted.heat, atol=1e-3)
        assert found.parcels.shape == (len(COUNTS),)


def test_views_together_or_one_by_one() -> None:
    """A carton among others is read as it is by itself."""
    torch.manual_seed(2)
    network = CartonNetwork(8).eval()
    samples = [sample(2, 1), sample(1, 1), sample(2, 1)]
    batch = lay(samples, {})
    with torch.no_grad():
        together = network(batch.planes, batch.owner, batch.scalars)
        for number, each in enumerate(samples):
            alone = lay([each], {})
            answer = network.read(alone.planes, alone.scalars)
            assert torch.allclose(together.counts[number], answer.counts[0], atol=1e-4)
            assert together.hidden[number] == pytest.approx(float(answer.hidden), abs=1e-4)


def test_a_file_that_is_no_such_network_is_refused() -> None:
    """Damaged, or another model; what cannot be read is a fault, not an answer."""
    with pytest.raises(BundleError):
        CartonReader(b"nothing")
    from nii_edge.resources import shipped

    other = (shipped("models") / "shielding" / "1.0.0" / "model.onnx").read_bytes()
    with pytest.raises(BundleError, match="fit again"):
        CartonReader(other)
    read = CartonReader(to_onnx(CartonNetwork(3)))
    with pytest.raises(DetectorFaultError, match="reading a carton"):
        read([np.zeros((3, 20, 20), np.float32)], np.zeros(3))


@pytest.mark.parametrize("wrong", ["counts", "hidden", "heat"])
def test_an_answer_that_is_no_number_is_a_fault(wrong: str) -> None:
    """It must not pass for a carton in which nothing is."""
    network = CartonNetwork(3)
    with torch.no_grad():
        getattr(network, wrong).bias.fill_(float("nan"))
    read = CartonReader(to_onnx(network))
    with pytest.raises(DetectorFaultError, match="cannot be"):
        read([np.ones((3, 40, 40), np.float32)], np.zeros(8))


def test_a_file_is_gone_on_from_where_it_stopped() -> None:
    """The network read back from its file says what it said, and goes on saying it while its norms learn
    from the cartons at hand; one of another shape is refused."""
    torch.manual_seed(5)
    network = CartonNetwork(3)
    rng = np.random.default_rng(5)
    batches = [lay([varied(sample(2, 1), rng), varied(sample(1, 2), rng)], {}, rng) for _ in range(6)]
    with torch.no_grad():
        for norm in network.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.uniform_(-0.5, 0.5)
        network.train()
        for batch in batches * 20:
            network(batch.planes, batch.owner, batch.scalars)
        network.eval()
        again = from_onnx(to_onnx(network), 3, batches)
        again.both[2].p = 0.0
        for training, near in ((False, 1e-3), (True, 0.35)):
            again.train(training)
            for batch in batches:
                said, before = (each(batch.planes, batch.owner, batch.scalars) for each in (again, network))
                for one, other in zip(said[:4], before[:4], strict=True):
                    assert (one - other).abs().max() < near * (1 + other.abs().max())
    graph = onnx.load_from_string(to_onnx(network))
    first = next(node for node in graph.graph.node if node.op_type == "Conv")
    graph.graph.node.remove(first)
    with pytest.raises(BundleError, match="another network"):
        from_onnx(graph.SerializeToString(), 3, batches)
