"""What is true of simulated scans, in the forms that others read: COCO, manifests as JSON and CSV."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterable
from typing import Any, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from nii_edge.simulate.produce import LABELS, Made, Seen, Shot
from nii_edge.simulate.scene import Role
from nii_edge.wire import FrameMessage

ROLES: tuple[Role, ...] = get_args(Role)
CSV_FIELDS = (
    "barcode", "master_bill", "carton", "gross_kg", "house_bill", "packages", "shipper", "consignee",
    "hs_code",
    "description", "quantity", "weight_kg", "value_usd", "origin",
)  # fmt: skip


def barcode(made: Made, carton: int) -> str:
    """What stands on a carton: the master bill's number and which of its cartons it is."""
    return f"{made.master.number}-{carton + 1:03d}" if made.master is not None else f"L{made.job.number:06d}"


def frame_message(
    scanner: str, seq: int, view: int, views: int, carton: str, shot: Shot, at_ns: int
) -> tuple[FrameMessage, bytes]:
    """A view as the scanner would send it: header and raw counts."""
    payload = np.ascontiguousarray(shot.counts, "<u2").tobytes()
    header = FrameMessage(
        scanner=scanner,
        epoch=1,
        seq=seq,
        view=view,
        views=views,
        channels=("low", "high"),
        dtype="uint16",
        height=shot.counts.shape[0],
        width=shot.counts.shape[1],
        crc32=zlib.crc32(payload),
        captured_at_ns=at_ns,
        carton=carton,
    )
    return header, payload


def categories() -> list[dict[str, Any]]:
    """COCO categories, the same in every data set."""
    return [{"id": number, "name": label} for number, label in enumerate(LABELS, 1)]


def role_categories() -> list[dict[str, Any]]:
    """COCO categories of what a thing is there for, the same in every data set."""
    return [{"id": number, "name": role} for number, role in enumerate(ROLES, 1)]


def annotation(number: int, image: int, seen: Seen, shot: Shot, size: tuple[int, int]) -> dict[str, Any]:
    """One COCO annotation of a thing that has a label, by that label: see `_annotation`.

    Raises:
        ValueError: it has none.
    """
    return _annotation(number, image, LABELS.index(seen.label or "") + 1, seen, shot, size)


def role_annotation(number: int, image: int, seen: Seen, shot: Shot, size: tuple[int, int]) -> dict[str, Any]:
    """One COCO annotation of any thing, by what it is there for: see `_annotation`."""
    tree = _annotation(number, image, ROLES.index(seen.role) + 1, seen, shot, size)
    return {**tree, "label": seen.label}


def _annotation(
    number: int, image: int, category: int, seen: Seen, shot: Shot, size: tuple[int, int]
) -> dict[str, Any]:
    """In pixels of an image of `size` (height, width) that shows the shot's frame.

    `segmentation` is a run-length mask of the picture, columns first, as COCO has it; beside COCO's own:
    `family`, `visible`, `sigma`, `cover_g_cm2`, `declared`, `lawful`, `thing` (its place in the carton's
    truth, or in those of two merged ones, one after the other).
    """
    height, width = shot.counts.shape[:2]
    scale_y, scale_x = size[0] / height, size[1] / width
    x0, y0, x1, y1 = seen.box
    box = [x0 * scale_x, y0 * scale_y, (x1 - x0) * scale_x, (y1 - y0) * scale_y]
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [round(value, 2) for value in box],
        "area": round(float(seen.mask.sum()) * scale_x * scale_y, 1),
        "segmentation": {"size": list(size), "counts": runs(_on_picture(seen, (height, width), size), *size)},
        "iscrowd": 0,
        "family": seen.family,
        "visible": seen.visible,
        "sigma": round(seen.sigma, 2),
        "cover_g_cm2": round(seen.cover, 2),
        "declared": seen.declared,
        "lawful": seen.lawful,
        "thing": seen.thing,
    }


def _on_picture(seen: Seen, frame: tuple[int, int], size: tuple[int, int]) -> Seen:
    """The thing's box and mask in pixels of a picture of `size` (height, width) of the `frame`."""
    if frame == size:
        return seen
    x0, y0, x1, y1 = seen.box
    rows, columns = (_nearest(*ends) for ends in ((y0, y1, frame[0], size[0]), (x0, x1, frame[1], size[1])))
    box = (int(columns[0][0]), int(rows[0][0]), int(columns[0][-1]) + 1, int(rows[0][-1]) + 1)
    # whatever a pixel shows some of it does: what is thin may lie between the middles of pixels
    rows[1][0] = columns[1][0] = 0
    part = np.logical_or.reduceat(seen.mask, rows[1], axis=0)
    return seen._replace(box=box, mask=np.logical_or.reduceat(part, columns[1], axis=1))


def _nearest(begin: int, end: int, of: int, to: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The pixels, of `to`, with their middles in pixels `begin` to `end` of `of`, one at least; and in which
    of these they begin."""
    first = min(int(begin * to / of + 0.5), to - 1)
    last = max(int(end * to / of + 0.5), first + 1)
    pixels = np.arange(first, last)
    return pixels, np.clip((pixels * of / to).astype(np.intp), begin, end - 1) - begin


def runs(seen: Seen, height: int, width: int) -> list[int]:
    """Lengths of runs of 0 and 1 in turn, down the columns of the whole frame, beginning with 0."""
    x0, y0, x1, y1 = seen.box
    # only the columns it is in: a frame has many more
    columns: npt.NDArray[np.bool_] = np.zeros((x1 - x0, height), np.bool_)
    columns[:, y0:y1] = seen.mask.T
    edges = np.flatnonzero(np.diff(columns.ravel(), prepend=False, append=False)) + x0 * height
    counts: list[int] = np.diff(edges, prepend=0, append=height * width).tolist()
    return counts if counts[-1] else counts[:-1]


def image(number: int, file: str, size: tuple[int, int], made: Made, where: dict[str, Any]) -> dict[str, Any]:
    """One COCO image, with which scan it shows."""
    return {
        "id": number,
        "file_name": file,
        "height": size[0],
        "width": size[1],
        "scanner": made.scanner,
        "story": made.story,
        **where,
    }


def scans(made: Made, carton: int, first_seq: int) -> list[dict[str, Any]]:
    """The scans that one carton is in, the first of the job's being number `first_seq`."""
    return [
        {"seq": seq, "shows": scan.shows}
        for seq, scan in enumerate(made.scans, first_seq)
        if carton in scan.cartons
    ]


def truth(made: Made, carton: int) -> dict[str, Any]:
    """Everything that is true of one carton."""
    passed = made.cartons[carton]
    return {
        "barcode": barcode(made, carton),
        "scanner": made.scanner,
        "story": made.story,
        "lie": passed.lie,
        "faults": sorted(passed.faults),
        "parcels": sum(thing.role == "parcel" for thing in passed.truth),
        "things": [
            {
                "label": thing.label,
                "family": thing.family,
                "role": thing.role,
                "material": thing.material,
                "mass_g": round(thing.mass, 1),
                "declared": thing.declared,
                "line": thing.line,
                "parcel": thing.parcel,
                "box_mm": np.round(thing.box, 1).tolist(),
            }
            for thing in passed.truth
        ],
    }


def manifest(made: Made) -> dict[str, Any]:
    """The papers of a consignment. Raises ValueError for luggage, which has none."""
    if made.master is None:
        raise ValueError("luggage has no papers")
    tree: dict[str, Any] = msgspec.to_builtins(made.master)
    tree["barcodes"] = [barcode(made, carton) for carton in range(made.master.cartons)]
    return tree


def manifest_csv(consignments: Iterable[Made]) -> str:
    """One row per line of each house bill."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_FIELDS)
    for made in consignments:
        if made.master is None:
            continue
        for bill in made.master.house_bills:
            for line in bill.lines:
                writer.writerow(
                    (
                        barcode(made, bill.carton),
                        made.master.number,
                        bill.carton + 1,
                        made.master.gross_kg[bill.carton],
                        bill.number,
                        bill.packages,
                        bill.shipper,
                        bill.consignee,
                        line.hs_code,
                        line.description,
                        line.quantity,
                        line.weight_kg,
                        line.value_usd,
                        line.origin,
                    )
                )
    return text.getvalue()
