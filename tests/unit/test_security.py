"""Keys and allow-lists as files: what is right is read, what is wrong or open to others is refused."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

import pytest
from harness import command

from nii_edge.allow_list import add_to_allow, parse_allow, read_allow, remove_from_allow
from nii_edge.client import ScannerClient
from nii_edge.errors import ConfigError
from nii_edge.record import Tap
from nii_edge.security import ClientKeys, Public, new_key, read_secret, read_server, replace_key, write_key
from nii_edge.subscriber import Subscriber

A, B, C = (
    "]Ar&@f1D5?u?c#qi+zwG4.skE4{[RE?0@Nch3G:z",
    "z^VbZQb>cPNjnaZOz+DxrBh&J5+<zGDZ0n=(29C9",
    ">]H(6}k1o(8Ecwzh<<GSFDY6rn}vw+/jr<d!3v{R",
)
"""Public keys, the same in every run: tests are named after them."""


def keys(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("keys", *arguments), capture_output=True, text=True, check=False, timeout=60
    )


# ---- secret keys


def test_a_key_is_written_for_its_owner_alone_and_read_again(tmp_path: Path) -> None:
    """NAME.key has mode 0600 whatever the umask, NAME.pub one public line; both say the same key."""
    made = new_key("scanner", "lane-1")
    path = write_key(made, tmp_path / "keys")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o077 == 0
    again = read_secret(path)
    assert (again.public, again.secret) == (made.public, made.secret)
    assert read_server(str(path.with_suffix(".pub"))) == made.public.key
    assert read_server(made.public.key) == made.public.key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620])
def test_a_secret_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    """A secret key file open to group or world is refused, with what to do."""
    path = write_key(new_key("scanner", "lane-1"), tmp_path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode {mode:04o}.*chmod 600"):
        read_secret(path)


def test_a_key_is_not_overwritten(tmp_path: Path) -> None:
    """Making a key of the same name again is refused: the first one may be in use."""
    path = write_key(new_key("scanner", "lane-1"), tmp_path)
    before = path.read_text()
    with pytest.raises(ConfigError, match="there already"):
        write_key(new_key("scanner", "lane-1"), tmp_path)
    assert path.read_text() == before


@pytest.mark.parametrize(
    "text", ["", "role scanner\n", "nonsense", "role pilot\nname a\npublic x\nsecret y\n", "\xff\xfe"]
)
def test_what_is_no_secret_key_is_refused_by_name(tmp_path: Path, text: str) -> None:
    """Any other file is a ConfigError that names it."""
    path = tmp_path / "a.key"
    path.write_bytes(text.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"a\.key"):
        read_secret(path)


def test_halves_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    """A public key of another pair would lock its owner out without a word."""
    path = write_key(new_key("scanner", "lane-1"), tmp_path)
    text = path.read_text()
    path.write_text(text.replace(read_secret(path).public.key, A))
    with pytest.raises(ConfigError, match="do not belong together"):
        read_secret(path)


def test_a_secret_is_never_printed(tmp_path: Path) -> None:
    """repr of a key, and of a client's keys, has the public half only."""
    made = new_key("scanner", "lane-1")
    both = repr(made) + repr(ClientKeys(made, A))
    assert made.public.key in both
    assert made.secret not in both


@pytest.mark.parametrize("name", ["", "a b", "../up", "-x", "a" * 65, "ä"])
def test_a_key_has_a_name_of_the_protocol(name: str) -> None:
    """Names of keys are names of scanners and edges, and file names."""
    with pytest.raises(ConfigError, match="no name"):
        new_key("scanner", name)


@pytest.mark.parametrize("text", ["", "short", "nowhere.pub", "é" * 40, A + "x"])
def test_what_is_no_server_key_is_refused(text: str) -> None:
    """Neither a key nor a file with one."""
    with pytest.raises(ConfigError):
        read_server(text)


def test_a_server_key_of_another_role_is_refused(tmp_path: Path) -> None:
    """An edge's key in the place of the collector's is found before anything is sent."""
    path = write_key(new_key("edge", "edge-1"), tmp_path).with_suffix(".pub")
    with pytest.raises(ConfigError, match="role collector expected"):
        read_server(str(path), "collector")
    with pytest.raises(ConfigError, match="neither a public key"):
        read_server(str(tmp_path))


def test_rotation_keeps_the_old_secret(tmp_path: Path) -> None:
    """The new key takes the file's place, the old one stays beside it, closed to others."""
    old, new = new_key("edge", "e"), new_key("edge", "e")
    path = write_key(old, tmp_path)
    replace_key(path, new)
    assert read_secret(path).secret == new.secret
    kept = tmp_path / "e.key.old"
    assert read_secret(kept).secret == old.secret
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert read_server(str(tmp_path / "e.pub")) == new.public.key


# ---- allow-lists


def test_an_allow_list_is_lines_of_role_name_and_key() -> None:
    """Remarks and empty lines are passed over; a name may have two keys, and the same name two roles."""
    text = f"# who\n\n scanner a {A}  # since May\nscanner a {B}\nsubscriber a {C} #\n"
    assert parse_allow(text, "x") == {
        A: Public("scanner", "a", A),
        B: Public("scanner", "a", B),
        C: Public("subscriber", "a", C),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scanner a", "line 1.*ROLE NAME KEY"),
        (f"pilot a {A}", "line 1: role 'pilot'"),
        (f"\nscanner a/b {A}", "line 2: 'a/b' is no name"),
        (f"scanner a {A[:-1]}", "line 1.*is no key"),
        (f"scanner a {A}\nscanner b {A}", "line 2.*one key, one name"),
        (f"scanner a {A}\nscanner a {B}\nscanner a {C}", "line 3: scanner a has more than 2 keys"),
    ],
)
def test_a_wrong_allow_list_is_refused_by_its_line(tmp_path: Path, text: str, words: str) -> None:
    """Each mistake names the file and the line."""
    path = tmp_path / "allowed.keys"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"allowed.keys: {words}"):
        read_allow(path)


def test_adding_a_third_key_takes_out_the_oldest(tmp_path: Path) -> None:
    """Two keys of a name are valid at once; a third pushes the first out, remarks stay."""
    path = tmp_path / "allowed.keys"
    path.write_text(f"# mine\nsubscriber s {C}")
    made = [new_key("scanner", "a").public for _ in range(3)]
    assert [add_to_allow(path, public) for public in made] == [None, None, made[0]]
    assert path.read_text() == (
        f"# mine\nsubscriber s {C}\n{made[1].line()}\n{made[2].line()}\n"
    )  # fmt: skip


def test_taking_out_a_name_or_a_key(tmp_path: Path) -> None:
    """By key one line goes, by name all of them; what is not there is an error."""
    path = tmp_path / "allowed.keys"
    path.write_text(f"scanner a {A}\nscanner a {B}\nscanner c {C}\n")
    assert [p.key for p in remove_from_allow(path, A)] == [A]
    assert [p.key for p in remove_from_allow(path, "a")] == [B]
    with pytest.raises(ConfigError, match="no key and no name 'a'"):
        remove_from_allow(path, "a")
    assert path.read_text() == f"scanner c {C}\n"


# ---- clients


@pytest.mark.parametrize("endpoint", ["tcp://10.0.0.1:5555", "tcp://edge.example:5555"])
def test_a_client_does_not_talk_to_another_machine_unasked(endpoint: str) -> None:
    """Without keys whoever answers there could call a carton CLEAR: refused unless `insecure`."""
    with pytest.raises(ValueError, match="another machine"):
        ScannerClient(endpoint, "lane-1")
    with pytest.raises(ValueError, match="another machine"):
        Subscriber(endpoint)
    with pytest.raises(ValueError, match="another machine"):
        Tap(endpoint, None, lambda _: None)
    ScannerClient("tcp://192.0.2.1:9", "lane-1", insecure=True).close()
    Subscriber("tcp://192.0.2.1:9", insecure=True).close()


# ---- the commands


def test_new_prints_the_line_to_paste_and_appends_it_if_told(tmp_path: Path) -> None:
    """stdout is the public line alone; --allow puts it into the list; the secret goes to the file only."""
    allow = tmp_path / "allowed.keys"
    done = keys("new", "lane-1", "--role", "scanner", "--out", str(tmp_path / "k"), "--allow", str(allow))
    assert done.returncode == 0, done.stderr
    secret = read_secret(tmp_path / "k" / "lane-1.key")
    assert done.stdout == secret.public.line() + "\n"
    assert list(read_allow(allow).values()) == [secret.public]
    assert secret.secret not in done.stdout + done.stderr
    again = keys("new", "lane-1", "--role", "scanner", "--out", str(tmp_path / "l"), "--allow", str(allow))
    assert again.returncode == 1
    assert "rotate" in again.stderr
    assert not (tmp_path / "l").exists()


def test_rotate_then_revoke(tmp_path: Path) -> None:
    """After `rotate` both keys are listed, after `revoke OLD` the new one alone."""
    allow, key = tmp_path / "allowed.keys", tmp_path / "lane-1.key"
    keys("new", "lane-1", "--role", "scanner", "--out", str(tmp_path), "--allow", str(allow))
    old = read_secret(key).public
    done = keys("rotate", str(key), "--allow", str(allow), "--json")
    assert done.returncode == 0, done.stderr
    new = read_secret(key).public
    assert json.loads(done.stdout)["key"] == new.key
    assert list(read_allow(allow)) == [old.key, new.key]
    gone = keys("revoke", old.key, "--allow", str(allow))
    assert gone.stdout == f"revoked {old.line()}\n"
    assert list(read_allow(allow)) == [new.key]
    assert keys("revoke", "nobody", "--allow", str(allow)).returncode == 1


def test_a_key_that_begins_with_a_dash_is_revoked_like_any(tmp_path: Path) -> None:
    """One in 85 does."""
    allow = tmp_path / "allowed.keys"
    for start in ("-1", "--", "-a"):
        key = f"{start}{'x' * 38}"
        allow.write_text(f"scanner lane-1 {key}\nscanner lane-2 {'y' * 40}\n")
        gone = keys("revoke", key, "--allow", str(allow))
        assert gone.stdout == f"revoked scanner lane-1 {key}\n", gone.stderr
        assert [each.name for each in read_allow(allow).values()] == ["lane-2"]


def test_list_shows_public_lines_and_never_a_secret(tmp_path: Path) -> None:
    """Allow-lists, .pub and .key files alike."""
    keys("new", "s", "--role", "subscriber", "--out", str(tmp_path), "--allow", str(tmp_path / "a.keys"))
    secret = read_secret(tmp_path / "s.key")
    for name in ("a.keys", "s.pub", "s.key"):
        done = keys("list", str(tmp_path / name))
        assert done.stdout == secret.public.line() + "\n", done.stderr
    found = json.loads(keys("list", str(tmp_path / "a.keys"), "--json").stdout)
    assert found == {"keys": [{"role": "subscriber", "name": "s", "key": secret.public.key}]}
    (tmp_path / "s.key").chmod(0o644)
    refused = keys("list", str(tmp_path / "s.key"))
    assert refused.returncode == 1
    assert refused.stderr.startswith("nii-edge: ")
