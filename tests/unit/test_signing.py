"""Who vouches for a model's files, and that nothing else passes for them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nii_edge.bundle import load_bundle
from nii_edge.errors import BundleError, ConfigError
from nii_edge.seal import SIGNATURE
from nii_edge.security import SecretKey, new_key, read_secret, write_key
from nii_edge.signing import check_folder, read_seal, read_signature, sign

BUNDLE = Path(__file__).parents[2] / "models" / "shielding" / "1.0.0"


@pytest.fixture(scope="module")
def key() -> SecretKey:
    return new_key("signer", "head-office")


@pytest.fixture
def folder(tmp_path: Path, key: SecretKey) -> Path:
    """A signed bundle."""
    made = tmp_path / "bundle"
    shutil.copytree(BUNDLE, made)
    sign(made, key)
    return made


def test_a_signed_bundle_loads_and_says_by_whom(folder: Path, key: SecretKey) -> None:
    """All files are vouched for, by name; the folder or a file in it may be named."""
    assert check_folder(folder).signer == key.public
    for named in (folder, folder / "bundle.yaml"):
        bundle = load_bundle(named, read_seal(named, [key.public.key]))
        assert bundle.manifest == load_bundle(folder).manifest
    signed = set(check_folder(folder).files)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert signed == there - {SIGNATURE}


def test_signing_again_gives_the_same_bytes(folder: Path, key: SecretKey) -> None:
    """Ed25519 draws no numbers: what is in version control does not change for nothing."""
    before = (folder / SIGNATURE).read_bytes()
    sign(folder, key)
    assert (folder / SIGNATURE).read_bytes() == before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_changed_byte_of_any_file_is_refused(folder: Path, key: SecretKey, data: st.DataObject) -> None:
    """Of model, manifest, golden frames, and of the signature itself: never loaded as if it were signed."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "CARD.md"]
    path = data.draw(st.sampled_from(files))
    good = path.read_bytes()
    place = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bad)
    try:
        with pytest.raises((BundleError, ConfigError)):
            load_bundle(folder, read_seal(folder, [key.public.key]))
    finally:
        path.write_bytes(good)


def test_others_signatures_and_none_are_refused(folder: Path, key: SecretKey) -> None:
    """A good signature of somebody who is not listed counts as little as no signature."""
    with pytest.raises(BundleError, match="not among the `signers`"):
        read_seal(folder, [new_key("signer", "head-office").public.key])
    assert read_seal(folder, None).files is None
    text = (folder / SIGNATURE).read_text()
    other = new_key("signer", "other")
    (folder / SIGNATURE).write_text(text.replace(key.public.key, other.public.key))
    with pytest.raises(BundleError, match="does not belong"):
        read_seal(folder, [other.public.key])
    (folder / SIGNATURE).unlink()
    with pytest.raises(BundleError, match="is not signed"):
        read_seal(folder, [key.public.key])


def test_added_and_missing_files_are_told(folder: Path) -> None:
    """A golden frame more would be loaded, one less would be missed."""
    golden = sorted((folder / "golden").glob("*.npz"))
    shutil.copy(golden[0], folder / "golden" / "more.npz")
    with pytest.raises(BundleError, match=r"more\.npz: is not among"):
        check_folder(folder)
    with pytest.raises(BundleError, match=r"more\.npz: is not among"):
        load_bundle(folder, read_seal(folder, [read_signature(folder).signer.key]))
    (folder / "golden" / "more.npz").unlink()
    (folder / "CARD.md").unlink()
    with pytest.raises(BundleError, match=r"CARD\.md signed, but not there"):
        check_folder(folder)


@pytest.mark.parametrize("name", ["a\x0bfile", "a\u2028b", "a\rb", " a", "sub\nfile/x"])
def test_names_that_could_be_taken_for_lines_are_not_signed(folder: Path, key: SecretKey, name: str) -> None:
    """Else a file's name could vouch for another file; and no signature is left behind."""
    (folder / SIGNATURE).unlink()
    strange = folder / name
    strange.parent.mkdir(exist_ok=True)
    strange.write_bytes(b"")
    with pytest.raises(BundleError, match="cannot stand in a line"):
        sign(folder, key)
    assert not (folder / SIGNATURE).exists()


def test_links_are_not_what_was_signed(folder: Path, key: SecretKey, tmp_path: Path) -> None:
    """Neither to a file elsewhere nor to another one that was signed under its own name."""
    lenient = folder / "lenient.yaml"
    lenient.write_text((folder / "bundle.yaml").read_text().replace("threshold: 0.5", "threshold: 0.99"))
    sign(folder, key)
    manifest = folder / "bundle.yaml"
    shutil.move(manifest, tmp_path / "bundle.yaml")
    for target in (lenient, tmp_path / "bundle.yaml"):
        manifest.symlink_to(target)
        with pytest.raises(BundleError, match="a link"):
            load_bundle(folder, read_seal(folder, [key.public.key]))
        manifest.unlink()
    shutil.move(tmp_path / "bundle.yaml", manifest)
    shutil.move(folder / "golden", tmp_path / "golden")
    (folder / "golden").symlink_to(tmp_path / "golden")
    with pytest.raises(BundleError):
        load_bundle(folder, read_seal(folder, [key.public.key]))
    with pytest.raises(BundleError, match="neither a file"):
        check_folder(folder)


def test_a_golden_frame_less_is_missed_and_a_path_that_is_none_is_named(folder: Path, key: SecretKey) -> None:
    """A model could be blind to what the missing one shows."""
    sorted((folder / "golden").glob("*.npz"))[0].unlink()
    with pytest.raises(BundleError, match="signed, but not there"):
        load_bundle(folder, read_seal(folder, [key.public.key]))
    with pytest.raises(BundleError, match="nowhere: no such file"):
        read_seal(folder / "nowhere", [key.public.key])


NO_KEY = "nii-edge signature 1\nsigner signer a " + "#" * 40 + "\nsignature AAAA\n"


@pytest.mark.parametrize(
    "text", ["", "signature ", NO_KEY, "file x y\nsigner a b\nsignature AAAA\n", "\x00" * 50, "a" * 2_000_000]
)
def test_what_is_no_signature_is_named(folder: Path, text: str, key: SecretKey) -> None:
    """Anything may stand in the file."""
    (folder / SIGNATURE).write_text(text)
    with pytest.raises(BundleError, match=SIGNATURE):
        read_seal(folder, [key.public.key])


def test_only_signers_sign_and_only_files_are_signed(tmp_path: Path, key: SecretKey) -> None:
    """A scanner's key opens its lane alone; links and empty folders are nobody's to vouch for."""
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    with pytest.raises(ConfigError, match="role signer"):
        sign(tmp_path / "bundle", new_key("scanner", "lane-1"))
    (tmp_path / "bundle" / "link").symlink_to("bundle.yaml")
    with pytest.raises(BundleError, match="neither a file"):
        sign(tmp_path / "bundle", key)
    (tmp_path / "empty").mkdir()
    for strange in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(BundleError):
            sign(strange, key)


def test_a_signers_key_is_kept_like_any_other(tmp_path: Path, key: SecretKey) -> None:
    """Written, read back, and refused when its halves do not belong together."""
    path = write_key(key, tmp_path)
    assert read_secret(path).secret == key.secret
    good = path.read_text()
    path.write_text(good.replace(key.secret, new_key("signer", "x").secret))
    with pytest.raises(ConfigError, match="do not belong together"):
        read_secret(path)
    path.write_text(good.replace(key.secret, "#" * 40))
    with pytest.raises(ConfigError, match="is no key"):
        read_secret(path)
