"""The picture that travels with an alert: always a small JPEG, whatever the scan was."""

from __future__ import annotations

import hashlib

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nii_edge.detect.heat import Heat
from nii_edge.edge.preview import LONGEST, draw
from nii_edge.records import (
    Box,
    Channel,
    Decision,
    Finding,
    Frame,
    Preview,
    Reason,
    Report,
    ScanId,
    ScanType,
    Verdict,
)
from nii_edge.wire import MAX_PREVIEW_BYTES

SCAN = ScanId(edge="e", scanner="s", epoch=1, seq=1)


def report(
    findings: tuple[Finding, ...] = (), detail: str = "no answer", carton: str | None = None
) -> Report:
    reason = None if findings else Reason.TIMEOUT
    decision = Decision.ALARM if findings else Decision.UNKNOWN
    verdict = Verdict(
        id=SCAN, scan_type=ScanType.OPERATIONAL, decision=decision, reason=reason,
        detail=detail, findings=findings, carton=carton,
    )  # fmt: skip
    return Report(
        alert_id=SCAN.alert_id, report_id=SCAN.report_id, verdict=verdict, received_at_ns=1, decided_at_ns=2
    )


def frame(pixels: np.ndarray, channels: tuple[Channel, ...], view: int = 0, full_scale: float = 255) -> Frame:
    return Frame(view=view, channels=channels, pixels=pixels, full_scale=full_scale, opaque_below=0.1)


def white(height: int = 60, width: int = 90, view: int = 0) -> Frame:
    return frame(np.full((height, width, 1), 255, np.uint8), ("grey",), view)


def finding(box: Box | None, score: float = 0.9, label: str = "knife", why: str = "a knife") -> Finding:
    return Finding(detector="d", kind="object", label=label, category="PI", score=score, why=why, box=box)


def box(x0: float, y0: float, x1: float, y1: float, view: int = 0) -> Box:
    return Box(view=view, x0=x0, y0=y0, x1=x1, y1=y1)


def image(preview: Preview | None) -> np.ndarray:
    """The picture, after the checks that hold for every preview."""
    assert preview is not None
    assert preview.media_type == "image/jpeg"
    assert len(preview.data) <= MAX_PREVIEW_BYTES
    assert preview.sha256 == hashlib.sha256(preview.data).hexdigest()
    shown = cv2.imdecode(np.frombuffer(preview.data, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    return shown.astype(int)


def red(shown: np.ndarray) -> np.ndarray:
    """Where it is red (row, column)."""
    return np.argwhere((shown[:, :, 2] - shown[:, :, 1] > 60) & (shown[:, :, 2] - shown[:, :, 0] > 60))


def test_without_frames_there_is_no_picture() -> None:
    """A scan of which nothing arrived has nothing to show."""
    assert draw(report(), []) is None


def test_a_box_is_drawn_where_the_finding_is() -> None:
    """The red frame has the box's corners, in the picture's scale; nothing is red without a finding."""
    base = white(200, 400)
    plain = image(draw(report(), [base]))
    assert len(red(plain)) == 0
    shown = image(draw(report((finding(box(100, 60, 300, 160)),)), [base]))
    spots = red(shown)
    banner = shown.shape[0] - 200 - 16
    columns, rows = spots[:, 1], spots[:, 0] - banner
    assert abs(int(columns.min()) - 100) <= 2
    assert abs(int(columns.max()) - 299) <= 2
    assert abs(int(rows.max()) - 159) <= 2
    assert int(rows.min()) < 62


def test_a_box_is_drawn_in_its_own_view_and_scaled_with_it() -> None:
    """A box of view 1 leaves view 0 alone, also when the frames are shrunk."""
    frames = [white(960, 960, view=0), white(960, 960, view=1)]
    shown = image(draw(report((finding(box(200, 400, 800, 600, view=1)),)), frames))
    left, top = LONGEST + 6, shown.shape[0] - LONGEST - 16
    rows, columns = red(shown).T
    assert abs(int(columns.min()) - (left + 100)) <= 3
    assert abs(int(columns.max()) - (left + 399)) <= 3
    assert abs(int(rows.max()) - (top + 299)) <= 3


def test_findings_without_a_box_or_of_another_view_draw_none() -> None:
    """A whole-scan finding and one of a view that is not there are told in words only."""
    found = (finding(None), finding(box(1, 1, 20, 20, view=5)))
    assert len(red(image(draw(report(found), [white()])))) == 0


@pytest.mark.parametrize(
    "why", ["Messer \U0001f52a – 刀", "", "%s %d {score}", "\x00\n\t\x1b[31m", "a" * 5_000]
)
def test_any_text_is_drawn_somehow(why: str) -> None:
    """Words that the font does not know, control characters or no words at all never cost the picture."""
    found = finding(box(1, 1, 9, 9), why=why)
    image(draw(report((found,), carton=why[:128]), [white()]))
    image(draw(report(detail=why), [white()]))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=600), st.one_of(st.none(), st.text(max_size=128)), st.integers(1, 700))
def test_no_text_and_no_width_breaks_the_banner(text: str, carton: str | None, width: int) -> None:
    """Every text over a picture of every width gives a picture of that view's width, at least the least."""
    shown = image(draw(report(detail=text, carton=carton), [white(8, width)]))
    assert shown.shape[1] == max(LONGEST, min(width, LONGEST) + 6)


dtypes = st.sampled_from(["uint8", "uint16", "float32"])
channel_sets: st.SearchStrategy[tuple[Channel, ...]] = st.sampled_from(
    [("low", "high"), ("high",), ("low",), ("grey",), ("red", "green", "blue")]
)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 40), dtypes, channel_sets, st.integers(0, 2**32 - 1), st.integers(1, 8)
)
def test_every_kind_of_frame_can_be_shown(
    height: int, width: int, dtype: str, channels: tuple[Channel, ...], seed: int, views: int
) -> None:
    """1 to 8 views from 1x1 up, of every type and channels, with a box at the very edge."""
    rng = np.random.default_rng(seed)
    values = rng.random((height, width, len(channels)))
    top = {"uint8": 255, "uint16": 65535, "float32": 1.0}[dtype]
    pixels = (values * top).astype(dtype)
    frames = [frame(pixels, channels, view, top) for view in range(views)]
    found = tuple(finding(box(0, 0, width, height, view)) for view in range(views))
    shown = image(draw(report(found), frames))
    assert shown.shape[1] == max(LONGEST, views * (width + 6))


def test_eight_large_views_of_noise_still_fit() -> None:
    """The worst to compress stays under the limit, at a lower quality."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (500, 500, 3), dtype=np.uint8)
    image(draw(report(), [frame(pixels, ("red", "green", "blue"), view) for view in range(3)]))
    most = draw(report(), [frame(pixels, ("red", "green", "blue"), view) for view in range(8)])
    assert most is None or len(most.data) <= MAX_PREVIEW_BYTES


def test_a_very_long_frame_is_shrunk_and_keeps_a_pixel() -> None:
    """A frame of 1 x 20000 is shown one pixel high."""
    assert image(draw(report(), [white(1, 20_000)])).shape[1] == LONGEST + 6


def test_colours_are_shown_as_they_are() -> None:
    """A red picture is red, not blue, in the preview."""
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[:, :, 0] = 255
    shown = image(draw(report(), [frame(pixels, ("red", "green", "blue"))]))
    assert shown[-40, 40, 2] > 200
    assert shown[-40, 40, 0] < 60


def test_where_nothing_gets_through_it_is_black() -> None:
    """Counts of 0 are black, air is white."""
    counts = np.full((60, 90, 2), 50_000, np.uint16)
    counts[:, :45] = 0
    shown = image(draw(report(), [frame(counts, ("low", "high"), full_scale=50_000)]))
    assert shown[-40, 20].max() < 30
    assert shown[-40, 70].min() > 225


@pytest.mark.parametrize("label", ["x", "a" * 64])
def test_a_label_at_the_edge_stays_in_the_picture(label: str) -> None:
    """The name of a finding in the last corner is still written, over the picture."""
    found = finding(box(85, 0, 90, 3), label=label)
    plain = image(draw(report((finding(None, label=label),)), [white()]))
    shown = image(draw(report((found,)), [white()]))
    assert shown.shape == plain.shape
    assert len(red(shown)) > 10


def test_boxes_that_lie_outside_or_are_not_numbers_of_pixels_cost_nothing() -> None:
    """A detector's odd box (outside, inside out, huge) is clipped by the drawing, not an error."""
    for odd in (box(-50, -50, 5, 5), box(80, 50, 10, 5), box(0, 0, 1e6, 1e6)):
        image(draw(report((finding(odd),)), [white()]))


def heat(*spots: tuple[int, int], box: tuple[float, float, float, float] = (0, 0, 400, 200)) -> Heat:
    """Ten rows by twenty columns, hot at `spots` (row, column)."""
    values = np.zeros((10, 20), np.float32)
    for spot in spots:
        values[spot] = 1
    return Heat(0, box, values)


def test_the_heat_map_stands_beside_its_view_and_is_hot_at_the_place() -> None:
    """A second panel for the view that has one; red there and nowhere else, the boxes stay in the first."""
    base = white(200, 400)
    plain = image(draw(report(), [base]))
    shown = image(draw(report(), [base], heats={0: heat((5, 10), (5, 11), (6, 10), (6, 11))}))
    assert shown.shape[1] == 2 * (400 + 6)
    spots = red(shown) - (shown.shape[0] - 200 - 16, 406)
    assert len(spots) > 400
    assert abs(float(spots[:, 0].mean()) - 120) < 12
    assert abs(float(spots[:, 1].mean()) - 220) < 12
    assert shown.shape[0] == plain.shape[0]


@pytest.mark.parametrize(
    "box",
    [(-50.0, -9.0, 9e3, 9e3), (10.0, 10.0, 10.0, 10.0), (0.0, 0.0, 0.4, 0.4), (500.0, 500.0, 900.0, 900.0)],
)
def test_a_heat_map_of_any_place_costs_no_picture(box: tuple[float, float, float, float]) -> None:
    """Beyond the frame, of no size, or of a view that did not come."""
    image(draw(report(), [white(200, 400)], heats={0: heat((0, 0), box=box)}))
    assert image(draw(report(), [white(200, 400)], heats={3: heat((0, 0))})).shape[1] == LONGEST


def test_the_line_of_the_papers_stands_under_the_words() -> None:
    """One line more, of the most likely finding that means one, and it is cut to the width."""
    plain = finding(None, score=0.95)
    one = finding(None, score=0.9)
    told = msgspec.structs.replace(one, declared="H1: 940510 lamps, 4 pieces " * 20)
    before, after = (image(draw(report((plain, each)), [white()])) for each in (one, told))
    assert after.shape[0] == before.shape[0] + 18
    assert after.shape[1] == before.shape[1]
