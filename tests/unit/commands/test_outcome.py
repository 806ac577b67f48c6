"""What long commands write, and that it is said before the work where nothing can be written."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
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


def test_names_that_are_not_utf8_are_told_in_letters_that_can_be_printed(tmp_path: Path) -> None:
    """As archives from elsewhere leave them: in what is printed, and on the page with their pictures."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "labels" / "classes.txt").write_text("gun\nknife\n")
    (tmp_path / "labels" / "a.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.full((60, 80, 3), 240, np.uint8))
    odd = os.fsencode(tmp_path / "images") + b"/\xb5\xb6.png"
    Path(os.fsdecode(odd)).write_bytes((tmp_path / "images" / "a.png").read_bytes())
    page = tmp_path / "page.html"
    found = evaluate(Request(None, None, tmp_path / "labels", page, 1, 1), lambda _done, _of: None)
    (line,) = (line for line in found.problems if "without a file of labels" in line)
    assert line.encode().endswith(b"\\udcb5\\udcb6.png")
    assert page.read_text(encoding="utf-8").count("\\udcb5\\udcb6.png") == 3, "said, and the picture is shown"
