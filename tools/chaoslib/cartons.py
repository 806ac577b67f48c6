"""Cartons to send: sound ones, ones with a block that nothing gets through, and everything hostile."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from chaoslib.books import ALARM, CLEAR, UNKNOWN

HEIGHT, WIDTH = 64, 96
SOUND, BLOCKED, HOSTILE = frozenset({CLEAR, UNKNOWN}), frozenset({ALARM, UNKNOWN}), frozenset({UNKNOWN})

Head = dict[str, Any]
View = tuple[Head, bytes]


class Carton(NamedTuple):
    """The views of one scan: changes to the header, and the payload. `allowed`: see `books.Sent`."""

    kind: str
    allowed: frozenset[str]
    views: list[View]


def message(head: Head, payload: bytes) -> list[bytes]:
    """The two parts as they travel. A CRC is added unless the header has one."""
    full = {"version": 1, "type": "frame", "crc32": zlib.crc32(payload), **head}
    return [msgspec.msgpack.encode(full), payload]


_RNG = np.random.default_rng(5)
_MEAN = np.full((HEIGHT, WIDTH, 2), 40_000.0)
_AIR = [_RNG.normal(_MEAN, 150).astype("<u2") for _ in range(8)]
_MEAN[6:58, 8:88] *= 0.8
_CARTONS = [_RNG.normal(_MEAN, 150).astype("<u2") for _ in range(8)]
_RAW: Head = {"height": HEIGHT, "width": WIDTH, "channels": ["low", "high"], "dtype": "uint16", "views": 2}


def _counts(random_: random.Random, block: bool = False) -> npt.NDArray[np.uint16]:
    """A carton with a noise of its own, and perhaps a block."""
    pixels = random_.choice(_CARTONS).copy()
    pixels[0, :8, 0] = [38_000 + random_.randrange(2_000) for _ in range(8)]
    if block:
        pixels[16:48, 24:72] = 5
    return pixels


def _pair(random_: random.Random, block: bool = False) -> list[View]:
    views = [_counts(random_), _counts(random_, block)]
    return [({**_RAW, "view": i}, v.tobytes()) for i, v in enumerate(views)]


def _clean(random_: random.Random) -> Carton:
    return Carton("clean", SOUND, _pair(random_))


def _block(random_: random.Random) -> Carton:
    return Carton("block", BLOCKED, _pair(random_, block=True))


def _blank(random_: random.Random) -> Carton:
    """One or both views dead: all counts 0."""
    views = _pair(random_)
    for i in random_.choice([(0,), (1,), (0, 1)]):
        views[i] = views[i][0], bytes(HEIGHT * WIDTH * 4)
    return Carton("blank", HOSTILE, views)


def _empty(random_: random.Random) -> Carton:
    """Nothing in one view or both."""
    views = _pair(random_)
    for i in random_.choice([(0,), (1,), (0, 1)]):
        air = random_.choice(_AIR).copy()
        air[0, :8, 0] = [38_000 + random_.randrange(2_000) for _ in range(8)]
        views[i] = views[i][0], air.tobytes()
    return Carton("empty", HOSTILE, views)


def _stuck(random_: random.Random) -> Carton:
    """A detector that repeats itself, clips, or gives the same view twice."""
    views = _pair(random_)
    which = random_.randrange(2)
    head, payload = views[which]
    pixels = np.frombuffer(payload, "<u2").reshape(HEIGHT, WIDTH, 2).copy()
    how = random_.randrange(4)
    if how == 0:
        pixels[:] = pixels[random_.randrange(HEIGHT)]
    elif how == 1:
        pixels[:] = pixels[:, random_.randrange(WIDTH), None]
    elif how == 2:
        pixels[: HEIGHT // 2] = 65_535
    else:
        pixels = np.frombuffer(views[1 - which][1], "<u2")
    views[which] = head, pixels.tobytes()
    return Carton("stuck", HOSTILE, views)


def _not_finite(random_: random.Random) -> Carton:
    pixels = np.stack([_counts(random_), _counts(random_)]).astype("<f4") / np.float32(40_000)
    place = random_.randrange(2), random_.randrange(HEIGHT), random_.randrange(WIDTH), random_.randrange(2)
    pixels[place] = random_.choice([np.nan, np.inf, -np.inf])
    views = [({**_RAW, "view": i, "dtype": "float32"}, v.tobytes()) for i, v in enumerate(pixels)]
    return Carton("not_finite", HOSTILE, views)


def _spoilt(
    kind: str, spoil: Callable[[random.Random, Head, bytes], View]
) -> Callable[[random.Random], Carton]:
    """A sound pair of which one view is spoilt."""

    def make(random_: random.Random) -> Carton:
        views = _pair(random_)
        which = random_.randrange(2)
        head, payload = views[which]
        views[which] = spoil(random_, dict(head), payload)
        return Carton(kind, HOSTILE, views)

    return make


def _wrong_crc(random_: random.Random, head: Head, payload: bytes) -> View:
    return {**head, "crc32": zlib.crc32(payload) ^ (1 << random_.randrange(32))}, payload


def _flipped(random_: random.Random, head: Head, payload: bytes) -> View:
    """A bit that flipped on the way."""
    bad = bytearray(payload)
    bad[random_.randrange(len(bad))] ^= 1 << random_.randrange(8)
    return {**head, "crc32": zlib.crc32(payload)}, bytes(bad)


def _cut(random_: random.Random, head: Head, payload: bytes) -> View:
    return head, payload[: random_.randrange(len(payload))]


def _long(random_: random.Random, head: Head, payload: bytes) -> View:
    return head, payload + bytes(random_.randrange(1, 4096))


def _bad_field(random_: random.Random, head: Head, payload: bytes) -> View:
    change: Head = random_.choice(
        [
            {"height": str(HEIGHT)}, {"height": -1}, {"width": 1 << 40}, {"dtype": "float16"},
            {"channels": "low"},
            {"encoding": "dicos"}, {"crc32": -1}, {"carton": "x" * 500}, {"views": 9}, {"height": None},
            {"channels": ["low"] * 200},
            {"type": "verdict"}, {"captured_at_ns": "now"}, {"carton": {"a": [[]]}},
        ]
    )  # fmt: skip
    return {**head, **change}, payload


def _bad_shape(random_: random.Random, head: Head, payload: bytes) -> View:
    change: Head = random_.choice(
        [
            {"height": WIDTH, "width": HEIGHT + 1}, {"height": 60_000, "width": 60_000}, {"views": 1},
            {"view": 7},
            {"channels": ["high"]}, {"channels": ["grey"]}, {"dtype": "uint8"}, {"encoding": "png"},
        ]
    )  # fmt: skip
    return {**head, **change}, payload


def _other_carton(random_: random.Random, head: Head, payload: bytes) -> View:
    return {**head, "carton": f"C{random_.randrange(1000)}"}, payload


def _one_view(random_: random.Random) -> Carton:
    return Carton("one_view", HOSTILE, [random_.choice(_pair(random_))])


def _picture(kind: str) -> Callable[[random.Random], Carton]:
    """Encoded pictures, for the display lane."""

    def make(random_: random.Random) -> Carton:
        shade = np.full((HEIGHT, WIDTH), 255 - random_.randrange(4), np.uint8)
        shade[0, :8] = [random_.randrange(200, 255) for _ in range(8)]
        shade[6:58, 8:88] = 205
        if kind == "picture_block":
            shade[16:48, 24:72] = 0
        suffix, encoding = random_.choice([(".png", "png"), (".tiff", "tiff")])
        data = cv2.imencode(suffix, shade)[1].tobytes()
        if kind == "picture_torn":
            data = data[: random_.randrange(1, len(data) - 20)]
        elif kind == "picture_junk":
            data = random_.randbytes(random_.randrange(1, 5000))
        elif kind == "picture_misnamed":
            encoding = "jpeg"
        allowed = {"picture_clean": SOUND, "picture_block": BLOCKED}.get(kind, HOSTILE)
        return Carton(kind, allowed, [({"view": 0, "encoding": encoding}, data)])

    return make


_HOSTILE_DUAL: list[Callable[[random.Random], Carton]] = [
    _blank,
    _empty,
    _stuck,
    _not_finite,
    _one_view,
    _spoilt("wrong_crc", _wrong_crc),
    _spoilt("flipped", _flipped),
    _spoilt("cut", _cut),
    _spoilt("long", _long),
    _spoilt("bad_field", _bad_field),
    _spoilt("bad_shape", _bad_shape),
    _spoilt("other_carton", _other_carton),
]
_HOSTILE_DISPLAY = [_picture(f"picture_{kind}") for kind in ("torn", "junk", "misnamed")]


def dual_energy(random_: random.Random, hostile: float) -> Carton:
    """A carton for a two-view dual-energy lane; `hostile`: the share of hostile ones."""
    if random_.random() < hostile:
        return random_.choice(_HOSTILE_DUAL)(random_)
    return (_block if random_.random() < 0.3 else _clean)(random_)


def display(random_: random.Random, hostile: float) -> Carton:
    """A carton for a lane of encoded pictures."""
    if random_.random() < hostile:
        return random_.choice(_HOSTILE_DISPLAY)(random_)
    return _picture("picture_block" if random_.random() < 0.3 else "picture_clean")(random_)


def junk(random_: random.Random, scanner: str) -> list[bytes]:
    """A multipart that names no scan of ours."""
    tree = {"version": 1, "type": "frame", "scanner": scanner, "epoch": 1}
    pack = msgspec.msgpack.encode
    return random_.choice(
        [
            [random_.randbytes(random_.randrange(200)), random_.randbytes(100)],
            [b""], [b"", b"", b"", b"", b""], [random_.randbytes(30) for _ in range(7)],
            [pack(tree), b"x"], [pack({**tree, "version": 7, "seq": 1}), b"x"],
            [pack({**tree, "seq": 1, "scanner": "lane-99"}), b"x"], [pack({**tree, "seq": 0}), b"x"],
            [pack({**tree, "seq": -5}), b"x"], [pack({**tree, "seq": 1 << 60}), b"x"],
            [pack({**tree, "type": "verdict"}), b"x"], [b"\x81" * 300_000], [b"\x91" * 5_000, b""],
            [pack({**tree, "seq": 1.5}), b""], [pack([1, 2, 3])],
            [pack({**tree, "epoch": -1, "seq": 1}), b""],
        ]
    )  # fmt: skip
