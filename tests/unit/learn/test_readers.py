"""Labels of three layouts, good ones and bad ones."""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from nii_edge.errors import DataError
from nii_edge.learn.cache import bits_of, fill, read_rgb, sample_of, usable_boxes
from nii_edge.learn.pool import Pool
from nii_edge.learn.readers import Dataset, Labelled, Problems, named, pictures_in, read_dataset
from nii_edge.records import Name


def picture(path: Path, height: int = 80, width: int = 120) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((height, width, 3), 250, np.uint8)
    pixels[20:60, 30:90] = (10, 120, 200)
    cv2.imwrite(str(path), pixels)
    return path


def coco(folder: Path, **more: Any) -> Path:
    picture(folder / "images" / "a.png")
    tree: dict[str, Any] = {
        "images": [{"id": 7, "file_name": "a.png", "height": 80, "width": 120}],
        "categories": [{"id": 3, "name": "gun"}, {"id": 9, "name": "knife"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 9, "bbox": [30, 20, 60, 40]}],
    }
    tree.update(more)
    path = folder / "annotations.json"
    path.write_text(json.dumps(tree))
    return path


def voc(folder: Path) -> Path:
    picture(folder / "a.png")
    (folder / "a.xml").write_text(
        "<annotation><filename>a.png</filename><size><width>120</width><height>80</height></size><object>"
        "<name>knife</name><bndbox><xmin>30</xmin><ymin>20</ymin><xmax>90</xmax><ymax>60</ymax></bndbox></object>"
        "</annotation>"
    )
    return folder


def yolo(folder: Path) -> Path:
    picture(folder / "images" / "a.png")
    (folder / "labels").mkdir()
    (folder / "labels" / "a.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    path = folder / "data.yaml"
    path.write_text("names: [gun, knife]\ntrain: images\n")
    return path


@pytest.mark.parametrize("layout", [coco, voc, yolo])
def test_three_layouts_say_the_same(tmp_path: Path, layout: Any) -> None:
    """One knife at the same place, whoever wrote it down; cropped with its picture."""
    dataset = read_dataset(layout(tmp_path))
    assert not dataset.problems.counts
    (one,) = dataset.pictures
    boxes, labels, _ = usable_boxes(one, (80, 120), dataset.problems)
    assert boxes.tolist() == [[30, 20, 90, 60]]
    assert [dataset.names[label] for label in labels] == ["knife"]
    sample = sample_of(one, dataset.problems)
    x0, y0, x1, y1 = sample.boxes[0].astype(int)
    assert (sample.rgb[y0:y1, x0:x1] == (200, 120, 10)).all()
    assert sample.rgb.shape[0] < 80


def test_bad_labels_are_named_and_counted(tmp_path: Path) -> None:
    """Labels of nothing, for nothing and outside are left out, each counted; the good one stays."""
    marks = [
        {"id": 1, "image_id": 7, "category_id": 9, "bbox": [30, 20, 60, 40]},
        {"id": 2, "image_id": 8, "category_id": 9, "bbox": [1, 1, 5, 5]},
        {"id": 3, "image_id": 7, "category_id": 4, "bbox": [1, 1, 5, 5]},
        {"id": 4, "image_id": 7, "category_id": 9, "bbox": [1, 1, None, 5]},
        {"id": 5, "image_id": 7, "category_id": 9, "bbox": [30, 20, 60, 40]},
        {"id": 6, "image_id": 7, "category_id": 3, "bbox": [50, 30, 0, 9]},
        {"id": 7, "image_id": 7, "category_id": 3, "bbox": [100, 60, 60, 60]},
    ]
    images = [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "lost.png"}]
    dataset = read_dataset(coco(tmp_path, annotations=marks, images=images))
    (one,) = dataset.pictures
    boxes, labels, _ = usable_boxes(one, (80, 120), dataset.problems)
    assert boxes.tolist() == [[30, 20, 90, 60], [100, 60, 120, 80]]
    assert labels.tolist() == [1, 0]
    assert dict(dataset.problems.counts) == {
        "label of a class that is not listed": 1,
        "picture is not there": 1,
        "label without a box of four numbers": 1,
        "box is there twice (left out)": 1,
        "box is empty (left out)": 1,
        "box reaches out of its picture (cut)": 1,
    }
    assert any("lost.png" in line for line in dataset.problems.lines())


def test_labels_that_make_no_sense_at_all_are_counted_too(tmp_path: Path) -> None:
    """Entries of another kind than COCO's end nothing."""
    good = {"id": 1, "image_id": 7, "category_id": 9, "bbox": [30, 20, 60, 40]}
    marks = [3, None, [], good, {**good, "image_id": [7]}, {**good, "category_id": {}}, {**good, "bbox": "x"}]
    images = ["x", {"id": [7], "file_name": "a.png"}, {"id": 7, "file_name": "a.png"}]
    dataset = read_dataset(coco(tmp_path, annotations=marks, images=images))
    (one,) = dataset.pictures
    assert one.boxes == ((30, 20, 90, 60, 1),)
    assert dict(dataset.problems.counts) == {
        "entry of `annotations` is no object": 3,
        "entry of `images` is no object": 1,
        "label of a picture that is not listed": 1,
        "label of a class that is not listed": 1,
        "label without a box of four numbers": 1,
    }
    assert read_dataset(coco(tmp_path, annotations=None)).pictures[0].boxes == ()


def test_names_and_xml_in_other_letters_are_said(tmp_path: Path) -> None:
    """Latin-1 where UTF-8 is expected, and an encoding that nobody knows."""
    path = yolo(tmp_path / "y")
    path.write_bytes("names: [Gewehr, Schlüssel]\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"data\.yaml: cannot be read as YAML"):
        read_dataset(path)
    (path.parent / "labels" / "classes.txt").write_bytes("Schlüssel\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"classes\.txt: the names of the classes cannot be read"):
        read_dataset(path.parent / "labels", path.parent / "images")
    folder = voc(tmp_path / "v")
    (folder / "b.xml").write_text('<?xml version="1.0" encoding="klingon"?><annotation/>')
    dataset = read_dataset(folder)
    assert len(dataset.pictures) == 1
    assert sum(dataset.problems.counts.values()) == 1


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("images/a.png", "images/a.png"),
        ("images/b/a.png", "b\\a.png"),
        ("a.png", "a.png"),
        ("c/a.png", "c/a.png"),
    ],
)
def test_coco_names_its_pictures_from_where_people_keep_them(tmp_path: Path, place: str, name: str) -> None:
    """In `images`, or beside the file as exports of annotation tools have it; but where `--images` says, if
    it does."""
    picture(tmp_path / place)
    path = coco(tmp_path / "other", images=[{"id": 7, "file_name": name}])
    (path.parent / "images" / "a.png").unlink()
    path = path.rename(tmp_path / "c.json")
    (one,) = read_dataset(path).pictures
    assert (one.file, len(one.boxes)) == (tmp_path / place, 1)
    with pytest.raises(DataError, match="picture is not there"):
        read_dataset(path, tmp_path / "other")


def test_ids_that_several_have_label_nothing(tmp_path: Path) -> None:
    """Of pictures: these are left out. Of classes: the file is refused. What is there twice is there once."""
    picture(tmp_path / "images" / "b.png")
    rows = [{"id": 7, "file_name": "a.png"}, {"id": 7, "file_name": "b.png"}, {"id": 8, "file_name": "a.png"}]
    found = read_dataset(coco(tmp_path, images=rows))
    assert [len(one.boxes) for one in found.pictures] == [0]
    assert found.problems.counts["picture with the id of another one (left out)"] == 2
    assert [len(one.boxes) for one in read_dataset(coco(tmp_path, images=rows[:1] * 2)).pictures] == [1]
    classes = [{"id": 9, "name": "knife"}, {"id": 9, "name": "gun"}]
    with pytest.raises(DataError, match="gun and knife of its `categories` have the same `id`, 9"):
        read_dataset(coco(tmp_path, categories=classes))
    assert len(read_dataset(coco(tmp_path, categories=classes[:1] * 2)).pictures[0].boxes) == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_labels_as_windows_writes_them_are_read(tmp_path: Path, encoding: str) -> None:
    """With a mark of their order in front; COCO in UTF-16, too."""
    path = coco(tmp_path / "c")
    path.write_bytes(path.read_text().encode(encoding))
    assert len(read_dataset(path).pictures[0].boxes) == 1
    folder = yolo(tmp_path / "y").parent / "labels"
    (folder / "classes.txt").write_text("gun\nknife\n", encoding="utf-8-sig", newline="\r\n")
    (folder / "a.txt").write_text("1 0.5 0.5 0.5 0.5\n", encoding="utf-8-sig", newline="\r\n")
    found = read_dataset(folder)
    assert (found.names, len(found.pictures[0].boxes), found.problems.counts) == (("gun", "knife"), 1, {})


def test_a_voc_picture_may_have_an_ending_in_capitals(tmp_path: Path) -> None:
    folder = voc(tmp_path)
    (folder / "a.png").rename(folder / "a.PNG")
    assert [one.file.name for one in read_dataset(folder).pictures] == ["a.PNG"]


def test_xml_of_any_encoding_that_python_knows_is_read(tmp_path: Path) -> None:
    """Expat knows none of more than a byte a letter, but for Unicode."""
    for encoding in ("gb2312", "shift_jis", "utf-16", "iso-8859-1"):
        folder = voc(tmp_path / encoding)
        word = "Messer" if encoding == "iso-8859-1" else "\u5200"
        text = (folder / "a.xml").read_text().replace("knife", word)
        text = f'<?xml version="1.0" encoding="{encoding}"?>\n{text}'
        (folder / "a.xml").write_bytes(text.encode(encoding))
        found = read_dataset(folder)
        assert (found.names, len(found.pictures), found.problems.counts) == ((word,), 1, {})
    (folder / "b.xml").write_bytes(
        b'<?xml version="1.0" encoding="gb2312"?><annotation>\xff\xff</annotation>'
    )
    assert read_dataset(folder).problems.counts == {"XML cannot be read (UnicodeDecodeError)": 1}


def test_yolo_s_labels_alone_have_their_pictures_beside_them(tmp_path: Path) -> None:
    """Under `images`; labels whose picture is not there, and that nobody says names, are told."""
    folder = yolo(tmp_path / "labels" / "mine").parent / "labels"
    (folder / "gone.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (folder / "classes.txt").write_text("gun\nknife\n")
    found = read_dataset(folder)
    assert (found.names, [one.file.name for one in found.pictures]) == (("gun", "knife"), ["a.png"])
    assert found.problems.counts == {"labels without a picture": 1}
    (folder / "classes.txt").unlink()
    (folder / "gone.txt").unlink()
    found = read_dataset(folder)
    assert found.names == ("class_0", "class_1")
    assert found.problems.counts == {
        "no names of classes: neither data.yaml nor classes.txt (called class_0 and so on)": 1
    }


def exif(orientation: int, little: bool) -> bytes:
    """One directory of two tags."""
    order = "<" if little else ">"
    head = struct.pack(f"{order}2sHIH", b"II" if little else b"MM", 42, 8, 2)
    tags = [
        struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in ((0x100, 7), (0x112, orientation))
    ]
    return head + b"".join(tags) + bytes(4)


def with_exif(data: bytes, found: bytes) -> bytes:
    """A JPEG, PNG or WebP that says so."""
    if data[:2] == b"\xff\xd8":
        body = b"Exif\0\0" + found
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    chunk = b"eXIf" + found
    chunk = struct.pack(">I", len(found)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data[:33] + chunk + data[33:]


@pytest.mark.parametrize("ending", [".jpg", ".png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_read_upright_as_those_saw_them_who_labelled_them(
    tmp_path: Path, ending: str, orientation: int
) -> None:
    """As OpenCV shows them where it heeds EXIF; and as stored where labels speak of that size. What is cut
    off says nothing."""
    pixels = np.full((48, 80, 3), 250, np.uint8)
    pixels[8:24, 8:40] = (10, 120, 200)
    file = tmp_path / f"a{ending}"
    data = with_exif(cv2.imencode(ending, pixels)[1].tobytes(), exif(orientation, ending == ".png"))
    file.write_bytes(data)
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[:, :, ::-1]
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert np.array_equal(read_rgb(file), shown)
    assert np.array_equal(read_rgb(file, size=shown.shape[:2]), shown)
    assert np.array_equal(read_rgb(file, size=(48, 80)), stored if orientation > 4 else shown)
    place = data.index(b"II*\0" if ending == ".png" else b"MM\0*")
    file.write_bytes(data[: place + 4] + b"\xff" * 4 + data[place + 8 :])
    if ending == ".jpg":
        assert np.array_equal(read_rgb(file), stored)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "[" * 99999, '{"images": []}', '{"images": [], "categories": [1, {}]}']
)
def test_what_is_no_coco_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(text)
    with pytest.raises(DataError, match="not a COCO file"):
        read_dataset(path)


def test_a_set_without_a_usable_picture_is_refused(tmp_path: Path) -> None:
    """The refusal says what was wrong."""
    with pytest.raises(DataError, match=r"1 x picture is not there"):
        read_dataset(coco(tmp_path, images=[{"id": 7, "file_name": "b.png"}]))


@pytest.mark.parametrize("layout", [voc, yolo])
def test_leftovers_of_systems_are_no_pictures_and_no_labels(tmp_path: Path, layout: Any) -> None:
    """What macOS, Windows and notebooks leave beside pictures; nothing of it is counted. A folder of the
    user's own may lie in one that begins with a dot."""
    place = layout(tmp_path / ".data" / "set") if layout is voc else layout(tmp_path / ".data")
    for folder in (tmp_path / ".data", tmp_path / ".data" / "set", tmp_path / ".data" / "images"):
        for name in ("._a.png", "._a.xml", "._a.txt", ".DS_Store", "Thumbs.db", "__MACOSX/a.png",
                     ".ipynb_checkpoints/a-checkpoint.png"):  # fmt: skip
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"\0\5\x16\7 no picture")
    found = read_dataset(place)
    assert [(one.file.name, len(one.boxes)) for one in found.pictures] == [("a.png", 1)]
    assert not found.problems.counts
    assert [file.name for file in pictures_in(found.pictures[0].file.parent)] == ["a.png"]


def test_things_that_cannot_be_seen_are_ignored(tmp_path: Path) -> None:
    """A crowd, or what the labels call invisible, neither teaches nor is punished."""
    mark = {"id": 1, "image_id": 7, "category_id": 9, "bbox": [30, 20, 60, 40], "visible": False}
    dataset = read_dataset(coco(tmp_path, annotations=[mark]))
    _, labels, _ = usable_boxes(dataset.pictures[0], (80, 120), dataset.problems)
    assert labels.tolist() == [-1]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_of_any_depth_become_eight_bits_of_three_colours(
    tmp_path: Path, dtype: type[np.generic], channels: int
) -> None:
    top = np.iinfo(dtype).max  # type: ignore[type-var]
    pixels = np.zeros((9, 12, channels), dtype)
    pixels[..., 0] = top
    cv2.imwrite(str(tmp_path / "a.png"), pixels.squeeze())
    rgb = read_rgb(tmp_path / "a.png")
    assert rgb.shape == (9, 12, 3)
    assert rgb.dtype == np.uint8
    assert rgb[0, 0].tolist() == ([255] * 3 if channels == 1 else [0, 0, 255])


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_are_scaled_by_those_that_are_used(tmp_path: Path, bits: int, ending: str) -> None:
    """Of the whole set: white is white and a dark picture stays dark, whichever file holds the most."""
    white = 2**bits - 1
    for name, value in (("a", white // 4), ("b", white), ("c", white // 2)):
        cv2.imwrite(str(tmp_path / f"{name}.{ending}"), np.full((6, 8), value, np.uint16))
    cv2.imwrite(str(tmp_path / "eight.png"), np.full((6, 8), 200, np.uint8))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    files = [tmp_path / f"{name}.{ending}" for name in "abc"]
    found, deep = bits_of([tmp_path / "eight.png", tmp_path / "broken.png", tmp_path / "gone.png", *files])
    assert found == bits
    assert deep == (files if bits < 16 else files[:2]), "sixteen are known as soon as they are seen"
    levels = [int(read_rgb(file, found).max()) for file in (*files, tmp_path / "eight.png")]
    assert levels == pytest.approx([63, 255, 127, 200], abs=1)


def test_a_set_without_pictures_of_sixteen_bits_has_none_to_scale(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((6, 8), 7, np.uint8))
    assert bits_of([tmp_path / "a.png"]) == (16, [])


@pytest.mark.parametrize(
    ("ending", "dtype"),
    [("png", np.uint8), ("png", np.uint16), ("tif", np.uint8), ("tif", np.uint16), ("webp", np.uint8)],
)
def test_what_is_transparent_is_laid_over_white(
    tmp_path: Path, dtype: type[np.unsignedinteger[Any]], ending: str
) -> None:
    """Opaque stays, clear is white whatever colour it hides, half is half; transparency uses no bits."""
    top, white = np.iinfo(dtype).max, 255 if dtype is np.uint8 else 4095
    pixels = np.zeros((3, 4, 4), dtype)
    pixels[:, :, 0] = white  # blue
    pixels[0, :, 3], pixels[2, :, 3] = top, top // 2
    more = [cv2.IMWRITE_WEBP_QUALITY, 101] if ending == "webp" else []
    file = tmp_path / f"a.{ending}"
    cv2.imwrite(str(file), pixels, more)
    bits, _ = bits_of([file])
    assert bits == (16 if dtype is np.uint8 else 12)
    rows = read_rgb(file, bits)[:, 0].astype(int)
    assert rows.tolist() == [[0, 0, 255], [255, 255, 255], pytest.approx([128, 128, 255], abs=1)]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize(
    ("colour", "palette", "line"),
    [(4, b"", b"\x64\xff\x64\x00"), (3, chunk(b"PLTE", b"ddd\0\0\0") + chunk(b"tRNS", b"\xff\0"), b"\0\1")],
    ids=["grey with alpha", "palette with a clear colour"],
)
def test_other_ways_of_transparency_are_laid_over_white_too(
    tmp_path: Path, colour: int, palette: bytes, line: bytes
) -> None:
    """One opaque pixel of 100 and one that is clear, as PNG has them beside red, green, blue and alpha."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" + line)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + palette + body)
    assert read_rgb(tmp_path / "a.png").tolist() == [[[100] * 3, [255] * 3]]


def test_a_multiplied_tiff_is_not_multiplied_again(tmp_path: Path) -> None:
    """Associated alpha: colours are stored as they shine through."""
    pixels = np.full((3, 4, 4), (50, 50, 50, 128), np.uint8)
    cv2.imwrite(str(tmp_path / "a.tif"), pixels)
    assert read_rgb(tmp_path / "a.tif")[0, 0].tolist() == [177] * 3


def test_a_fourth_byte_that_nobody_set_is_no_transparency(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.bmp"), np.full((3, 4, 4), (9, 8, 7, 0), np.uint8))
    assert read_rgb(tmp_path / "a.bmp")[0, 0].tolist() == [7, 8, 9]


def test_a_pool_keeps_what_was_put_in_and_skips_the_unreadable(tmp_path: Path) -> None:
    """Boxes shrink with their pictures, a broken picture is counted, and a second filling reads nothing
    again, but what was changed since."""
    good = picture(tmp_path / "good.png", 160, 240)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    box = (60.0, 40.0, 180.0, 120.0, 1)
    pictures = (
        Labelled(good, (box,)),
        Labelled(tmp_path / "bad.png", (box,)),
        Labelled(tmp_path / "gone.png", ()),
    )
    dataset = Dataset(("gun", "knife"), pictures, Problems())
    assert fill(dataset, range(3), tmp_path / "pool", 120, crop=False) == 1
    assert dataset.problems.counts["picture cannot be decoded (left out)"] == 2
    (sample,) = [Pool([tmp_path / "pool"])[0]]
    assert sample.rgb.shape == (80, 120, 3)
    assert sample.boxes.tolist() == [[30, 20, 90, 60]]
    was, content = good.stat(), good.read_bytes()
    good.write_bytes(bytes(len(content)))
    os.utime(good, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert fill(dataset, range(3), tmp_path / "pool", 120, crop=False) == 1, "nothing says that it changed"
    (tmp_path / "bad.png").write_bytes(content)
    assert fill(dataset, range(3), tmp_path / "pool", 120, crop=False) == 1
    (sample,) = [Pool([tmp_path / "pool"])[0]]
    assert dataset.problems.counts["picture cannot be decoded (left out)"] == 6
    assert sample.boxes.tolist() == [[30, 20, 90, 60]]


def test_a_pool_of_pictures_that_are_read_another_way_is_filled_anew(tmp_path: Path) -> None:
    """A picture of more bits was taken out of the set since: what it had made dark must not stay so."""
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((90, 120), 4095, np.uint16))
    found = []
    for bits in (16, 12):
        dataset = Dataset(("gun",), (Labelled(tmp_path / "deep.png", (), bits=bits),), Problems())
        assert fill(dataset, range(1), tmp_path / "pool", 120, crop=False) == 1
        (sample,) = [Pool([tmp_path / "pool"])[0]]
        found.append(int(sample.rgb.max()))
    assert found == [16, 255]
    assert len(list((tmp_path / "pool").glob("*.npz"))) == 1


@pytest.mark.parametrize("train", ["images/train", "../images/train"])
def test_labels_are_found_where_people_keep_them(tmp_path: Path, train: str) -> None:
    """In folders within folders, under a folder of the user's that is called images, too; a picture whose
    labels are nowhere is named."""
    root = tmp_path / "images" / "mine"
    for name in ("a/1", "b/1", "b/2"):
        picture(root / "images" / "train" / f"{name}.png")
    for name, label in (("a/1", 0), ("b/1", 1)):
        path = root / "labels" / "train" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{label} 0.5 0.5 0.5 0.5")
    (root / "data.yaml").write_text(f"names: {{0: a, 2: c}}\ntrain: {train}")
    found = read_dataset(root / "data.yaml")
    assert found.names == ("a", "class_1", "c")
    assert [[label for *_, label in one.boxes] for one in found.pictures] == [[0], [1], []]
    assert found.problems.counts == {"picture without a file of labels (taken for empty)": 1}


def parts(folder: Path, **more: str) -> Path:
    """Three folders with as many pictures each as their place, and a data.yaml that names them."""
    for count, part in enumerate(("train", "val", "test"), 1):
        for number in range(count):
            picture(folder / "images" / part / f"{number}.png")
            label = folder / "labels" / part / f"{number}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text("0 0.5 0.5 0.5 0.5")
    told = {"train": "images/train", "val": "images/val", "test": "images/test", **more}
    path = folder / "data.yaml"
    path.write_text("names: [knife]\n" + "".join(f"{key}: {value}\n" for key, value in told.items()))
    return path


def test_each_use_has_the_part_that_is_named_for_it(tmp_path: Path) -> None:
    """Training learns and validates, and leaves the test alone; the others take theirs, or the next."""
    path = parts(tmp_path)
    found = read_dataset(path)
    assert [one.part for one in found.pictures] == ["train", "val", "val"]
    assert {one.part for one in read_dataset(path, use="validation").pictures} == {"val"}
    assert len(read_dataset(path, use="testing").pictures) == 3
    path = parts(tmp_path, test="")
    assert [one.part for one in read_dataset(path, use="testing").pictures] == ["val", "val"]
    path = parts(tmp_path, test="", train="[images/train, images/val]")
    assert len(read_dataset(path, use="testing").pictures) == 2, "what is not needed need not be there"
    with pytest.raises(DataError, match="expected one folder of pictures"):
        read_dataset(path)
    alike = read_dataset(path, tmp_path / "images" / "train")
    assert [one.part for one in alike.pictures] == [""], "--images says which"


@pytest.mark.parametrize(
    ("val", "words"),
    [
        ("images/train", "`val` is the folder of another part"),
        ("images/none", "`val` is no folder of pictures that is there"),
        ("[images/val]", "`val` is no folder of pictures that is there"),
    ],
)
def test_a_part_that_is_none_is_said_and_not_used(tmp_path: Path, val: str, words: str) -> None:
    found = read_dataset(parts(tmp_path, val=val))
    assert [one.part for one in found.pictures] == ["train"]
    assert [line.split(" x ")[1].split(" (")[0] for line in found.problems.lines()] == [words]


def test_a_part_within_another_has_its_pictures_for_itself(tmp_path: Path) -> None:
    """Folders within folders: what is validated on is not learnt, and nothing is read twice."""
    found = read_dataset(parts(tmp_path, train="images"))
    assert [one.part for one in found.pictures] == ["train", "val", "val"]
    assert not found.problems.counts


def test_names_become_those_that_a_bundle_can_have(tmp_path: Path) -> None:
    """Told, and before anything takes long; two classes of one name are one."""
    names = ("Straight Knife", "Schl\u00fcssel {neu}", "\u5200", "Straight_Knife")
    boxes = tuple((0.0, 0.0, 1.0, 1.0, label) for label in range(4))
    dataset = Dataset(names, (Labelled(tmp_path, boxes),), Problems())
    found = named(dataset)
    assert found.names == ("Straight_Knife", "Schlussel_neu", "class_2")
    assert [label for *_, label in found.pictures[0].boxes] == [0, 1, 2, 0]
    assert found.called == (("Straight Knife", "Straight_Knife"), ("Schl\u00fcssel {neu}",), ("\u5200",))
    assert sum(found.problems.counts.values()) == 4
    for name in found.names:
        assert msgspec.convert(name, Name) == name
    other = ("\u5200 A", "\u67aa A", "x" * 70 + "1", "x" * 70 + "2")
    kept = named(Dataset(other, (Labelled(tmp_path, boxes),), Problems()))
    assert len(set(kept.names)) == 4, "what differs in letters that a bundle has not stays apart"
    for name in kept.names:
        assert msgspec.convert(name, Name) == name
    with pytest.raises(DataError, match="no class"):
        named(Dataset((), (), Problems()))


def test_a_size_of_nothing_is_no_size(tmp_path: Path) -> None:
    """Some exporters write zeros: then the picture's own size counts."""
    picture(tmp_path / "images" / "a.png")
    tree = {
        "images": [{"id": 1, "file_name": "a.png", "height": 0, "width": 0}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(tree))
    (one,) = read_dataset(tmp_path / "labels.json").pictures
    assert one.size is None


def test_coco_without_names_of_classes_goes_by_their_ids(tmp_path: Path) -> None:
    """Counted, and said; classes that are listed keep their names."""
    marks = [
        {"id": k, "image_id": 7, "category_id": label, "bbox": [30, 20, 60, 40]}
        for k, label in enumerate((4, 2, 4))
    ]
    for categories in ([], [{"name": "gun"}]):
        found = read_dataset(coco(tmp_path, categories=categories, annotations=marks))
        assert found.names == ("class_2", "class_4")
        assert [label for *_, label in found.pictures[0].boxes] == [1, 0, 1]
        assert any("no `categories` with an `id`" in line for line in found.problems.lines())
    some = [{"id": 2, "name": " "}, {"id": 4, "name": "gun"}, {"id": 5}]
    found = read_dataset(coco(tmp_path, categories=some, annotations=marks))
    assert found.names == ("class_2", "gun", "class_5")
    assert found.problems.counts["class without a name"] == 2
    with pytest.raises(DataError, match="no label has a `category_id`"):
        read_dataset(coco(tmp_path, categories=[], annotations=[]))


def test_yolo_without_names_of_classes_goes_by_their_numbers(tmp_path: Path) -> None:
    """Those of the part with the most of them: validation may have fewer."""
    path = yolo(tmp_path)
    picture(tmp_path / "val" / "images" / "b.png")
    (tmp_path / "val" / "labels").mkdir()
    (tmp_path / "val" / "labels" / "b.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    path.write_text("train: images\nval: val/images\n")
    found = read_dataset(path)
    assert found.names == ("class_0", "class_1")
    assert [label for one in found.pictures for *_, label in one.boxes] == [1, 0]
    assert any("no names of classes" in line for line in found.problems.lines())
    for names in ("names: 7", "names: gun"):
        path.write_text(f"{names}\ntrain: images\n")
        with pytest.raises(DataError, match="neither a list nor numbers to names"):
            read_dataset(path)


def test_a_box_of_two_classes_is_counted_and_both_stay(tmp_path: Path) -> None:
    """Nobody knows which of them is meant."""
    one = Labelled(
        tmp_path, ((10, 10, 50, 50, 0), (10, 10, 50, 50, 1), (10, 10, 50, 50, 0), (10, 10, 20, 20, 1))
    )
    problems = Problems()
    _, labels, _ = usable_boxes(one, (80, 120), problems)
    assert labels.tolist() == [0, 1, 1]
    assert problems.counts == {
        "box is there with another class, too (both stay)": 1, "box is there twice (left out)": 1,
    }  # fmt: skip
