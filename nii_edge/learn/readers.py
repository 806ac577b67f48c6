"""Labelled pictures in the three layouts people have: COCO, YOLO and Pascal VOC. What is wrong is counted.

Nothing here decodes a picture: sizes and boxes are checked against it when it is read (`cache`).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple
from xml.etree import ElementTree as Xml

import yaml

from nii_edge.errors import DataError
from nii_edge.records import Frame
from nii_edge.xray.optics import Optics

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
RECORDED = ".mcap#"
"""Between a recording and one of its frames in a COCO `file_name`: ``day.mcap#SCANNER/SEQ/VIEW``, or
``day.mcap#SCANNER/EPOCH/SEQ/VIEW`` where a recording has several epochs."""
MACOSX = "__MACOSX"
"""The folder of leftovers in archives that macOS packed."""
NO_LABELS = re.compile(r"classes|labels|names|notes|train|valid?|test|readme.*", re.IGNORECASE)
"""What texts are called that lie beside YOLO's labels."""
MOST_EXAMPLES = 5
MOST_LETTERS = 64
"""Of a class name in a bundle (`records.Name`)."""


Part = Literal["", "train", "val", "test"]
Use = Literal["training", "validation", "testing"]
PARTS: dict[Use, tuple[Part, ...]] = {
    "training": ("train", "val"), "validation": ("val", "train"), "testing": ("test", "val", "train"),
}  # fmt: skip
"""Of a data.yaml: both to train by, else the first that it names."""


class Seen(NamedTuple):
    """A frame as the daemon gives it to its detectors, and the calibration of its view, if there is one."""

    frame: Frame
    view: Optics | None = None


class Labelled(NamedTuple):
    """One picture's labels. `boxes`: x0, y0, x1, y1 and an index into the names; in pixels, or with
    `relative` in fractions of the sides. `size`: (height, width) the labels speak of, None if they do not
    say. `ignored`: boxes in which nothing is taught or punished (crowds, things that cannot be seen).
    `about`: what else the labels say of the picture, `extras` of each box. `frame`: which frame it is, if
    `file` is a recording; `called`: what the labels call a picture that lies elsewhere;
    `bits`: that its values use, if its pixels have 16 (`cache.bits_of`); `part`: of the data set, if
    the labels say; `content`: of a frame that was drawn, the top, left, bottom and right of what the daemon
    shows of it; None: to be found on the picture; `recorded` reads that frame itself (raises DataError)."""

    file: Path
    boxes: tuple[tuple[float, float, float, float, int], ...]
    size: tuple[int, int] | None = None
    relative: bool = False
    ignored: frozenset[int] = frozenset()
    about: dict[str, Any] = {}  # noqa: RUF012 - never changed
    extras: tuple[dict[str, Any], ...] = ()
    frame: str = ""
    called: str = ""
    bits: int = 16
    part: Part = ""
    content: tuple[int, int, int, int] | None = None
    recorded: Callable[[], Seen] | None = None

    @property
    def place(self) -> str:
        """The file, and the frame in it, as labels name them."""
        return self.called or (f"{self.file}#{self.frame}" if self.frame else str(self.file))


class Problems:
    """What was wrong with a data set: how often, and for example where."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def add(self, what: str, where: object) -> None:
        """Count one."""
        self.counts[what] += 1
        examples = self.examples.setdefault(what, [])
        if len(examples) < MOST_EXAMPLES:
            # names of files need not be UTF-8, what is printed must
            examples.append(str(where).encode("utf-8", "backslashreplace").decode())

    def merge(self, other: Problems) -> None:
        """Take in what was wrong elsewhere."""
        self.counts.update(other.counts)
        for what, examples in other.examples.items():
            own = self.examples.setdefault(what, [])
            own += examples[: MOST_EXAMPLES - len(own)]

    def lines(self) -> list[str]:
        """One line each: how often, what, and where for example."""
        return [
            f"{count} x {what}, for example {', '.join(self.examples[what])}"
            for what, count in self.counts.most_common()
        ]


class Dataset(NamedTuple):
    """`names` of the classes, `pictures`, and what was wrong. `called`: what the labels call each of the
    classes, if `named` gave them names."""

    names: tuple[str, ...]
    pictures: tuple[Labelled, ...]
    problems: Problems
    called: tuple[tuple[str, ...], ...] = ()


def read_dataset(annotations: Path, images: Path | None = None, use: Use = "training") -> Dataset:
    """Read labels: a COCO file; a folder of VOC's XML files; YOLO's `data.yaml`, or a folder of its text
    files.

    `images`: where the pictures are; if None beside the labels, those of COCO in `images` there or beside its
    file. `use`: what for, as a `data.yaml` names parts of its pictures (`PARTS`).

    Raises:
        DataError: not one of the three, or nothing usable in it; says what was found.
    """
    problems = Problems()
    if annotations.is_file() and annotations.suffix.lower() == ".json":
        folders = (annotations.parent / "images", annotations.parent) if images is None else (images,)
        dataset = _coco(annotations, folders, problems)
    elif annotations.is_file() and annotations.suffix.lower() in (".yaml", ".yml"):
        dataset = _yolo_yaml(annotations, images, use, problems)
    elif annotations.is_dir() and _own(annotations, annotations.glob("*.xml")):
        dataset = _voc(annotations, images or annotations, problems)
    elif annotations.is_dir() and _own(annotations, annotations.glob("*.txt")):
        pictures = images or _pictures_of(annotations)
        dataset = _yolo_folder(annotations, pictures, _names_beside(annotations), problems)
    else:
        found = "not labels of a known kind" if annotations.exists() else "there is no such file or folder"
        raise DataError(
            f"{annotations}: {found}; expected COCO's .json, a folder of VOC's .xml files, YOLO's data.yaml "
            "or a folder of "
            "its .txt files"
        )
    if not dataset.pictures:
        raise DataError(
            f"{annotations}: no usable picture; " + ("; ".join(problems.lines()) or "it lists none")
        )
    return dataset


def _coco(path: Path, images: Sequence[Path], problems: Problems) -> Dataset:
    try:
        tree = json.loads(path.read_bytes())  # in any of JSON's encodings
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a COCO file: it cannot be read as JSON: {error}") from error
    categories = _categories(path, tree, problems)
    names = tuple(str(one["name"]) for one in categories)
    _refuse_twins(path, [one["id"] for one in categories], names)
    index = {one["id"]: number for number, one in enumerate(categories)}
    rows = _once([row for row in _objects(path, tree, "images", problems) if _is_id(row.get("id"))], problems)
    marks = _objects(path, tree, "annotations", problems) if tree.get("annotations") is not None else []
    own = _by_picture(marks, {row["id"] for row in rows}, index, problems)
    pictures = []
    for row in rows:
        file, frame = _named_file(str(row.get("file_name", "")), images, path.parent)
        if file.is_file():
            found = _coco_picture(file, row, own.get(row["id"], []), index, problems)
            pictures.append(found._replace(frame=frame))
        else:
            problems.add(f"{'recording' if frame else 'picture'} is not there", file)
    return Dataset(names, tuple(pictures), problems)


def _categories(path: Path, tree: Any, problems: Problems) -> list[dict[str, Any]]:
    """The classes of a COCO file by their ids, each with a name; those that labels speak of where it lists
    none. Raises DataError if there are none at all."""
    listed = tree.get("categories") if isinstance(tree, dict) else None
    told = [] if listed in (None, []) else _objects(path, tree, "categories", problems)
    found = [one for one in told if _is_id(one.get("id"))]
    if not found:
        marks = _objects(path, tree, "annotations", problems)
        ids = {mark["category_id"] for mark in marks if _is_id(mark.get("category_id"))}
        found = [{"id": one} for one in ids]
        problems.add("no `categories` with an `id` (classes are called class_ID)", path)
    if not found:
        raise DataError(
            f"{path}: not a COCO file: none of its `categories` has an `id`, a number or a text, and no "
            "label has a `category_id`"
        )
    for one in found:
        if not str(one.get("name", "")).strip():
            one["name"] = f"class_{one['id']}"
            if told:
                problems.add("class without a name", one["name"])
    return sorted(found, key=lambda one: (isinstance(one["id"], str), one["id"]))


def _refuse_twins(path: Path, ids: Sequence[Any], names: Sequence[str]) -> None:
    """Raises DataError if classes share an id: nobody knows which of them a label means."""
    for one in dict.fromkeys(ids):
        own = sorted({name for other, name in zip(ids, names, strict=True) if other == one})
        if len(own) > 1:
            raise DataError(f"{path}: {' and '.join(own)} of its `categories` have the same `id`, {one}")


def _once(rows: list[dict[str, Any]], problems: Problems) -> list[dict[str, Any]]:
    """Each picture once, but for those whose id is another's, too: nobody knows which of them is labelled."""
    own: dict[Any, dict[str, dict[str, Any]]] = {}
    for row in rows:
        own.setdefault(row["id"], {}).setdefault(str(row.get("file_name")), row)
    for files in own.values():
        for file in files if len(files) > 1 else ():
            problems.add("picture with the id of another one (left out)", file)
    return [row for files in own.values() if len(files) == 1 for row in files.values()]


def _named_file(name: str, images: Sequence[Path], beside: Path) -> tuple[Path, str]:
    """The picture that a COCO file names, and no frame; or a recording beside the labels, or among the
    pictures, and which of its frames (`RECORDED`). A name may have Windows' backslashes."""
    recording, mark, frame = name.partition(RECORDED)
    files = [folder / each for each in (name, name.replace("\\", "/")) for folder in images]
    found = next((file for file in files if file.is_file()), None)
    if not mark or not frame or found is not None:
        return found or files[0], ""
    places = [folder / (recording + RECORDED[:-1]) for folder in (beside, *images)]
    return next((place for place in places if place.is_file()), places[0]), frame


def _by_picture(
    marks: list[dict[str, Any]], known: set[Any], index: dict[Any, int], problems: Problems
) -> dict[Any, list[dict[str, Any]]]:
    """Labels of known pictures and classes, by picture."""
    own: dict[Any, list[dict[str, Any]]] = {}
    for mark in marks:
        if not _is_id(mark.get("image_id")) or mark["image_id"] not in known:
            problems.add("label of a picture that is not listed", mark.get("id"))
        elif not _is_id(mark.get("category_id")) or mark["category_id"] not in index:
            problems.add("label of a class that is not listed", mark.get("id"))
        else:
            own.setdefault(mark["image_id"], []).append(mark)
    return own


def _coco_picture(
    file: Path, row: dict[str, Any], marks: list[dict[str, Any]], index: dict[Any, int], problems: Problems
) -> Labelled:
    boxes: list[tuple[float, float, float, float, int]] = []
    extras: list[dict[str, Any]] = []
    ignored: set[int] = set()
    for mark in marks:
        box = _numbers(mark.get("bbox"), 4)
        if box is None:
            problems.add("label without a box of four numbers", mark.get("id"))
            continue
        if mark.get("iscrowd") or mark.get("visible") is False:
            ignored.add(len(boxes))
        x, y, width, height = box
        boxes.append((x, y, x + width, y + height, index[mark["category_id"]]))
        extras.append(mark)
    size = _numbers((row.get("height"), row.get("width")), 2)
    return Labelled(
        file,
        tuple(boxes),
        None if size is None or min(size) < 1 else (int(size[0]), int(size[1])),
        ignored=frozenset(ignored),
        about=row,
        extras=tuple(extras),
    )


def _objects(path: Path, tree: Any, key: str, problems: Problems) -> list[dict[str, Any]]:
    """The JSON objects of a list of a COCO file; what is none is counted. Raises DataError without a list."""
    found = tree.get(key) if isinstance(tree, dict) else None
    if not isinstance(found, list):
        said = f"it has no list `{key}`" if isinstance(tree, dict) else "it is no JSON object"
        raise DataError(f"{path}: not a COCO file: {said}; one has the lists `images` and `categories`")
    for number, one in enumerate(found):
        if not isinstance(one, dict):
            problems.add(f"entry of `{key}` is no object", number)
    return [one for one in found if isinstance(one, dict)]


def _is_id(value: object) -> bool:
    return isinstance(value, int | str)


def _voc(folder: Path, images: Path, problems: Problems) -> Dataset:
    found: list[tuple[Path, list[tuple[str, list[float]]], tuple[int, int] | None]] = []
    names: set[str] = set()
    for path in _own(folder, folder.glob("*.xml")):
        try:
            root = _xml(path.read_bytes())
        except (Xml.ParseError, OSError, LookupError, ValueError) as error:  # the last two: its encoding
            problems.add(f"XML cannot be read ({type(error).__name__})", path)
            continue
        file = _picture(images, path.stem, root.findtext("filename"))
        if file is None:
            problems.add("picture is not there", path)
            continue
        boxes = []
        for item in root.iter("object"):
            name = (item.findtext("name") or "").strip()
            box = _numbers([item.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")], 4)
            if not name or box is None:
                problems.add("label without a name or a box of four numbers", path)
                continue
            names.add(name)
            boxes.append((name, box))
        size = _numbers([root.findtext("size/height"), root.findtext("size/width")], 2)
        found.append((file, boxes, None if size is None or min(size) < 1 else (int(size[0]), int(size[1]))))
    ordered = tuple(sorted(names))
    pictures = [
        Labelled(file, tuple((*box, ordered.index(name)) for name, box in boxes), size)  # type: ignore[misc]
        for file, boxes, size in found
    ]
    return Dataset(ordered, tuple(pictures), problems)


def _xml(data: bytes) -> Xml.Element:
    """Its root. Raises ParseError, LookupError, ValueError."""
    declared = re.match(rb"<\?xml[^>]*?encoding=[\"']([\w.-]+)[\"'][^>]*\?>", data)
    try:
        return Xml.fromstring(data)  # noqa: S314 - expat expands no external entities
    except ValueError:  # one that expat does not know, as of Chinese or Japanese
        if declared is None:
            raise
        return Xml.fromstring(data[declared.end() :].decode(declared[1].decode()))  # noqa: S314


def _yolo_yaml(path: Path, images: Path | None, use: Use, problems: Problems) -> Dataset:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        if not isinstance(tree, dict):
            raise TypeError
        names = _yolo_names(tree)
        folders: dict[Part, Path] = {"": images} if images else _yolo_folders(path, tree, use, problems)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read as YAML: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: not YOLO's data.yaml: its `names` are neither a list nor numbers to names"
        ) from error
    pictures: list[Labelled] = []
    nameless = not names
    for part in _wanted(folders, use):
        folder = folders[part]
        inner = [other for other in folders.values() if folder.resolve() in other.resolve().parents]
        own = _yolo_folder(_labels_of(folder), folder, () if nameless else names, problems, inner)
        names = max(names, own.names, key=len) if nameless else names
        pictures += [picture._replace(part=part) for picture in own.pictures]
    return Dataset(names, tuple(pictures), problems)


def _wanted(folders: Mapping[Part, Path], use: Use) -> list[Part]:
    there = [part for part in ("", *PARTS[use]) if part in folders]
    return there if use == "training" else there[:1]


def _labels_of(folder: Path) -> Path:
    """Where YOLO keeps the labels of a folder of pictures."""
    parts = list(folder.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"  # the last: others are the user's own
    return Path(*parts)


def _pictures_of(folder: Path) -> Path:
    """Where YOLO keeps the pictures of a folder of labels: beside them, or under `images` instead."""
    parts = list(folder.absolute().parts)
    if pictures_in(folder) or "labels" not in parts:
        return folder
    parts[len(parts) - 1 - parts[::-1].index("labels")] = "images"
    return Path(*parts) if Path(*parts).is_dir() else folder


def _yolo_folders(path: Path, tree: Any, use: Use, problems: Problems) -> dict[Part, Path]:
    """The folders of pictures by part. Raises DataError if none of them can be used."""
    folders: dict[Part, Path] = {}
    for part in ("train", "val", "test"):
        told = tree.get(part) or ("images" if part == "train" else None)
        folder, why = _yolo_place(path, tree, told), ""
        if folder is None:
            why = "is no folder of pictures that is there"
        elif folder.resolve() in {other.resolve() for other in folders.values()}:
            why = "is the folder of another part"
        else:
            folders[part] = folder
        if why and told and part != "train" and part in PARTS[use]:
            problems.add(f"`{part}` {why} (not used)", told)
    if "train" not in folders if use == "training" else not folders:
        told = tree.get("train") or "images"
        raise DataError(
            f"{path}: `train` is {told!r}; expected one folder of pictures: name it with --images"
        )
    return folders


def _yolo_names(tree: Any) -> tuple[str, ...]:
    """By number; where none has a name, `nc` says how many there are, or nothing does: empty."""
    names = tree.get("names")
    if names is None and isinstance(tree.get("nc"), int):
        return tuple(f"class_{number}" for number in range(tree["nc"]))
    if isinstance(names, dict):
        most = max((int(key) for key in names), default=-1)
        return tuple(str(names.get(k, names.get(str(k), f"class_{k}"))) for k in range(most + 1))
    if names is None:
        return ()
    if not isinstance(names, list):
        raise TypeError
    return tuple(map(str, names))


def _yolo_place(path: Path, tree: Any, told: object) -> Path | None:
    """The folder that is told; None if it is none. A path that begins with .. is often meant from the folder
    itself."""
    if not isinstance(told, str):
        return None
    root = path.parent / str(tree.get("path") or "")
    return next((place for place in (root / told, root / told.removeprefix("../")) if place.is_dir()), None)


def named(dataset: Dataset) -> Dataset:
    """The data set with names that a bundle can have: letters, digits, dot, dash and underscore; classes of
    the same name are one. What was changed is among its problems, and `called`.

    Raises:
        DataError: it has no class at all.
    """
    if not dataset.names:
        raise DataError("the labels name no class, and there is no label; is `classes.txt` beside them?")
    plain = [_plain(name, number) for number, name in enumerate(dataset.names)]
    for told, name in zip(dataset.names, plain, strict=True):
        if told != name:
            dataset.problems.add(f"class {told!r} is called {name} here", name)
    names = tuple(dict.fromkeys(plain))
    if len(names) < len(plain):
        dataset.problems.add("classes of the same name are one", ", ".join(plain))
    index = [names.index(name) for name in plain]
    pictures = [
        picture._replace(boxes=tuple((*corners, index[label]) for *corners, label in picture.boxes))  # type: ignore[misc]
        for picture in dataset.pictures
    ]
    called = [
        tuple(told for told, mine in zip(dataset.names, plain, strict=True) if mine == name) for name in names
    ]
    return Dataset(names, tuple(pictures), dataset.problems, tuple(called))


def _plain(name: str, number: int) -> str:
    """A name without accents and blanks; with its number where letters had to go: others may differ in
    nothing else."""
    apart = unicodedata.normalize("NFKD", name)
    lost = any(not c.isascii() and unicodedata.category(c)[0] != "M" for c in apart)
    letters = apart.encode("ascii", "ignore").decode()
    kept = re.sub(r"[^A-Za-z0-9._-]+", "_", letters).strip("._-")
    if not kept:
        return f"class_{number}"
    return f"{kept[:54]}_{number}" if lost or len(kept) > MOST_LETTERS else kept


def _names_beside(folder: Path) -> tuple[str, ...]:
    """From classes.txt, if there is one."""
    for path in (folder / "classes.txt", folder.parent / "classes.txt"):
        if path.is_file():
            try:
                lines = path.read_text(encoding="utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(f"{path}: the names of the classes cannot be read: {error}") from error
            return tuple(line.strip() for line in lines if line.strip())
    return ()


def _yolo_folder(
    folder: Path, images: Path, names: tuple[str, ...], problems: Problems, without: Sequence[Path] = ()
) -> Dataset:
    """`folder`: of labels; `without`: folders within that of the pictures that are left alone."""
    rows: list[tuple[Path, list[tuple[float, float, float, float, int]]]] = []
    most, read = -1, set[Path]()
    for file in pictures_in(images):
        if without and any(other.resolve() in file.resolve().parents for other in without):
            continue
        path = folder / file.relative_to(images).with_suffix(".txt")
        if not path.is_file():
            path = folder / f"{file.stem}.txt"
        read.add(path)
        if not path.is_file():  # YOLO's way of saying that nothing is in it
            problems.add("picture without a file of labels (taken for empty)", file)
        boxes = []
        for number, line in enumerate(_lines(path, problems), 1):
            fields = _numbers(line.split(), None)
            if fields is None or len(fields) < 5 or fields[0] != int(fields[0]) or fields[0] < 0:
                problems.add("line is not: class, middle x, middle y, width, height", f"{path}:{number}")
                continue
            if names and int(fields[0]) >= len(names):
                problems.add("label of a class that is not listed", f"{path}:{number}")
                continue
            most = max(most, int(fields[0]))
            boxes.append((*_corners(fields[1:]), int(fields[0])))
        rows.append((file, boxes))
    if not without:
        _count_widows(folder, read, problems)
    if not names and most >= 0:
        problems.add(
            "no names of classes: neither data.yaml nor classes.txt (called class_0 and so on)", folder
        )
    names = names or tuple(f"class_{number}" for number in range(most + 1))
    return Dataset(
        names, tuple(Labelled(file, tuple(boxes), relative=True) for file, boxes in rows), problems
    )


def _count_widows(folder: Path, read: Collection[Path], problems: Problems) -> None:
    """Labels in YOLO's folder that no picture has `read`."""
    for path in _own(folder, folder.glob("*.txt")):
        if path not in read and not NO_LABELS.fullmatch(path.stem):
            problems.add("labels without a picture", path)


def _corners(fields: list[float]) -> tuple[float, float, float, float]:
    """Corners of a box given by middle and sides, or of a polygon."""
    if len(fields) >= 6 and len(fields) % 2 == 0:
        return min(fields[::2]), min(fields[1::2]), max(fields[::2]), max(fields[1::2])
    x, y, width, height = fields[:4]
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _lines(path: Path, problems: Problems) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except FileNotFoundError:
        return []  # YOLO's way of saying: nothing in this picture
    except (OSError, UnicodeDecodeError) as error:
        problems.add(f"labels cannot be read ({type(error).__name__})", path)
        return []


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in a folder, in whatever depth (`_own`)."""
    return [path for path in _own(folder, folder.rglob("*")) if path.suffix.lower() in SUFFIXES]


def _own(folder: Path, paths: Iterable[Path]) -> list[Path]:
    """Files and folders that are the user's own, sorted: what begins with a dot, or lies in something that
    does, and `__MACOSX` are leftovers of systems and tools, whatever they end in (``._a.png``)."""
    return sorted(
        path
        for path in paths
        if not any(part.startswith(".") or part == MACOSX for part in path.relative_to(folder).parts)
    )


def _picture(folder: Path, stem: str, named: str | None) -> Path | None:
    """The picture that a VOC file speaks of."""
    candidates = [folder / named.strip()] if named else []
    endings = [*SUFFIXES, *map(str.upper, SUFFIXES)]
    candidates += [
        place / f"{stem}{ending}" for place in (folder, folder.parent / "JPEGImages") for ending in endings
    ]
    return next((path for path in candidates if path.is_file()), None)


def _numbers(values: Any, count: int | None) -> list[float] | None:
    """Finite numbers, as many as `count`; None if they are not."""
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        return None
    finite = all(abs(number) < 1e9 for number in numbers)
    return numbers if finite and count in (None, len(numbers)) else None
