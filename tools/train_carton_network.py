"""How the network that reads whole cartons is made, from nothing but the simulator, in three steps.

    python tools/train_carton_network.py maps WORK --seed 7001      cartons (extra `simulate`)
    python tools/train_carton_network.py train WORK --minutes 40    the network (extra `train`)
    python tools/train_carton_network.py export WORK OUT.onnx

WORK is a folder of several GB. Several `maps` may run beside each other, each with a seed of its own. Then
`nii-edge fit-cartons --network OUT.onnx` fits everything else to what it reads, on other cartons.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np

if TYPE_CHECKING:
    import torch

    from nii_edge.learn.carton_network import CartonNetwork
    from nii_edge.learn.carton_pool import Sample
    from nii_edge.simulate.produce import Made

ROOT = Path(__file__).resolve().parent.parent
STORIES = {
    "master_carton": 3.0, "swapped_goods": 1.0, "hidden_object": 2.0, "undeclared_material": 1.5,
    "shielding": 0.7, "wrong_weight": 0.3, "plain": 2.5, "multipack": 2.0, "consolidation": 3.0, "mixed": 2.0,
    "part_filled": 0.7, "turned": 0.7,
}  # fmt: skip
"""How often each story is told: those with parcels and with something hidden more than elsewhere."""
FEW_EVERY, FEWEST = 2, 4
"""In every so manieth consignment, cartons of many senders' parcels may hold as few as these."""
SCANNERS, MADE_UP_GOODS = (0, 40), 0.4
"""Scanners that are made up beside the four of the recipe, and the share of goods that are: where tubes and
detectors stand, how sharp a picture is and what lies in parcels shall not be learned by heart."""
HIDDEN_STORIES = ("hidden_object", "shielding", "undeclared_material")
ROLES = ("parcel", "hidden", "shielding")
EVERY = 20
"""Every so manieth consignment validates."""
BATCH = 10
RATE, DECAY, EMA, WARM_UP = 2e-3, 0.05, 0.998, 200
NORMED = 60
"""Batches that tell what the norms of a network have to expect that a fit holds."""
TOLD_EVERY, CHECK_S = 100, 240.0


def maps(work: Path, seed: int, consignments: int) -> None:
    """One file a consignment."""
    from nii_edge.errors import SceneError
    from nii_edge.learn.carton_pool import write_samples
    from nii_edge.simulate.produce import Job, produce
    from nii_edge.simulate.recipe import load_recipe

    cv2.setNumThreads(1)
    recipe = load_recipe(ROOT / "configs" / "simulate" / "train.yaml")
    recipe = msgspec.structs.replace(recipe, made_up_scanners=SCANNERS)
    told = msgspec.structs.replace(recipe.consignments, stories=STORIES, made_up_goods=MADE_UP_GOODS)
    few = msgspec.structs.replace(told, parcels=FEWEST)
    usual, other = (msgspec.structs.replace(recipe, consignments=each) for each in (told, few))
    (work / "cartons").mkdir(parents=True, exist_ok=True)
    for number in range(consignments):
        file = work / "cartons" / f"{seed}_{number:05d}.npz"
        if file.exists():
            continue
        try:
            drawn = usual if number % FEW_EVERY else other
            made = produce(Job(drawn, "consignment", seed, number, None, False, "labelled"))
        except SceneError as error:
            sys.stderr.write(f"{error}\n")
            continue
        samples = [sample_of(made, k) for k in range(len(made.cartons))]
        write_samples(file, [sample for sample in samples if sample is not None])
        if number % TOLD_EVERY == 0:
            sys.stderr.write(f"{number} consignments\n")


def sample_of(made: Made, number: int) -> Sample | None:
    """One carton as the daemon would measure it, with its truth; None if it is not seen in all views."""
    from nii_edge.commands.cartons import frames_of
    from nii_edge.detect.bank import DIGITS
    from nii_edge.learn.carton_pool import Sample, View
    from nii_edge.simulate import labels
    from nii_edge.simulate.calibrated import calibrated
    from nii_edge.xray.carton import described, locate

    unit = calibrated(next(make for make in made.job.recipe.makes() if make.name == made.scanner))
    located = locate(unit.profile, unit.optics, frames_of(made, number))
    shots = made.scans[number].shots
    if located is None or len(located.maps) != len(shots):
        return None
    views = []
    for shot, own, lines, across in zip(shots, located.maps, located.lines, located.across, strict=True):
        known = [seen for seen in shot.seen if seen.role in ROLES]
        start = np.array([lines[0], across[0]] * 2)
        scale = np.array(own.shape[:0:-1]) / (np.ptp(lines) + 1, np.ptp(across) + 1)
        boxes = (np.array([seen.box for seen in known]).reshape(-1, 4) - start) * np.tile(scale, 2)
        parcels = np.array([seen.role == "parcel" for seen in known], np.bool_)
        views.append(View(own, boxes.astype(np.float32), parcels))
    truth = labels.truth(made, number)
    lines_said = () if made.master is None else made.master.lines_of(number)
    headings = {line.hs_code[:DIGITS] for line in lines_said}
    honest = not truth["lie"] and not truth["faults"]
    return Sample(
        tuple(views),
        described(located.measures).astype(np.float32),
        int(truth["parcels"]),
        truth["lie"] in HIDDEN_STORIES,
        headings.pop() if len(headings) == 1 and honest else "",
    )


def train(work: Path, minutes: float, seed: int, start: Path | None) -> None:
    """In as many processes as are good here."""
    from nii_edge.heap import keep_freed_memory
    from nii_edge.learn.together import led, processes_for

    keep_freed_memory()
    count = processes_for(BATCH * 2)
    with led(count, learn, work, minutes, seed, count, start):
        learn(work, minutes, seed, count, start)


def learn(work: Path, minutes: float, seed: int, processes: int, start: Path | None) -> None:
    """What each of the processes does."""
    import torch
    from torch import nn

    from nii_edge.learn.carton_network import LOSSES, losses
    from nii_edge.learn.carton_pool import feed, read_samples
    from nii_edge.learn.together import rank
    from nii_edge.learn.training import Mean, cosine, multiplies_short

    torch.manual_seed(seed + rank())
    files = sorted((work / "cartons").glob("*_?????.npz"))
    if len(files) <= EVERY:
        raise SystemExit(f"{work}: {len(files)} consignments; run `maps` first, for a few thousand")
    samples = read_samples([file for number, file in enumerate(files) if number % EVERY][rank() :: processes])
    tests = read_samples(files[::EVERY]) if rank() == 0 else []
    network = begun(start, samples, seed)
    mean = Mean(network, EMA)
    network = network.to(memory_format=torch.channels_last).train()
    optimiser = _optimiser(network)
    stepping = _shared(network, processes)
    sorts = {name: number for number, name in enumerate(headings())}
    batches = feed(samples, sorts, BATCH, np.random.default_rng((seed, rank())))
    short, began, steps = multiplies_short(), time.monotonic(), 0
    checked, sums = began, dict.fromkeys(LOSSES, 0.0)
    while (share := _same((time.monotonic() - began) / 60 / minutes, processes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = RATE * min((steps + 1) / WARM_UP, 1) * (0.01 + 0.99 * cosine(share))
        batch = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=short):
            answer = stepping(batch.planes, batch.owner, batch.scalars)
        parts = losses(answer, batch)
        optimiser.zero_grad(set_to_none=True)
        torch.stack([LOSSES[name] * part for name, part in parts.items()]).sum().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        steps += 1
        if rank() != 0:
            continue
        mean.update(network)
        sums = {name: sums[name] + float(part.detach()) / TOLD_EVERY for name, part in parts.items()}
        if steps % TOLD_EVERY == 0:
            speed = steps * BATCH * processes / (time.monotonic() - began)
            words = " ".join(f"{name} {value:.3f}" for name, value in sums.items())
            sys.stderr.write(f"{share * minutes:.1f} min, {speed:.0f} cartons/s: {words}\n")
            sums = dict.fromkeys(LOSSES, 0.0)
        if time.monotonic() - checked > CHECK_S:
            checked = time.monotonic()
            validate(mean.network, tests)
            torch.save(mean.network.state_dict(), work / "network.pt")
    if rank() == 0:
        validate(mean.network, tests)
        torch.save(mean.network.state_dict(), work / "network.pt")


def _shared(network: CartonNetwork, processes: int) -> torch.nn.Module:
    """The network, its gradients shared by all processes."""
    import torch.distributed as dist
    from torch import nn

    if processes == 1:
        return network
    dist.barrier()  # all have read their cartons
    return nn.parallel.DistributedDataParallel(network, forward_sync_buffers=False)


def _optimiser(network: CartonNetwork) -> torch.optim.Optimizer:
    """Biases and norms are not decayed."""
    import torch

    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": DECAY},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.99))


def headings() -> list[str]:
    """Those of all goods there are."""
    from nii_edge.detect.bank import DIGITS
    from nii_edge.simulate.goods import KINDS, MADE_UP

    return sorted({kind.code[:DIGITS] for name, kind in KINDS.items() if name != MADE_UP})


def fresh(start: Path | None = None) -> CartonNetwork:
    """A network that knows nothing, or what one knew whose weights are in a `network.pt`."""
    import torch

    from nii_edge.learn.carton_network import CartonNetwork

    network = CartonNetwork(len(headings()))
    if start is not None:
        network.load_state_dict(torch.load(start, weights_only=True))
    return network


def begun(start: Path | None, samples: list[Sample], seed: int) -> CartonNetwork:
    """What training begins with: nothing, a `network.pt`, or the network of a fit."""
    from nii_edge.adapters.array_files import read_arrays
    from nii_edge.detect.carton_fit import from_arrays
    from nii_edge.learn.carton_network import from_onnx
    from nii_edge.learn.carton_pool import feed

    if start is None or start.suffix != ".npz":
        return fresh(start)
    batches = feed(samples, {}, BATCH, np.random.default_rng(seed))
    model = from_arrays(read_arrays(start)[0]).network.tobytes()
    return from_onnx(model, len(headings()), itertools.islice(batches, NORMED))


def _same(share: float, processes: int) -> float:
    """The same for all processes: that of the first."""
    import torch
    import torch.distributed as dist

    value = torch.tensor([share], dtype=torch.float64)
    if processes > 1:
        dist.broadcast(value, 0)
    return float(value)


def validate(network: CartonNetwork, samples: list[Sample]) -> None:
    """Tell how many cartons of several parcels are counted well, and how hidden things rank."""
    import torch

    from nii_edge.commands.rates import auroc
    from nii_edge.detect import parcels
    from nii_edge.learn.carton_pool import lay

    network.eval()
    said, hidden = [], []
    with torch.no_grad():
        for sample in samples:
            batch = lay([sample], {})
            answer = network.read(batch.planes, batch.scalars)
            said.append(parcels.count(answer.counts.softmax(1)[0].double().numpy()).expected)
            hidden.append(float(answer.hidden))
    true = np.array([sample.parcels for sample in samples])
    right, bad = parcels.is_right(np.array(said), true), np.array([sample.hidden for sample in samples])
    rank = auroc(np.array(hidden)[~bad], np.array(hidden)[bad])
    by_size = " ".join(
        f"{name} {right[own].mean():.2f} of {own.sum()}"
        for name, own in (
            ("0", true == 0), ("1", true == 1), ("2-5", (true > 1) & (true < 6)),
            ("6-12", (true > 5) & (true < 13)), ("13-", true > 12), ("2-", true > 1),
        )
        if own.any()
    )  # fmt: skip
    sys.stderr.write(f"    counted well: {by_size}; hidden, AUROC {rank:.3f}\n")


def export(work: Path, out: Path) -> None:
    """The mean network as one ONNX file."""
    from nii_edge.learn.carton_network import to_onnx

    network = fresh(work / "network.pt")
    out.write_bytes(to_onnx(network))
    sys.stderr.write(f"{out}: {out.stat().st_size} bytes\n")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("maps", "train", "export"))
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--seed", type=int, default=7001)
    parser.add_argument("--consignments", type=int, default=4000)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--start", type=Path, help="network.pt, or fit.npz, to go on from")
    given = parser.parse_args()
    if given.step == "maps":
        maps(given.work, given.seed, given.consignments)
    elif given.step == "train":
        train(given.work, given.minutes, given.seed, given.start)
    elif given.out is None:
        parser.error("export needs OUT.onnx")
    else:
        export(given.work, given.out)


if __name__ == "__main__":
    main()
