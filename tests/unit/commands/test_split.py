"""What is learned from, and what is validated on."""

from __future__ import annotations

from pathlib import Path

from nii_edge.commands.train import split
from nii_edge.learn.readers import Dataset, Labelled, Problems


def data(files: dict[Path, bytes], part: str = "") -> Dataset:
    for file, content in files.items():
        file.write_bytes(content)
    pictures = tuple(Labelled(file, (), part=part) for file in files)  # type: ignore[arg-type]
    return Dataset(("gun",), pictures, Problems())


def test_a_picture_under_two_names_is_not_learned_and_validated_on(tmp_path: Path) -> None:
    """Whatever its names are; it is counted, and others of the same length stay."""
    files = {tmp_path / f"{n}{name}.png": b"%04d" % n for n in range(100) for name in ("", "_copy")}
    dataset = data(files)
    rows, held_out = split(dataset)
    contents = list(files.values())
    validated = {contents[row] for row in held_out}
    assert validated
    assert not validated & {contents[row] for row in rows}
    twins = len(files) - len(rows) - len(held_out)
    assert twins == sum(dataset.problems.counts.values()) > 0
    assert {contents[row] for row in rows} == set(contents) - validated


def test_a_folder_to_validate_on_is_kept_from_training_too(tmp_path: Path) -> None:
    learned = data({tmp_path / f"{n}.png": b"%d" % n for n in range(9)}, "train")
    checked = data({tmp_path / "a.png": b"4", tmp_path / "b.png": b"x"}, "val")
    dataset = learned._replace(pictures=learned.pictures + checked.pictures)
    rows, held_out = split(dataset)
    assert (rows, sorted(held_out)) == ([0, 1, 2, 3, 5, 6, 7, 8], [9, 10])
    assert list(dataset.problems.counts.values()) == [1]


def test_pictures_that_are_not_there_are_named_elsewhere(tmp_path: Path) -> None:
    pictures = tuple(Labelled(tmp_path / f"{n}.png", ()) for n in range(30))
    rows, held_out = split(Dataset(("gun",), pictures, Problems()))
    assert sorted(rows + held_out) == list(range(30))
