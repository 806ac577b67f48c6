"""Threat libraries: what is written is read again, and whatever is wrong is refused by name."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from nii_edge.adapters.threat_files import INDEX, MAX_FILE_BYTES, read_library, write_library, write_threat
from nii_edge.errors import ConfigError, ThreatError
from nii_edge.xray.projection import Threat


def plate(name: str = "plate-1", low: float = 0.2, shape: tuple[int, ...] = (12, 20, 2)) -> Threat:
    transmission = np.full(shape, low, np.float32)
    transmission[..., -1:] = (1 + low) / 2
    return Threat(name, "plate", transmission, 0.5, "made by the test")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    write_library(tmp_path, [plate(), plate("plate-2", 0.4)])
    return tmp_path


def change(folder: Path, edit: Callable[[dict[str, object]], None]) -> None:
    """Edit the index's first entry."""
    tree = yaml.safe_load((folder / INDEX).read_text())
    edit(tree["threats"][0])
    (folder / INDEX).write_text(yaml.safe_dump(tree))


def put(folder: Path, data: bytes) -> None:
    """Other bytes for the first threat, with their hash in the index."""
    import hashlib

    (folder / "plate-1.npz").write_bytes(data)
    change(folder, lambda entry: entry.update(sha256=hashlib.sha256(data).hexdigest()))


def packed(**arrays: np.ndarray) -> bytes:
    data = io.BytesIO()
    np.savez_compressed(data, **arrays)
    return data.getvalue()


def test_what_is_written_is_read_again(library: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Equal to the last bit, in order, read-only; written twice it is the same files."""
    found = read_library(library)
    assert [threat.name for threat in found] == ["plate-1", "plate-2"]
    for threat, made in zip(found, (plate(), plate("plate-2", 0.4)), strict=True):
        assert np.array_equal(threat.transmission, made.transmission)
        assert threat[:2] + threat[3:] == made[:2] + made[3:]
        assert not threat.transmission.flags.writeable
    again = tmp_path_factory.mktemp("again")
    write_library(again, [plate(), plate("plate-2", 0.4)])
    for name in (INDEX, "plate-1.npz", "plate-2.npz"):
        assert (again / name).read_bytes() == (library / name).read_bytes()


def test_a_folder_without_an_index_is_none(tmp_path: Path) -> None:
    with pytest.raises(ThreatError, match=r"no threats\.yaml there"):
        read_library(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda e: e.update(name="../plate-1"), r"threats\[0\]\.name"),
        (lambda e: e.update(name="plate-9"), r"plate-9\.npz: cannot be read"),
        (lambda e: e.update(name="plate-2"), "plate-2 more than once"),
        (lambda e: e.update(label="two words"), r"threats\[0\]\.label"),
        (lambda e: e.update(size=[12, 21]), "12x20 pixels, threats.yaml says 12x21"),
        (lambda e: e.update(size=[12, 2_000_000]), "size"),
        (lambda e: e.update(pitch_mm=0), "pitch_mm"),
        (lambda e: e.update(sha256="0" * 64), r"plate-1\.npz: altered: its SHA-256 is"),
        (lambda e: e.update(provenance=""), "provenance"),
        (lambda e: e.update(colour="blue"), "unknown field `colour`"),
        (lambda e: e.pop("sha256"), "missing required field `sha256`"),
    ],
)
def test_an_index_that_is_wrong_is_refused(
    library: Path, edit: Callable[[dict[str, object]], None], says: str
) -> None:
    change(library, edit)
    with pytest.raises(ThreatError, match=says) as caught:
        read_library(library)
    assert str(library) in str(caught.value)
    assert isinstance(caught.value, ConfigError), "so that `check` and `run` name it"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"no zip at all", "not a threat"),
        (packed(pixels=plate().transmission), "not a threat.*transmission"),
        (packed(transmission=np.array([{"a": 1}], dtype=object)), "not a threat.*pickle"),
        (packed(transmission=plate().transmission)[:-30], "not a threat"),
        (packed(transmission=plate().transmission.astype(np.float64)), "float64"),
        (packed(transmission=plate().transmission[:, :, 0]), r"\(12, 20\); expected float32"),
        (packed(transmission=plate(shape=(12, 20, 3)).transmission), r"\(12, 20, 3\); expected"),
        (packed(transmission=np.full((12, 20, 2), np.nan, np.float32)), "transmission from nan"),
        (packed(transmission=np.full((12, 20, 2), 1.1, np.float32)), "transmission from 1.1"),
        (packed(transmission=np.full((12, 20, 2), -0.1, np.float32)), "transmission from -0.1"),
        (packed(transmission=np.full((12, 20, 2), 0.99, np.float32)), "nothing to be seen"),
        (packed(transmission=np.zeros((0, 20, 2), np.float32)), r"expected 1 to 2048"),
        (packed(transmission=np.zeros((1, 2_049, 2), np.float32)), r"expected 1 to 2048"),
    ],
)
def test_a_file_that_is_no_threat_is_refused(library: Path, data: bytes, says: str) -> None:
    put(library, data)
    with pytest.raises(ThreatError, match=says) as caught:
        read_library(library)
    assert "plate-1.npz" in str(caught.value)


def test_a_bomb_is_not_unpacked(library: Path) -> None:
    """A small file that would unpack to more than a threat may be is refused by its directory."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("transmission.npy", bytes(MAX_FILE_BYTES + 1))
    assert len(bomb.getvalue()) < 1 << 20
    put(library, bomb.getvalue())
    with pytest.raises(ThreatError, match="bytes unpacked, at most"):
        read_library(library)


def test_files_that_are_too_large_are_not_read(library: Path) -> None:
    with (library / "plate-1.npz").open("ab") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ThreatError, match=r"plate-1\.npz: .* bytes, at most"):
        read_library(library)
    with (library / INDEX).open("ab") as file:
        file.truncate(1 << 24)
    with pytest.raises(ThreatError, match=r"threats\.yaml: .* bytes, at most"):
        read_library(library)


def test_an_empty_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text("version: 1\nthreats: []\n")
    with pytest.raises(ThreatError, match="0 threats; expected 1 to"):
        read_library(tmp_path)
    with pytest.raises(ThreatError, match="0 threats; expected 1 to"):
        write_library(tmp_path, [])


@pytest.mark.parametrize(
    ("threat", "says"),
    [
        (plate(name="no/slash"), r"no/slash.*\$\.name"),
        (plate(low=0.995), "nothing to be seen"),
        (plate()._replace(pitch_mm=-1), "pitch_mm"),
        (plate()._replace(transmission=np.zeros((4, 4), np.float32)), "expected float32"),
    ],
)
def test_nothing_is_written_that_would_not_be_read(tmp_path: Path, threat: Threat, says: str) -> None:
    with pytest.raises(ThreatError, match=says):
        write_threat(tmp_path, threat)
    assert list(tmp_path.rglob("*.npz")) == []
