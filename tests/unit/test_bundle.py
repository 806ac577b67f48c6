"""Bundles: what is loaded is what was verified."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
import yaml

from nii_edge.bundle import (
    Bundle,
    Expected,
    GoldenFrame,
    check_input_shape,
    load_bundle,
    read_golden,
    write_bundle,
)
from nii_edge.config import BoxesHead, BundleManifest, DenseHead, Label, ModelInput
from nii_edge.errors import BundleError, ConfigError
from nii_edge.records import Frame

MODEL = b"any bytes: the runtime judges them, not the bundle"


def manifest() -> BundleManifest:
    return BundleManifest(
        version=1,
        name="test",
        model_version="1",
        description="a test's",
        licence="Apache-2.0",
        kind="object",
        format="onnx",
        model="model.onnx",
        sha256="0" * 64,
        input=ModelInput(name="image", channels=("opacity",), size=(32, 48)),
        output=DenseHead(output="score"),
        labels=(Label(name="thing", category="OTHER", threshold=0.5, why="{score} {percent} {view}"),),
        golden="golden",
    )


def golden(name: str = "one") -> GoldenFrame:
    pixels = np.arange(2 * 3 * 2, dtype=np.uint16).reshape(2, 3, 2)
    frame = Frame(view=1, channels=("low", "high"), pixels=pixels, full_scale=11.0, opaque_below=0.25)
    return GoldenFrame(
        name=name, frame=frame, expected=(Expected(label="thing", score=0.75, box=(0, 0.5, 2, 1)),)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "b", manifest(), MODEL, [golden()], "# card\n")
    return tmp_path / "b"


def edit(folder: Path, **changes: object) -> None:
    """Change top-level fields of the manifest on disk."""
    tree = yaml.safe_load((folder / "bundle.yaml").read_text()) | changes
    (folder / "bundle.yaml").write_text(yaml.safe_dump(tree))


def test_a_bundle_comes_back_as_written(folder: Path) -> None:
    """Manifest, model, golden frames and card survive the disk; the hash is the model's own."""
    bundle = load_bundle(folder)
    assert bundle.model == MODEL
    assert bundle.manifest == msgspec.structs.replace(manifest(), sha256=hashlib.sha256(MODEL).hexdigest())
    (frame,) = bundle.golden
    assert frame.expected == golden().expected
    assert np.array_equal(frame.frame.pixels, golden().frame.pixels)
    for field in ("view", "channels", "full_scale", "opaque_below"):
        assert getattr(frame.frame, field) == getattr(golden().frame, field)
    assert frame.frame.pixels.dtype == np.uint16
    assert (folder / "CARD.md").read_text() == "# card\n"


def test_the_manifest_itself_may_be_named(folder: Path) -> None:
    """A path to the folder or to its bundle.yaml load the same bundle."""
    assert load_bundle(folder / "bundle.yaml").manifest == load_bundle(folder).manifest


def test_golden_pixels_cannot_be_written(folder: Path) -> None:
    """Nobody can alter the reference in memory."""
    assert not load_bundle(folder).golden[0].frame.pixels.flags.writeable


def test_writing_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """A bundle is reproducible, and writing over an older one leaves no stale golden frame."""
    write_bundle(tmp_path / "c", manifest(), MODEL, [golden("stale"), golden()], "# card\n")
    write_bundle(tmp_path / "c", manifest(), MODEL, [golden()], "# card\n")
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(tmp_path / "c") for p in (tmp_path / "c").rglob("*") if p.is_file())
    for name in files:
        assert (folder / name).read_bytes() == (tmp_path / "c" / name).read_bytes()


def test_an_altered_model_is_refused(folder: Path) -> None:
    """One changed byte is found, and the message names both hashes."""
    (folder / "model.onnx").write_bytes(MODEL[:-1] + b"!")
    with pytest.raises(BundleError, match=f"altered.*{hashlib.sha256(MODEL).hexdigest()}"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "golden/../../outside", "link", "."])
def test_paths_that_leave_the_folder_are_refused(folder: Path, name: str) -> None:
    """Neither dots, absolute paths nor links lead out of a bundle."""
    (folder.parent / "outside").write_bytes(MODEL)
    (folder / "link").symlink_to(folder.parent / "outside")
    edit(folder, model=name)
    with pytest.raises(BundleError, match="leads out"):
        load_bundle(folder)


def test_a_linked_golden_frame_is_refused(folder: Path) -> None:
    """A golden frame that is a link to elsewhere is not part of the bundle."""
    inside = folder / "golden" / "one.npz"
    inside.rename(folder.parent / "elsewhere.npz")
    inside.symlink_to(folder.parent / "elsewhere.npz")
    with pytest.raises(BundleError, match="leads out"):
        load_bundle(folder)


def test_without_golden_frames_there_is_no_bundle(folder: Path) -> None:
    """A model that nobody can check is refused."""
    (folder / "golden" / "one.npz").unlink()
    with pytest.raises(BundleError, match="no golden frames"):
        load_bundle(folder)


def test_golden_frames_must_expect_something(folder: Path, tmp_path: Path) -> None:
    """If every golden frame expects nothing, a model that never finds anything would be trusted."""
    empty = msgspec.structs.replace(golden(), expected=())
    with pytest.raises(BundleError, match="blind"):
        write_bundle(tmp_path / "c", manifest(), MODEL, [empty], "")
    assert len(write_bundle(folder, manifest(), MODEL, [empty, golden("two")], "").golden) == 2


def test_a_missing_folder_or_model_is_named(folder: Path) -> None:
    """The error says which file is not there."""
    (folder / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx: cannot be read"):
        load_bundle(folder)
    with pytest.raises(BundleError, match=r"no bundle\.yaml"):
        load_bundle(folder / "golden")


def test_unknown_keys_are_refused(folder: Path) -> None:
    """A misspelt key is an error, not ignored."""
    edit(folder, thresold=0.5)
    with pytest.raises(ConfigError, match="thresold"):
        load_bundle(folder)


@pytest.mark.parametrize("why", ["{socre}", "{", "{0}", "{score.x}", "{score:.2f}", "{view[a]}"])
def test_a_why_that_cannot_be_filled_in_is_refused(folder: Path, why: str) -> None:
    """The text for the operator is tried when the bundle is loaded, not at the first alarm."""
    edit(folder, labels=[{"name": "thing", "category": "OTHER", "threshold": 0.5, "why": why}])
    with pytest.raises(BundleError, match="`why` of thing"):
        load_bundle(folder)


def test_the_boxes_head_needs_single_pictures(folder: Path) -> None:
    """Lists of boxes cannot be told apart by picture, so such a model must say `batch: false`."""
    head = msgspec.to_builtins(BoxesHead(boxes="b", scores="s", labels="l"))
    edit(folder, output=head)
    with pytest.raises(BundleError, match="one picture at a time"):
        load_bundle(folder)


def test_a_golden_frame_must_expect_known_labels(folder: Path) -> None:
    """A golden frame left over from another label set is found."""
    edit(folder, labels=[{"name": "other", "category": "OTHER", "threshold": 0.5, "why": ""}])
    with pytest.raises(BundleError, match=r"unknown labels.*thing"):
        load_bundle(folder)


def stored(path: Path) -> dict[str, object]:
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pixels", np.zeros((2, 3), np.uint16)),
        ("pixels", np.zeros((2, 3, 1), np.uint16)),
        ("pixels", np.zeros((2, 3, 2), np.int64)),
        ("pixels", np.array([[[object()] * 2]])),
        ("channels", np.array(["low", "hihg"])),
        ("full_scale", np.array("much")),
        ("expected", np.array("{")),
        ("expected", np.array('[{"label": "thing", "score": 0.5, "box": [1, 2, 3]}]')),
        ("expected", None),
    ],
)
def test_a_wrong_golden_file_is_refused(folder: Path, field: str, value: object) -> None:
    """Whatever is wrong inside, the error names the file; pickles are never read."""
    path = folder / "golden" / "one.npz"
    arrays = stored(path) | {field: value}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})  # type: ignore[arg-type]
    with pytest.raises(BundleError, match=r"one\.npz"):
        read_golden(path)


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_golden_file_runs_no_code(folder: Path) -> None:
    """A pickle hidden in a golden frame is refused and not run."""
    path = folder / "golden" / "one.npz"
    trap = folder / "ran"
    np.savez(path, **(stored(path) | {"expected": np.array([Hostile(trap)], dtype=object)}))  # type: ignore[arg-type]
    with pytest.raises(BundleError, match=r"one\.npz"):
        read_golden(path)
    assert not trap.exists()


def test_a_golden_file_cut_short_is_refused(folder: Path) -> None:
    """Half a file is a bundle error, not a traceback from the archive reader."""
    path = folder / "golden" / "one.npz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BundleError, match=r"one\.npz"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("shape", "batch", "fits"),
    [
        (["n", 1, 32, 48], True, True),
        ([None, "c", "h", "w"], True, True),
        ([1, 1, 32, 48], False, True),
        ([1, 1, 32, 48], True, False),
        ([4, 1, 32, 48], False, False),
        (["n", 3, 32, 48], True, False),
        (["n", 1, 48, 32], True, False),
        ([1, 32, 48], False, False),
    ],
)
def test_input_shapes_are_compared(shape: list[int | str | None], batch: bool, fits: bool) -> None:
    """Free dimensions fit anything; a fixed one must be what the front end makes."""
    spec = msgspec.structs.replace(manifest().input, batch=batch)
    if fits:
        check_input_shape(shape, spec)
    else:
        with pytest.raises(BundleError, match="input of shape"):
            check_input_shape(shape, spec)


def test_a_bundle_is_frozen(folder: Path) -> None:
    """Nobody can swap the verified bytes."""
    bundle: Bundle = load_bundle(folder)
    with pytest.raises(AttributeError):
        bundle.model = b""  # type: ignore[misc]
