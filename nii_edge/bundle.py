"""Model bundles: one folder with everything needed to run and trust one model.

::

    models/<name>/<version>/
        bundle.yaml     a `BundleManifest`
        model.onnx      the model, whose SHA-256 the manifest names
        CARD.md         what it is for, how it was made and measured
        golden/*.npz    frames with the findings they must give
        signature.txt   who vouches for all of this, if somebody does (nii_edge.signing)

A golden frame is a NumPy archive without pickles: `pixels` (height, width, channels), `channels` (their
names), `view`, `full_scale`, `opaque_below`, and `expected`, a JSON text: a list of
``{"label": name, "score": 0-1, "box": [x0, y0, x1, y1]}`` in frame pixels.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml

from nii_edge.config import BoxesHead, BundleManifest, Label, ModelInput, load
from nii_edge.errors import BundleError
from nii_edge.records import Channel, Frame, Name, Record
from nii_edge.seal import Seal

MANIFEST = "bundle.yaml"
CARD = "CARD.md"
WHY_FIELDS = ("score", "percent", "view")
"""What a label's `why` may name in braces."""


MAX_GOLDEN_BYTES = 16 << 20
_UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, MemoryError, SyntaxError, RuntimeError, NotImplementedError,
    zipfile.BadZipFile, zlib.error, struct.error, msgspec.MsgspecError,
)  # fmt: skip
"""What NumPy, zipfile and msgspec raise for a file that is not what it should be."""


class Expected(Record, frozen=True, kw_only=True):
    """A finding that a golden frame must give; `box` is (x0, y0, x1, y1) in frame pixels."""

    label: Name
    score: float
    box: tuple[float, float, float, float]


class GoldenFrame(Record, frozen=True, kw_only=True):
    """A frame and the findings it must give, perhaps none. `name` is the file's, without suffix."""

    name: str
    frame: Frame
    expected: tuple[Expected, ...]


class Bundle(Record, frozen=True, kw_only=True):
    """A loaded bundle. `model` are the very bytes that were verified; the runtime loads those."""

    folder: Path
    manifest: BundleManifest
    model: bytes
    golden: tuple[GoldenFrame, ...]


class _GoldenHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The small arrays of a golden file as plain values, for checking."""

    channels: tuple[Channel, ...]
    view: int
    full_scale: float
    opaque_below: float


def load_bundle(path: Path, seal: Seal | None = None) -> Bundle:
    """Read and verify the bundle in folder `path` (or the folder of the `bundle.yaml` it names).

    Raises:
        ConfigError: the manifest is not one (unknown keys, wrong types).
        BundleError: a file is missing, altered, outside the folder, of the wrong form, or not what the
            `seal` vouches for.
    """
    folder = path.parent if path.name == MANIFEST else path
    if not (folder / MANIFEST).is_file():
        raise BundleError(f"{folder}: no {MANIFEST} there; expected the folder of a model bundle")
    seal = seal or Seal(folder, None)
    manifest = load(folder / MANIFEST, BundleManifest, lambda data: seal.check(folder / MANIFEST, data))
    _check_manifest(manifest, folder)
    model = _read_verified(_inside(folder, manifest.model), manifest.sha256)
    seal.check_digest(_inside(folder, manifest.model), manifest.sha256)
    return Bundle(folder=folder, manifest=manifest, model=model, golden=_read_golden(folder, manifest, seal))


def write_bundle(
    folder: Path, manifest: BundleManifest, model: bytes, golden: Sequence[GoldenFrame], card: str
) -> Bundle:
    """Write a bundle and read it back. Equal arguments give equal bytes.

    The manifest's `sha256` is replaced by that of `model`. Golden frames of an earlier write are removed.

    Raises:
        BundleError: what was written could not be loaded again, for the reason it names.
    """
    sealed = msgspec.structs.replace(manifest, sha256=hashlib.sha256(model).hexdigest())
    golden_folder = _inside(folder, manifest.golden)
    golden_folder.mkdir(parents=True, exist_ok=True)
    _inside(folder, manifest.model).write_bytes(model)
    text = yaml.safe_dump(msgspec.to_builtins(sealed), sort_keys=False, allow_unicode=True, width=100)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    (folder / CARD).write_text(card, encoding="utf-8")
    for stale in golden_folder.glob("*.npz"):
        stale.unlink()
    for example in golden:
        write_golden(golden_folder, example)
    return load_bundle(folder)


def check_input_shape(shape: Sequence[int | str | None], spec: ModelInput) -> None:
    """Refuse a model input that cannot take what the front end makes. Free dimensions are not integers.

    Raises:
        BundleError: names what was found and what was expected.
    """
    wanted = (None if spec.batch else 1, len(spec.channels), *spec.size)
    fixed = [side if isinstance(side, int) else None for side in shape]
    fits = len(fixed) == 4 and all(have in (None, want) for have, want in zip(fixed, wanted, strict=True))
    if not fits:
        batch = "a free batch size" if spec.batch else "1"
        raise BundleError(
            f"model: input of shape {list(shape)}; expected [{batch}, {', '.join(map(str, wanted[1:]))}]"
        )


def write_golden(folder: Path, golden: GoldenFrame) -> None:
    """Write one golden frame as ``<name>.npz`` into `folder`."""
    frame = golden.frame
    np.savez_compressed(
        folder / f"{golden.name}.npz",
        pixels=frame.pixels,
        channels=np.array(frame.channels),
        view=np.array(frame.view),
        full_scale=np.array(frame.full_scale),
        opaque_below=np.array(frame.opaque_below),
        expected=np.array(msgspec.json.encode(golden.expected).decode()),
    )


def read_golden(path: Path, seal: Seal | None = None) -> GoldenFrame:
    """Read one golden frame, which must be as signed if there is a `seal`.

    Raises:
        BundleError: the file cannot be read or does not hold what the module says.
    """
    try:
        if path.stat().st_size > MAX_GOLDEN_BYTES:
            raise BundleError(f"{path}: {path.stat().st_size} bytes, at most {MAX_GOLDEN_BYTES}")
        data = path.read_bytes()
        if seal is not None:
            seal.check(path, data)
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            pixels = archive["pixels"]
            fields = {name: archive[name].tolist() for name in _GoldenHeader.__struct_fields__}
            expected = msgspec.json.decode(str(archive["expected"]), type=tuple[Expected, ...])
        header = msgspec.convert(fields, _GoldenHeader)
    except _UNREADABLE as error:
        raise BundleError(f"{path}: not a golden frame: {error}") from error
    if pixels.ndim != 3 or pixels.shape[2] != len(header.channels) or pixels.dtype.name not in _DTYPES:
        raise BundleError(
            f"{path}: pixels {pixels.dtype} {pixels.shape}; expected (height, width, {len(header.channels)}) "
            f"of {', '.join(_DTYPES)}"
        )
    pixels.setflags(write=False)
    values: dict[str, Any] = msgspec.structs.asdict(header)
    return GoldenFrame(name=path.stem, frame=Frame(pixels=pixels, **values), expected=expected)


_DTYPES = ("uint8", "uint16", "float32")


def _inside(folder: Path, name: str) -> Path:
    """`name` within `folder`; refuses what leads out of it, also by symbolic links."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or path == folder.resolve():
        raise BundleError(f"{folder / MANIFEST}: {name!r} leads out of the bundle's folder")
    return path


def _read_verified(path: Path, sha256: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise BundleError(f"{path}: altered: its SHA-256 is {found}, the manifest says {sha256}")
    return data


def _read_golden(folder: Path, manifest: BundleManifest, seal: Seal) -> tuple[GoldenFrame, ...]:
    paths = sorted(_inside(folder, manifest.golden).glob("*.npz"))
    if not paths:
        raise BundleError(
            f"{folder / manifest.golden}: no golden frames (*.npz) there; without them the "
            "model cannot be checked and is not trusted"
        )
    seal.check_all_there(manifest.golden, [path.name for path in paths])
    golden = tuple(
        read_golden(_inside(folder, str(path.relative_to(folder.resolve()))), seal) for path in paths
    )
    names = {label.name for label in manifest.labels}
    for example in golden:
        strange = {finding.label for finding in example.expected} - names
        if strange:
            raise BundleError(
                f"{folder}: golden frame {example.name} expects unknown labels {sorted(strange)}"
            )
    if not any(example.expected for example in golden):
        raise BundleError(
            f"{folder}: no golden frame expects a finding, so a blind model would pass them all"
        )
    return golden


def _check_manifest(manifest: BundleManifest, folder: Path) -> None:
    """What the manifest's own types cannot say."""
    if isinstance(manifest.output, BoxesHead) and manifest.input.batch:
        raise BundleError(
            f"{folder / MANIFEST}: the `boxes` head takes one picture at a time: `batch: false`"
        )
    if not manifest.input.channels:
        raise BundleError(f"{folder / MANIFEST}: `input.channels` is empty")
    _check_why(manifest.labels, folder)


def _check_why(labels: Iterable[Label], folder: Path) -> None:
    for label in labels:
        try:
            label.why.format(**dict.fromkeys(WHY_FIELDS, ""))
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            raise BundleError(
                f"{folder / MANIFEST}: `why` of {label.name} cannot be filled in ({error!r}); it may name "
                f"{', '.join('{' + name + '}' for name in WHY_FIELDS)}, without formats"
            ) from error
