"""Where nothing can be written is said before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from nii_edge.commands.evaluate import Request, evaluate
from nii_edge.commands.outcome import check_bundle_place, check_file_place
from nii_edge.errors import ConfigError


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Under a file, on one, in a folder that takes none; nothing is left behind."""
    file = tmp_path / "file"
    file.write_text("mine")
    for out in (file, file / "1.0.0", Path("/proc/none/1.0.0")):
        with pytest.raises(ConfigError, match=r"cannot be written: .*: .*; name another place"):
            check_bundle_place(out)
    with pytest.raises(ConfigError, match="cannot be written"):
        check_file_place(file / "page.html")
    check_bundle_place(tmp_path / "new" / "1.0.0")
    check_file_place(tmp_path / "new" / "page.html")
    check_file_place(file)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    assert file.read_text() == "mine"


def test_a_report_that_cannot_be_written_is_said_before_anything_is_read(tmp_path: Path) -> None:
    """Its figures would be lost with it; here not even the labels are there."""
    asked = Request(None, None, tmp_path / "none.json", tmp_path, 1, 1)
    with pytest.raises(ConfigError, match="is a folder; name a file"):
        evaluate(asked, lambda _done, _of: None)
