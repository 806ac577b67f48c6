"""What an ONNX file asks for, read from its bytes without the `onnx` package.

onnxruntime also accepts operators of other vendors and files that keep their weights elsewhere. A
bundle is one file of standard operators, so that what was hashed is what runs, and runs anywhere.
Field numbers are those of onnx.proto3; only the few that matter here are followed.
"""

from __future__ import annotations

from collections.abc import Iterator

from nii_edge.errors import BundleError

STANDARD_DOMAINS = ("", "ai.onnx")
_MAX_DEPTH = 64

_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Message kind to the fields that hold messages of another kind we follow."""
_DOMAIN_FIELD = {"opset": 1, "node": 7}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def check_self_contained(model: bytes) -> None:
    """Refuse a model that is more than one file of standard operators.

    Raises:
        BundleError: external data, another operator domain, model-local functions, or not protobuf.
    """
    try:
        _walk(memoryview(model), "model", 0)
    except (IndexError, UnicodeDecodeError) as error:
        raise BundleError(f"model: not an ONNX file, or cut short: {error}") from error


def _walk(data: memoryview, kind: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise BundleError(f"model: graphs nested more than {_MAX_DEPTH} deep")
    if kind == "function":
        raise BundleError("model: model-local functions; export with standard operators only")
    for number, value in _fields(data):
        if isinstance(value, int):
            if kind == "tensor" and number == _DATA_LOCATION and value != 0:
                raise BundleError("model: keeps its weights in another file; export it as a single file")
        elif kind == "tensor" and number == _EXTERNAL_DATA:
            raise BundleError("model: keeps its weights in another file; export it as a single file")
        elif number == _DOMAIN_FIELD.get(kind):
            _check_domain(bytes(value).decode())
        elif number in _CHILDREN.get(kind, {}):
            _walk(value, _CHILDREN[kind][number], depth + 1)


def _check_domain(domain: str) -> None:
    if domain not in STANDARD_DOMAINS:
        raise BundleError(
            f"model: operators of domain {domain!r}; export with standard operators (ai.onnx) only"
        )


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The protobuf fields of one message: number, and its integer or its bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire_type == 2:
            length, at = _varint(data, at)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise IndexError(f"wire type {wire_type} at byte {at}")
        if length > len(data) - at:
            raise IndexError(f"a field of {length} bytes at byte {at} of {len(data)}")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A base-128 number and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise IndexError(f"a number of more than ten bytes at byte {at}")
