"""Time the way from counts to a model's input and to the operator's picture, on one core.

    python tools/time_frontend.py [--rounds N] [--json]

One made-up dual-energy view of 832 x 1024 uint16 with its calibration and wedge table. Each figure is the
median and the fastest of N interleaved rounds, in ms.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable

import cv2
import msgspec
import numpy as np

from nii_edge.config import ModelInput
from nii_edge.records import Frame
from nii_edge.xray import quality
from nii_edge.xray.calibrate import Origin, calibrate
from nii_edge.xray.frontend import model_input
from nii_edge.xray.material import look_up
from nii_edge.xray.optics import Optics, optics, planes_of
from nii_edge.xray.render import grey, high_penetration, pseudo_colour
from nii_edge.xray.transmission import apply
from nii_edge.xray.wedges import Wedge, WedgeStep

HEIGHT, WIDTH = 832, 1024
AIR = 45_000.0
MATERIALS = (("PE", 5.4, 0.95, 1.18, 0.16), ("Al", 13.0, 2.7, 1.9, 0.17), ("Fe", 26.0, 7.87, 3.1, 0.4))
"""Name, Z, density, thin ratio of the energies, high-energy attenuation in cm2/g: enough for timing."""


def wedge(name: str, z: float, density: float, ratio: float, attenuation: float) -> Wedge:
    """A wedge whose ratio falls with thickness as beam hardening makes it."""
    steps = []
    for x in (0.1, 0.3, 0.6, 1.0, 1.8, 3.0, 4.0):
        hardened = 1.1 + (ratio - 1.1) / (1 + 0.5 * x)
        grams = x / attenuation
        steps.append(
            WedgeStep(thickness_mm=10 * grams / density, t_low=math.exp(-x * hardened), t_high=math.exp(-x))
        )
    return Wedge(name=name, z=z, density=density, steps=tuple(steps))


def a_view() -> tuple[Frame, Optics]:
    """A frame with matter of all kinds in it, and what it is read with."""
    rng = np.random.default_rng(7)
    gain = AIR * rng.normal(1, 0.03, (HEIGHT, 2))
    dark = rng.normal(600, 20, (HEIGHT, 2))
    lines = rng.normal(0, 1, (64, HEIGHT, 2))
    air = dark + gain + lines * 500
    air[:, 100] = 0.0  # a dead pixel, so that repair is timed too
    origin = Origin("bench", 0, 0, "columns", ("low", "high"))
    calibration = calibrate(dark + lines * 6, air, origin)
    x = cv2.resize(rng.uniform(0, 5, (26, 32)).astype(np.float32), (WIDTH, HEIGHT))
    ratio = cv2.resize(rng.uniform(1.05, 2.5, (26, 32)).astype(np.float32), (WIDTH, HEIGHT))
    transmission = np.stack([np.exp(-x * ratio), np.exp(-x)], axis=2)
    transmission += rng.normal(0, 0.01, transmission.shape) * np.sqrt(transmission)
    counts = np.clip(transmission * gain[:, None] + dark[:, None], 0, 65_535).astype(np.uint16)
    frame = Frame(view=0, channels=("low", "high"), pixels=counts, full_scale=AIR, opaque_below=1e-3)
    return frame, optics(calibration, [wedge(*each) for each in MATERIALS])


def jobs() -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    frame, view = a_view()
    if view.detector is None or view.materials is None or view.colours is None:
        raise AssertionError("the made-up view is fully calibrated")
    detector, materials, colours = view.detector, view.materials, view.colours
    planes = planes_of(frame, view)

    def spec(*channels: str, side: int) -> ModelInput:
        return ModelInput(name="x", channels=channels, size=(side, side))  # type: ignore[arg-type]

    raw = spec("transmission_low", "transmission_high", "opacity", side=320)
    raw416 = spec("transmission_low", "transmission_high", "opacity", side=416)
    full = spec("opacity", "effective_z", "areal_density", side=320)
    full416 = spec("opacity", "effective_z", "areal_density", side=416)
    shipped = msgspec.structs.replace(spec("red", "green", "blue", side=320), crop="content", pad=-1.0)
    colour416 = spec("red", "green", "blue", side=416)
    return {
        "counts to transmission": lambda: apply(frame.pixels, detector),
        "model input 320, energies, uncalibrated": lambda: model_input(frame, raw),
        "model input 320, energies": lambda: model_input(frame, raw, view),
        "model input 416, energies": lambda: model_input(frame, raw416, view),
        "model input 320, opacity, Z, density": lambda: model_input(frame, full, view),
        "model input 416, opacity, Z, density": lambda: model_input(frame, full416, view),
        "model input 416, colour": lambda: model_input(frame, colour416, view),
        "model input 320, colour, its content": lambda: model_input(frame, shipped, view),
        "full pseudo-colour": lambda: pseudo_colour(planes_of(frame, view), colours),
        "full grey": lambda: grey(planes_of(frame, view)[1]),
        "full high penetration": lambda: high_penetration(planes_of(frame, view)[1]),
        "full Z, density, classes": lambda: look_up(planes, materials),
        "image quality": lambda: quality.problem(frame),
        "image quality, calibrated": lambda: quality.problem(frame, detector),
    }


def main() -> int:
    """Time everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    todo = jobs()
    took: dict[str, list[float]] = {name: [] for name in todo}
    for _ in range(arguments.rounds + 3):
        for name, job in todo.items():
            start = time.perf_counter()
            job()
            took[name].append(1000 * (time.perf_counter() - start))
    medians = {name: round(statistics.median(times[3:]), 2) for name, times in took.items()}
    if arguments.json:
        sys.stdout.write(json.dumps(medians) + "\n")
        return 0
    for name, times in took.items():
        sys.stdout.write(f"{name:42s} {medians[name]:7.2f} ms   fastest {min(times[3:]):6.2f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
