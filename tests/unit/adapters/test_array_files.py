"""Fitted numbers go through a file as they are; what is no such file is named, never loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from nii_edge.adapters.array_files import read_arrays, write_arrays
from nii_edge.errors import BundleError


def test_arrays_come_back_with_the_hash_of_their_file(tmp_path: Path) -> None:
    file = tmp_path / "fit.npz"
    written = {"weights": np.linspace(-1, 1, 7).reshape(7, 1), "bytes": np.arange(9, dtype=np.uint8)}
    digest = write_arrays(file, written)
    found, read = read_arrays(file)
    assert digest == read == hashlib.sha256(file.read_bytes()).hexdigest()
    assert found.keys() == written.keys()
    for name, values in written.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"# a read-me\n", "is no archive of arrays .* 23 20 61"),
        (b"", "is no archive of arrays"),
        (b"PK\x03\x04 and nothing behind it", "is damaged"),
    ],
)
def test_other_files_are_named(tmp_path: Path, data: bytes, words: str) -> None:
    """In words of ours: none that advise to load what may run code."""
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(BundleError, match=words) as caught:
        read_arrays(tmp_path / "x.npz")
    assert "unsafe" not in str(caught.value)


def test_files_that_are_not_there_hold_objects_or_are_cut_are_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"none\.npz: cannot be read: No such file"):
        read_arrays(tmp_path / "none.npz")
    np.savez(tmp_path / "objects.npz", a=np.array([{"a": 1}], object))
    with pytest.raises(BundleError, match="holds what is no number"):
        read_arrays(tmp_path / "objects.npz")
    write_arrays(tmp_path / "whole.npz", {"a": np.ones(4_000)})
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-40])
    with pytest.raises(BundleError, match="is damaged"):
        read_arrays(tmp_path / "cut.npz")
    write_arrays(tmp_path / "nan.npz", {"a": np.array([1.0, np.nan])})
    with pytest.raises(BundleError, match="a holds values that are not finite"):
        read_arrays(tmp_path / "nan.npz")
