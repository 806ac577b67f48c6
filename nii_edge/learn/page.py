"""An evaluation as one HTML page: figures, curves and the worst cases, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from nii_edge.errors import DataError
from nii_edge.learn.cache import read_rgb
from nii_edge.learn.looking import Looked
from nii_edge.learn.scoring import Found, Wanted, overlap, right_or_not

WORST = 24
SIDE = 300
SURE = 0.3
"""The score from which a detection is drawn."""
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;
padding:0 1rem;color:#1c1c1c}
table{border-collapse:collapse;margin:1rem 0}
td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:left}
td{font-variant-numeric:tabular-nums}figure{display:inline-block;margin:.4rem;vertical-align:top;width:300px}
figcaption{font-size:13px;color:#555;overflow-wrap:anywhere}li{overflow-wrap:anywhere}
svg{margin:.5rem 1rem .5rem 0}"""


def write_page(
    path: Path,
    summary: msgspec.Struct,
    looked: Sequence[Looked],
    names: Sequence[str],
    cartons: Mapping[str, tuple[float, bool]],
) -> None:
    """Write the page. `cartons`: best score of each, and whether there is something prohibited in it."""
    tree: dict[str, Any] = msgspec.to_builtins(summary)
    scored = right_or_not([one.wanted for one in looked], [one.found for one in looked])
    parts = [
        f"<h1>Evaluation</h1><p>{tree['images']} pictures, mAP50 {tree['map50']:.3f} "
        f"({tree['interval'][0]:.3f}–{tree['interval'][1]:.3f}), mAP50-95 {tree['map']:.3f}, "
        f"AP30 {tree['ap30']:.3f}, calibration error {tree['calibration_error']:.3f}, scaled "
        f"{tree['calibration_error_scaled']:.3f}</p>",
        listed("Cautions", tree["cautions"]),
        _table(
            ("class", "AP50", "AP30"),
            [(n, v, tree["per_class30"].get(n, 0)) for n, v in tree["per_class"].items()],
        ),
        listed("Names", tree["taken_names"]),
        listed("Classes of the labels that the bundle has not (left out)", tree["unmatched_names"]),
        listed("Problems", tree["problems"]),
        *(_table((key, "mAP50"), list(values.items())) for key, values in tree["by"].items()),
        _cartons(tree),
        "<h2>Curves</h2>",
        curve(
            [(score, float(right)) for score, right in _reliability(scored)], "score", "share that is right"
        ),
        curve(_roc(cartons), "false alarms", "detected cartons") if cartons else "",
        "<h2>Worst cases</h2><p>Red: labelled. Blue: found, with its score.</p>",
        *(_figure(one, names) for one in _worst(looked)),
    ]
    text = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Evaluation</title><style>{_STYLE}</style>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "".join(parts) + "</html>", encoding="utf-8", errors="backslashreplace")


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    def cell(value: Any) -> str:
        return f"{value:.3f}" if isinstance(value, float) else html.escape(str(value))

    body = "".join("<tr>" + "".join(f"<td>{cell(value)}</td>" for value in row) + "</tr>" for row in rows)
    return "<table><tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in head) + f"</tr>{body}</table>"


def listed(title: str, lines: Sequence[str]) -> str:
    """A heading with a list; nothing where the list is empty."""
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<h2>{html.escape(title)}</h2><ul>{items}</ul>" if items else ""


def _cartons(tree: dict[str, Any]) -> str:
    rows = [
        (
            f"{r['pfa_wanted']:.0%}",
            r["pfa"],
            _span(r["pfa_interval"]),
            r["pd"],
            _span(r["pd_interval"]),
            r["threshold"],
        )
        for r in tree["cartons"]
    ]
    head = ("wanted Pfa", "Pfa", "95 %", "Pd", "95 %", "threshold")
    return "<h2>Cartons</h2>" + _table(head, rows) if rows else ""


def _span(pair: Sequence[float]) -> str:
    return f"{pair[0]:.3f}–{pair[1]:.3f}"


def _reliability(scored: Sequence[tuple[float, bool]], bins: int = 10) -> list[tuple[float, float]]:
    made = []
    for index in range(bins):
        own = [(s, right) for s, right in scored if index <= s * bins < index + 1]
        if own:
            made.append((float(np.mean([s for s, _ in own])), float(np.mean([right for _, right in own]))))
    return made


def _roc(cartons: Mapping[str, tuple[float, bool]]) -> list[tuple[float, float]]:
    honest = np.array([score for score, threat in cartons.values() if not threat])
    lying = np.array([score for score, threat in cartons.values() if threat])
    if not len(honest) or not len(lying):
        return []
    steps = np.unique(np.concatenate([honest, lying, [0.0, 1.01]]))[::-1]
    return [(float((honest >= at).mean()), float((lying >= at).mean())) for at in steps]


def curve(points: Sequence[tuple[float, float]], x: str, y: str, top: float = 1.0) -> str:
    """Points in 0-1 (y up to `top`) as an SVG line."""
    if not points:
        return ""
    right = max([1e-9, *(point[0] for point in points)]) if top != 1.0 else 1.0
    line = " ".join(f"{40 + 240 * px / right:.1f},{260 - 240 * min(py / top, 1):.1f}" for px, py in points)
    return (
        '<svg width="300" height="300" role="img"><path d="M40 20V260H280" fill="none" stroke="#999"/>'
        f'<polyline points="{line}" fill="none" stroke="#1f5fbf" stroke-width="2"/>'
        f'<text x="160" y="290" text-anchor="middle" font-size="12">{html.escape(x)} (to {right:.3g})</text>'
        f'<text x="14" y="140" text-anchor="middle" font-size="12" transform="rotate(-90 14 140)">'
        f"{html.escape(y)} "
        f"(to {top:.3g})</text></svg>"
    )


def _worst(looked: Sequence[Looked]) -> list[Looked]:
    """Surest false detections and missed things first."""

    def badness(one: Looked) -> float:
        free = [f for f in one.found if not any(_meets(f, mark) for mark in one.wanted)]
        missed = [
            mark
            for mark in one.wanted
            if not mark.ignored and not any(_meets(f, mark) and f.score > SURE for f in one.found)
        ]
        return max((f.score for f in free), default=0.0) + 0.8 * bool(missed)

    return sorted(looked, key=badness, reverse=True)[:WORST]


def _meets(found: Found, mark: Wanted) -> bool:
    return found.label == mark.label and overlap(found.box, mark.box) >= 0.3


def _figure(one: Looked, names: Sequence[str]) -> str:
    try:
        rgb = read_rgb(one.picture.file, one.picture.bits, one.picture.size)
    except DataError:
        return ""
    picture = drawn(rgb, one.wanted, one.found, names)
    _, data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    code = base64.b64encode(data.tobytes()).decode()
    caption = html.escape(one.picture.file.name)
    image = f'<img alt="{caption}" src="data:image/jpeg;base64,{code}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def drawn(
    rgb: npt.NDArray[np.uint8], wanted: Sequence[Wanted], found: Sequence[Found], names: Sequence[str]
) -> npt.NDArray[np.uint8]:
    """A small picture with its labels in red and what was found in blue."""
    scale = SIDE / max(rgb.shape[:2])
    size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
    small = np.ascontiguousarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
    for mark in wanted:
        _box(small, mark.box, scale, (220, 30, 30), names[mark.label])
    for one in found:
        if one.score >= SURE:
            _box(small, one.box, scale, (30, 60, 220), f"{names[one.label]} {one.score:.2f}")
    return small


def _box(
    picture: npt.NDArray[np.uint8],
    box: Sequence[float],
    scale: float,
    colour: tuple[int, int, int],
    text: str,
) -> None:
    x0, y0, x1, y1 = (round(side * scale) for side in box)
    cv2.rectangle(picture, (x0, y0), (x1, y1), colour, 1)
    cv2.putText(picture, text, (x0, max(y0 - 2, 8)), cv2.FONT_HERSHEY_SIMPLEX, 0.32, colour, 1, cv2.LINE_AA)
