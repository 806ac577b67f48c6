"""The picture that travels with an alert: its views, with the findings drawn in."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from nii_edge.records import Finding, Frame, Preview, Report, preview_of
from nii_edge.wire import MAX_PREVIEW_BYTES
from nii_edge.xray.render import Picture, picture

LONGEST = 480
"""The longer side of one view in the preview, in pixels."""
BANNER = 44
FOOT = 16
_WHITE, _RED, _GREY, _INK = (255, 255, 255), (40, 40, 220), (120, 120, 120), (30, 30, 30)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(report: Report, frames: Sequence[Frame], view_names: Sequence[str]) -> Preview | None:
    """A JPEG of at most MAX_PREVIEW_BYTES; None if there is nothing to show, or it will not fit."""
    if not frames:
        return None
    verdict = report.verdict
    panels = [_panel(frame, verdict.findings, view_names) for frame in frames]
    body = _side_by_side(panels)
    lines = [f"{verdict.decision.value} {verdict.reason.value if verdict.reason else ''}  {report.report_id}"]
    lines.append(_first_line(verdict.findings, verdict.detail))
    canvas = np.vstack([_banner(lines, body.shape[1]), body])
    for quality in (82, 60, 35):
        done, data = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if done and data.nbytes <= MAX_PREVIEW_BYTES:
            return preview_of(data.tobytes(), "image/jpeg")
    return None


def _first_line(findings: Sequence[Finding], detail: str) -> str:
    if not findings:
        return detail
    best = max(findings, key=lambda f: f.score)
    more = f"  (+{len(findings) - 1} more)" if len(findings) > 1 else ""
    return best.why + more


def _panel(frame: Frame, findings: Sequence[Finding], view_names: Sequence[str]) -> Picture:
    shown = picture(frame, LONGEST)
    scale_y = shown.shape[0] / frame.pixels.shape[0]
    scale_x = shown.shape[1] / frame.pixels.shape[1]
    for finding in findings:
        box = finding.box
        if box is None or box.view != frame.view:
            continue
        corner = (int(box.x0 * scale_x), int(box.y0 * scale_y))
        other = (int(np.ceil(box.x1 * scale_x)) - 1, int(np.ceil(box.y1 * scale_y)) - 1)
        cv2.rectangle(shown, corner, other, _WHITE, 3)
        cv2.rectangle(shown, corner, other, _RED, 1)
        label = f"{finding.label} {finding.score:.2f}"
        place = (max(2, min(corner[0], shown.shape[1] - 7 * len(label))), max(12, corner[1] - 4))
        cv2.putText(shown, label, place, _FONT, 0.42, _WHITE, 3, cv2.LINE_AA)
        cv2.putText(shown, label, place, _FONT, 0.42, _RED, 1, cv2.LINE_AA)
    foot = np.full((FOOT, shown.shape[1], 3), 255, np.uint8)
    cv2.putText(foot, f"view {view_names[frame.view]}", (4, 12), _FONT, 0.38, _GREY, 1, cv2.LINE_AA)
    panel: Picture = np.vstack([shown, foot])
    return panel


def _side_by_side(panels: Sequence[Picture]) -> Picture:
    height = max(panel.shape[0] for panel in panels)
    padded = [
        cv2.copyMakeBorder(panel, 0, height - panel.shape[0], 0, 6, cv2.BORDER_CONSTANT, value=_WHITE)
        for panel in panels
    ]
    row: Picture = np.hstack(padded)
    if row.shape[1] < LONGEST:
        row = np.asarray(
            cv2.copyMakeBorder(row, 0, 0, 0, LONGEST - row.shape[1], cv2.BORDER_CONSTANT, value=_WHITE),
            np.uint8,
        )
    return row


def _banner(lines: Sequence[str], width: int) -> Picture:
    banner = np.full((BANNER, width, 3), 245, np.uint8)
    for i, line in enumerate(lines):
        text = line.encode("ascii", "replace").decode()
        fits = max(10, int((width - 8) / 7))
        shown = text if len(text) <= fits else text[: fits - 2] + ".."
        cv2.putText(banner, shown, (6, 18 + 18 * i), _FONT, 0.42, _INK, 1, cv2.LINE_AA)
    return banner
