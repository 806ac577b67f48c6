"""Build the bundle `shielding`: where X-rays do not get through. No training, only arithmetic.

    python tools/export_shielding.py [FOLDER]

FOLDER defaults to ``models/shielding/1.0.0``. Equal versions of the libraries write equal bytes. Needs
the `onnx` package (extra `dev`).
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from nii_edge.bundle import Bundle, Expected, GoldenFrame, write_bundle
from nii_edge.config import BundleManifest, DenseHead, Label, ModelInput
from nii_edge.records import Channel, Frame

VERSION = "1.0.0"
SIDE = 512
"""Height and width of the input, in pixels."""
WINDOW = 3
"""Side of the opening's window, in pixels of the halved picture: what is thinner does not count."""
STEEPNESS = 20.0
"""Slope of the score: 0.5 at the limit, 0.88 at a tenth beyond it."""
MIN_AREA = 0.001
"""Share of the frame an area must cover: about 29 x 29 pixels of an 832 x 1024 frame."""

LABEL = "impenetrable_area"
DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "models" / "shielding" / VERSION


def build_model() -> bytes:
    """The ONNX graph: halve, open, compare with the limit.

    The minimum sees air beyond the edges, so that a line along an edge is as thin as any other.
    """
    kernel, margin = [WINDOW, WINDOW], WINDOW // 2
    nodes = [
        helper.make_node("AveragePool", ["image"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Pad", ["half", "margins"], ["framed"]),
        helper.make_node("Neg", ["framed"], ["clearness"]),
        helper.make_node("MaxPool", ["clearness"], ["thinned"], kernel_shape=kernel),
        helper.make_node("Neg", ["thinned"], ["eroded"]),
        helper.make_node("MaxPool", ["eroded"], ["opened"], kernel_shape=kernel, pads=[margin] * 4),
        helper.make_node("Sub", ["opened", "limit"], ["beyond"]),
        helper.make_node("Mul", ["beyond", "steepness"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "shielding",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", 1, SIDE // 2, SIDE // 2])],
        [
            helper.make_tensor("margins", TensorProto.INT64, [8], [0, 0, margin, margin] * 2),
            helper.make_tensor("limit", TensorProto.FLOAT, [], [1.0]),
            helper.make_tensor("steepness", TensorProto.FLOAT, [], [STEEPNESS]),
        ],
    )
    model = helper.make_model(
        graph, producer_name="nii_edge", opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def manifest() -> BundleManifest:
    """The bundle's manifest, but for the model's hash."""
    return BundleManifest(
        version=1,
        name="shielding",
        model_version=VERSION,
        description="Areas that X-rays do not get through, by the scanner's own limit. Not trained.",
        licence="Apache-2.0",
        kind="shielding",
        format="onnx",
        model="model.onnx",
        sha256="0" * 64,
        input=ModelInput(name="image", channels=("opacity",), size=(SIDE, SIDE)),
        output=DenseHead(output="score", min_area=MIN_AREA),
        labels=(
            Label(
                name=LABEL,
                category="ANOMALY",
                threshold=0.5,
                why="X-rays do not get through {percent} of the {view} view: it cannot be seen what is there",
            ),
        ),
        golden="golden",
    )


def golden_frames() -> tuple[GoldenFrame, ...]:
    """Drawn frames whose findings follow from the drawing, not from the model."""
    return (
        _golden("counts_block", _counts(), ("low", "high"), (50_000.0, 0.001), 10 / 50_000),
        _golden("colour_block", _colour(block=True), ("red", "green", "blue"), (255.0, 0.17), 26 / 255),
        _golden("colour_clear", _colour(block=False), ("red", "green", "blue"), (255.0, 0.17), None),
    )


_BLOCK = (360, 240, 520, 400)
"""The drawn impenetrable block, (x0, y0, x1, y1), on multiples of 4 so that resizing keeps its edges."""


def _golden(
    name: str,
    pixels: npt.NDArray[np.generic],
    channels: tuple[Channel, ...],
    scale: tuple[float, float],
    inside: float | None,
) -> GoldenFrame:
    """A golden frame; `inside` is the block's fraction of full scale, None without a block."""
    full_scale, limit = scale
    frame = Frame(view=0, channels=channels, pixels=pixels, full_scale=full_scale, opaque_below=limit)
    if inside is None:
        return GoldenFrame(name=name, frame=frame, expected=())
    counts = "high" in channels
    opacity = math.log(inside) / math.log(limit) if counts else (1 - inside) / (1 - limit)
    score = 1 / (1 + math.exp(-STEEPNESS * (opacity - 1)))
    x0, y0, x1, y1 = _BLOCK
    box = (float(x0), float(y0), float(x1), float(y1))
    return GoldenFrame(name=name, frame=frame, expected=(Expected(label=LABEL, score=score, box=box),))


def _counts() -> npt.NDArray[np.uint16]:
    """Dual energy: a carton, thick steel that still lets a hundredth through, the block, a wire."""
    picture = np.full((832, 1024, 2), 50_000, np.uint16)
    picture[100:740, 120:900] = (34_000, 40_000)
    picture[480:640, 600:760] = (200, 500)
    picture[300:304, 560:880] = (0, 0)
    x0, y0, x1, y1 = _BLOCK
    picture[y0:y1, x0:x1] = (2, 10)
    return picture


def _colour(block: bool) -> npt.NDArray[np.uint8]:
    """Pseudo-colour: a carton in orange, thick metal in pure blue, black edges, perhaps the block."""
    picture = np.full((832, 1024, 3), 255, np.uint8)
    picture[100:740, 120:900] = (240, 190, 120)
    picture[480:640, 600:760] = (0, 0, 255)
    picture[96:100, 120:900] = picture[740:744, 120:900] = picture[100:740, 896:900] = 0
    if block:
        x0, y0, x1, y1 = _BLOCK
        picture[y0:y1, x0:x1] = (20, 22, 26)
    return picture


CARD = f"""# shielding {VERSION}

**What it does.** Marks areas of a view that X-rays do not get through, where a thing could lie unseen. It
says nothing about what is there. An area is an ALARM of its own kind, counted apart from the others.

**Not trained.** The network is arithmetic on one input channel, `opacity`, which the front end makes of any
frame: 0 for air, 1 where the scanner's profile says that nothing behind is shown any more.

- Counts (high energy, or low if that is all): `log(T) / log(penetration_limit)`, T the transmission.
- Display pictures: `(1 - b) / (1 - black_level)`, b the brightest of red, green and blue as a fraction of
  white. So the pure blue of thick metal counts as penetrated and black does not.

**Formula.** The {SIDE} x {SIDE} input is averaged to half its size, opened with a {WINDOW} x {WINDOW} window
(minimum, then maximum: lines and edges thinner than {2 * WINDOW} input pixels vanish, larger areas keep their
size), and `score = sigmoid({STEEPNESS:g} (opacity - 1))`: 0.5 is the limit itself. Connected areas at 0.5 or
more that cover at least {MIN_AREA:.1%} of the frame are findings.

**Limits.** It is as good as the profile's `penetration_limit` or `black_level`; measure those on the scanner
with a step wedge. Smaller or thinner areas are left to other detectors: on an 832 x 1024 frame anything
thinner than about {2 * WINDOW * 2} pixels. A scan line of a dead detector is too thin to count. A display
picture may show black what the scanner did measure (contrast settings), or show as dark green what it did
not; raw counts are better. Frames much longer than they are wide lose most to the resize.

**How made.** `python tools/export_shielding.py`; standard ONNX operators, opset 17.

**How checked.** Golden frames are drawn, and what must be found follows from the drawing: a block at a fifth
of the limit in counts beside steel that transmits a hundredth; a black block in a colour picture beside pure
blue metal and black edges; the same picture without the block. Window, area and the default black level of
0.17 were chosen by eye on 188 public pseudo-colour pictures of luggage and cartons (SIXray; not part of this
repository), so the following is no independent test: 18 of them give a finding, each where the picture is
black. 10 of the 48 pictures of cartons (steel cylinders, a transformer, stacked metal), 1 of the 20 belt
frames (dense goods), and 7 of the 120 of luggage, where a gun, a knife seen on its edge, a rod or tools stand
over something else. Thick metal in blue, black outlines and thin cables alone give none.
"""


def export(folder: Path) -> Bundle:
    """Write the bundle into `folder` and read it back."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_bundle(folder, manifest(), build_model(), golden_frames(), CARD)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description="Write the shielding bundle. The bytes are the same at every run.",
        epilog="Example: python tools/export_shielding.py",
    )
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER, help="default: %(default)s")
    written = export(parser.parse_args().folder)
    sys.stderr.write(
        f"{written.folder}: model of {len(written.model)} bytes, {len(written.golden)} golden frames\n"
    )


if __name__ == "__main__":
    main()
