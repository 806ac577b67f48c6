"""The picture that travels with an alert: its views, with the findings drawn in."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import cv2
import numpy as np

from nii_edge.detect.heat import Heat
from nii_edge.records import Finding, Frame, Preview, Report, Verdict, preview_of
from nii_edge.wire import MAX_PREVIEW_BYTES
from nii_edge.xray.optics import Optics
from nii_edge.xray.render import Picture, picture

LONGEST = 480
"""The longer side of one view in the preview, in pixels."""
LINE = 18
FOOT = 16
_WHITE, _RED, _GREY, _INK = (255, 255, 255), (40, 40, 220), (120, 120, 120), (30, 30, 30)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SIZE = 0.42


def draw(
    report: Report,
    frames: Sequence[Frame],
    views: Sequence[Optics] = (),
    heats: Mapping[int, Heat] = MappingProxyType({}),
) -> Preview | None:
    """A JPEG of at most MAX_PREVIEW_BYTES; None if there is nothing to show, or it will not fit. `views`:
    what is known of the scanner's views, for the operator's colours; `heats`: heat maps by view."""
    if not frames:
        return None
    verdict = report.verdict
    panels = []
    for frame in frames:
        shown = picture(frame, LONGEST, views[frame.view] if frame.view < len(views) else None)
        if frame.view in heats:
            warm = _heat_panel(shown, frame, heats[frame.view])
            panels += [_panel(shown, frame, verdict.findings), warm]
        else:
            panels.append(_panel(shown, frame, verdict.findings))
    body = _side_by_side(panels)
    banner = _banner(
        _title(report), _first_line(verdict.findings, verdict.detail), _declared(verdict), body.shape[1]
    )
    canvas = np.vstack([banner, body])
    for quality in (82, 60, 35):
        done, data = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if done and data.nbytes <= MAX_PREVIEW_BYTES:
            return preview_of(data.tobytes(), "image/jpeg")
    return None


def _title(report: Report) -> str:
    verdict = report.verdict
    carton = f"  carton {verdict.carton}" if verdict.carton else ""
    reason = f" {verdict.reason.value}" if verdict.reason is not None else ""
    band = f"  {verdict.band.value}" if verdict.band is not None else ""
    risk = f" risk {verdict.risk:.0f}" if verdict.risk is not None else ""
    return f"{verdict.decision.value}{reason}{band}{risk}  {report.report_id}{carton}"


def _declared(verdict: Verdict) -> str:
    """The line of the papers that the findings contradict: the most likely one's that means one."""
    means = [finding for finding in verdict.findings if finding.declared]
    best = max(means, key=lambda finding: finding.score, default=None)
    return "" if best is None else f"declared: {best.declared}"


def _first_line(findings: Sequence[Finding], detail: str) -> str:
    if not findings:
        return detail
    best = max(findings, key=lambda f: f.score)
    more = f"  (+{len(findings) - 1} more)" if len(findings) > 1 else ""
    return best.why + more


def _panel(shown: Picture, frame: Frame, findings: Sequence[Finding]) -> Picture:
    """The view `shown`, with its findings drawn into it."""
    scale_y = shown.shape[0] / frame.pixels.shape[0]
    scale_x = shown.shape[1] / frame.pixels.shape[1]
    named: set[str] = set()
    for finding in sorted(findings, key=lambda f: -f.score):
        box = finding.box
        if box is None or box.view != frame.view:
            continue
        corner = (int(box.x0 * scale_x), int(box.y0 * scale_y))
        other = (int(np.ceil(box.x1 * scale_x)) - 1, int(np.ceil(box.y1 * scale_y)) - 1)
        cv2.rectangle(shown, corner, other, _WHITE, 3)
        cv2.rectangle(shown, corner, other, _RED, 1)
        if finding.label in named:  # once is enough: many boxes of a kind would hide each other
            continue
        named.add(finding.label)
        label = f"{finding.label} {finding.score:.2f}"
        _label(shown, label, corner)
    return _with_foot(shown, f"view {frame.view_name or frame.view}")


def _heat_panel(plain: Picture, frame: Frame, heat: Heat) -> Picture:
    """The view in pale grey, and over it in yellow to red where it is unlike other cartons."""
    grey = cv2.cvtColor(cv2.cvtColor(plain, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    shown: Picture = np.asarray(cv2.addWeighted(grey, 0.6, np.full_like(grey, 255), 0.4, 0), np.uint8)
    scale_y, scale_x = shown.shape[0] / frame.pixels.shape[0], shown.shape[1] / frame.pixels.shape[1]
    x0, x1 = (int(np.clip(x * scale_x, 0, shown.shape[1])) for x in (heat.box[0], heat.box[2]))
    y0, y1 = (int(np.clip(y * scale_y, 0, shown.shape[0])) for y in (heat.box[1], heat.box[3]))
    if x1 > x0 and y1 > y0:
        place = shown[y0:y1, x0:x1]
        grown = cv2.dilate(heat.values, np.ones((2, 2), np.uint8))  # one hot block is to be seen, too
        warm = cv2.resize(grown, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)[:, :, None]
        colour = np.concatenate([np.zeros_like(warm), 200 * (1 - warm), np.full_like(warm, 255)], axis=2)
        strength = np.minimum(1.6 * warm, 0.9)
        place[:] = np.round(place * (1 - strength) + colour * strength).astype(np.uint8)
    return _with_foot(shown, "unlike other cartons of its master bill")


def _with_foot(shown: Picture, words: str) -> Picture:
    foot = np.full((FOOT, shown.shape[1], 3), 255, np.uint8)
    cv2.putText(foot, _cut(words, shown.shape[1]), (4, 12), _FONT, 0.38, _GREY, 1, cv2.LINE_AA)
    panel: Picture = np.vstack([shown, foot])
    return panel


def _label(shown: Picture, text: str, corner: tuple[int, int]) -> None:
    """Red on a white plate above `corner`, within the picture."""
    (width, height), below = cv2.getTextSize(text, _FONT, _SIZE, 1)
    left = max(0, min(corner[0], shown.shape[1] - width - 4))
    base = max(height + 3, corner[1] - 4)
    cv2.rectangle(shown, (left, base - height - 3), (left + width + 3, base + below - 1), _WHITE, -1)
    cv2.putText(shown, text, (left + 2, base), _FONT, _SIZE, _RED, 1, cv2.LINE_AA)


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


def _banner(title: str, text: str, declared: str, width: int) -> Picture:
    """The title on one line, the text on at most two, and one of the papers if any is meant."""
    lines = [_cut(title, width), *_wrap(text, width)]
    if declared:
        lines.append(_cut(declared, width))
    banner = np.full((8 + LINE * len(lines), width, 3), 245, np.uint8)
    for i, line in enumerate(lines):
        cv2.putText(banner, line, (6, LINE * (i + 1) - 2), _FONT, _SIZE, _INK, 1, cv2.LINE_AA)
    return banner


def _wrap(text: str, width: int) -> list[str]:
    words, lines = text.split(), [""]
    while words and (len(lines) < 2 or _fits(f"{lines[-1]} {words[0]}", width)):
        longer = f"{lines[-1]} {words[0]}".strip()
        if not lines[-1] or _fits(longer, width):
            lines[-1] = longer
            words.pop(0)
        else:
            lines.append("")
    if words:
        lines[-1] += " ..."
    return [_cut(line, width) for line in lines]


def _cut(line: str, width: int) -> str:
    """Only what the drawing font knows, and only what fits."""
    line = _latin(line)[: max(4, width // 3)]
    while not _fits(line, width):
        line = line[:-4] + "..."[: max(0, len(line) - 4)]
    return line


_LIKE = str.maketrans({"±": "+/-", "×": "x", "–": "-", "—": "-", "’": "'", "…": "..."})


def _latin(line: str) -> str:
    """A line in letters that the font has; in place of others, that the record has them."""
    plain = unicodedata.normalize("NFKD", line.translate(_LIKE))
    kept = "".join(c for c in plain if c.isascii())
    lost = any(not c.isascii() and unicodedata.category(c)[0] != "M" for c in plain)
    return f"{' '.join(kept.split())} (more in other letters: see the record)" if lost else kept


def _fits(line: str, width: int) -> bool:
    return len(line) <= 3 or int(cv2.getTextSize(line, _FONT, _SIZE, 1)[0][0]) <= width - 12
