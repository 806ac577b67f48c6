"""Time what a training step is made of, on one thread: ImageNet's features in torch and in ONNX Runtime, and
a step with and without giving memory back to the system.

    python tools/time_training.py [--size N] [--batch N] [--json]

Needs the extra `train`. CPU time, medians of five, after a warm-up; page faults are those of a step.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable

import torch

from nii_edge.heap import keep_freed_memory
from nii_edge.learn.backbone import FROZEN, Lite0, load_imagenet
from nii_edge.learn.network import Detector

ROUNDS, WARM = 5, 2


def cost(work: Callable[[], object]) -> dict[str, float]:
    """Milliseconds of CPU time, those of the system's in it, and page faults."""
    rows = []
    for _ in range(WARM + ROUNDS):
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.process_time()
        work()
        spent, after = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF)
        rows.append(
            (1000 * spent, 1000 * (after.ru_stime - before.ru_stime), after.ru_minflt - before.ru_minflt)
        )
    middle = [statistics.median(values) for values in zip(*rows[WARM:], strict=True)]
    return dict(zip(("ms", "system_ms", "page_faults"), (round(value, 1) for value in middle), strict=True))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    inputs = torch.rand(given.batch, 3, given.size, given.size).contiguous(memory_format=torch.channels_last)

    def step(network: Detector) -> None:
        logits, boxes = network(inputs)
        (logits.sum() + boxes.sum()).backward()

    plain = Detector(8).train().to(memory_format=torch.channels_last)
    found = {"step from scratch": cost(lambda: step(plain))}
    keep_freed_memory()
    found["step from scratch, freed memory kept"] = cost(lambda: step(plain))
    deep = Detector(8, "imagenet").train().to(memory_format=torch.channels_last)
    assert deep.lite is not None
    deep.lite.quicken(given.size)
    kernels = [block._depthwise_conv for block in deep.lite._blocks[FROZEN:]]
    for learning, name in ((True, "step, deeper features, every weight of them"), (False, "step as it is")):
        for kernel in kernels:
            kernel.requires_grad_(learning)
            kernel.dense = not learning
        found[f"{name}, 32 bits"] = cost(lambda: step(deep))
        with torch.autocast("cpu", torch.bfloat16):
            found[f"{name}, bfloat16"] = cost(lambda: step(deep))
    lite = Lite0().eval().to(memory_format=torch.channels_last)
    load_imagenet(lite)
    found["ImageNet's features, all in torch"] = cost(lambda: lite(inputs))
    lite.quicken(given.size)
    found["those, the frozen ones in ONNX Runtime"] = cost(lambda: lite(inputs))
    if given.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for name, row in found.items():
        each = row["ms"] / given.batch
        sys.stdout.write(
            f"{name:54s} {each:6.1f} ms a picture; a batch: {row['system_ms']:6.1f} ms in the system, "
            f"{row['page_faults']:.0f} page faults\n"
        )


if __name__ == "__main__":
    main()
