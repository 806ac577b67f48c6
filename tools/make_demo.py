#!/usr/bin/env python3
"""Makes the bundled demo, a simulated consignment of which some cartons lie: ``tools/make_demo.py [FOLDER]``.

Writes ``demo.mcap`` (raw counts of both views), ``demo.json`` (what each carton is declared to be, whether it
lies, and whether the shipped shielding model alarms), and the virtual scanner's profile and calibrations.
Needs the extra `simulate`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import msgspec
import yaml

from nii_edge.adapters.calibration_files import write_calibration
from nii_edge.adapters.mcap_recording import RecordingWriter
from nii_edge.config import Inference
from nii_edge.inference_process import open_detector
from nii_edge.records import Frame, Scan, ScanId, ScanType
from nii_edge.simulate.calibrated import MADE_AT_NS, Calibrated, calibrated
from nii_edge.simulate.labels import barcode, frame_message
from nii_edge.simulate.makes import SCANNERS
from nii_edge.simulate.produce import Job, Made, Shot, produce
from nii_edge.simulate.recipe import load_recipe
from nii_edge.xray.calibrate import Origin, assemble

ROOT = Path(__file__).resolve().parent.parent
LANE, MAKE = "lane-1", "quay"
SEED, NUMBER = 2026, 3
"""Of the consignments that this recipe gives, one small enough to ship: some cartons lie and are found out,
one lies and is not."""
PACE_NS, VIEW_NS = 1_200_000_000, 80_000_000


def consignment() -> Made:
    """The consignment, always the same."""
    recipe = load_recipe(ROOT / "configs" / "simulate" / "train.yaml")
    told = msgspec.structs.replace(
        recipe.consignments, stories={"shielding": 1.0, "plain": 0.0001}, cartons=(7, 8), litres=(5.0, 9.0)
    )
    return produce(
        Job(
            recipe=msgspec.structs.replace(recipe, consignments=told),
            kind="consignment",
            seed=SEED,
            number=NUMBER,
            scanner=MAKE,
            pictures=False,
        )
    )


def frames_of(shots: tuple[Shot, ...], unit: Calibrated) -> tuple[Frame, ...]:
    """The views as the detectors see them."""
    air = unit.profile.formats[0].air or 1.0
    return tuple(
        Frame(
            view=view,
            channels=("low", "high"),
            pixels=shot.counts,
            full_scale=air,
            opaque_below=unit.profile.penetration_limit,
        )
        for view, shot in enumerate(shots)
    )


def write(folder: Path) -> None:
    """All files, over those that are there."""
    made, unit = consignment(), calibrated(SCANNERS[MAKE])
    (folder / "demo.mcap").unlink(missing_ok=True)
    detector, runtime, _ = open_detector(
        "shielding", ROOT / "models" / "shielding" / "1.0.0", Inference(threads=1), {LANE: unit.optics}
    )
    truth: list[dict[str, Any]] = []
    with RecordingWriter(folder / "demo.mcap") as recording:
        for number, carton in enumerate(made.cartons):
            shots = made.scans[number].shots
            frames = frames_of(shots, unit)
            scan_id = ScanId(edge="demo", scanner=LANE, epoch=1, seq=number + 1)
            (found,) = detector.detect([Scan(id=scan_id, scan_type=ScanType.OPERATIONAL, frames=frames)])
            hidden = [thing for thing in carton.truth if thing.role in ("hidden", "shielding")]
            lines = made.master.lines_of(number) if made.master is not None else ()
            truth.append(
                {
                    "seq": number + 1,
                    "carton": barcode(made, number),
                    "declared": [f"{line.quantity} x {line.description}" for line in lines],
                    "lie": carton.lie,
                    "hidden": [f"{thing.label} ({thing.family})" for thing in hidden],
                    "alarms": bool(found),
                }
            )
            for view, shot in enumerate(shots):
                at = MADE_AT_NS + number * PACE_NS + view * VIEW_NS
                code, views = barcode(made, number), len(shots)
                recording.write_frame(*frame_message(LANE, number + 1, view, views, code, shot, at), at)
    runtime.close()
    (folder / "demo.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    profile = yaml.safe_dump(msgspec.to_builtins(unit.profile), sort_keys=False)
    (folder / "scanner.yaml").write_text(profile, encoding="utf-8")
    for view, (calibration, wedges) in enumerate(zip(unit.detectors, unit.wedges, strict=True)):
        c = calibration  # the same, of the lane on which the scanner stands here
        origin = Origin(LANE, view, c.made_at_ns, c.belt_axis, c.channels)
        on_lane = assemble(origin, c.offset, c.gain, c.states, c.air, c.dark_noise, c.air_noise)
        write_calibration(folder / f"scanner-{view}.cal", on_lane, wedges)


def main() -> None:
    """Entry point."""
    package = ROOT / "nii_edge" / "demo"
    parser = argparse.ArgumentParser(
        description="Make the demo's recording.", epilog="Example: python tools/make_demo.py"
    )
    parser.add_argument("folder", nargs="?", type=Path, default=package, help="default: %(default)s")
    write(parser.parse_args().folder)


if __name__ == "__main__":
    main()
