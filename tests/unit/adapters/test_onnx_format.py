"""What is refused of an ONNX file before any runtime sees it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nii_edge.adapters.onnx_format import check_self_contained
from nii_edge.errors import BundleError

onnx = pytest.importorskip("onnx")
helper = onnx.helper
FLOAT = onnx.TensorProto.FLOAT


def value(name: str) -> object:
    return helper.make_tensor_value_info(name, FLOAT, [2])


def model(nodes: list[object], initializers: list[object] = [], **more: object) -> bytes:  # noqa: B006
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], initializers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], **more)
    return bytes(made.SerializeToString())


def external(name: str) -> object:
    tensor = helper.make_tensor(name, FLOAT, [2], [1.0, 2.0])
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    return tensor


def half_external(name: str) -> object:
    """Names another file, but leaves the location flag alone."""
    tensor = external(name)
    tensor.ClearField("data_location")  # type: ignore[attr-defined]
    return tensor


def branch(node: object) -> object:
    """An `If` whose one branch holds `node`."""
    inner = helper.make_graph([node], "inner", [], [value("z")])
    plain = helper.make_graph([helper.make_node("Identity", ["x"], ["z"])], "plain", [], [value("z")])
    return helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=plain)


ADD = helper.make_node("Add", ["x", "w"], ["y"])
FOREIGN = helper.make_node("Gelu", ["x"], ["z"], domain="com.microsoft")


def test_standard_operators_and_inner_weights_pass() -> None:
    """An ordinary model is accepted, also with weights, constants and branches."""
    weight = helper.make_tensor("w", FLOAT, [2], [1.0, 2.0])
    check_self_contained(model([ADD], [weight]))
    check_self_contained(model([branch(helper.make_node("Constant", [], ["z"], value=weight))]))
    named = helper.make_node("Relu", ["x"], ["y"], domain="ai.onnx")
    check_self_contained(model([named]))


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (model([ADD], [external("w")]), "another file"),
        (model([ADD], [half_external("w")]), "another file"),
        (model([branch(helper.make_node("Constant", [], ["z"], value=external("z")))]), "another file"),
        (model([helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")]), "com.microsoft"),
        (model([branch(FOREIGN)]), "com.microsoft"),
        (
            model(
                [ADD],
                functions=[helper.make_function("own", "f", ["a"], ["b"], [], [helper.make_opsetid("", 17)])],
            ),
            "functions",
        ),
    ],
    ids=["external", "half external", "external in a branch", "foreign", "foreign in a branch", "functions"],
)
def test_whatever_is_not_one_file_of_standard_operators_is_refused(bad: bytes, why: str) -> None:
    """External weights, foreign operators and local functions are refused, at any depth."""
    with pytest.raises(BundleError, match=why):
        check_self_contained(bad)


def test_a_foreign_operator_set_is_refused() -> None:
    """A model that imports another domain's operators is refused even if it uses none."""
    made = onnx.load_from_string(model([ADD]))
    made.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(BundleError, match=r"com\.example"):
        check_self_contained(made.SerializeToString())


def test_deep_nesting_is_refused() -> None:
    """A file built to exhaust the stack is refused with words."""
    node = helper.make_node("Identity", ["x"], ["z"])
    for _ in range(30):
        inner = helper.make_graph([node], "inner", [], [])
        node = helper.make_node("Loop", [], ["z"], body=inner)
    with pytest.raises(BundleError, match="nested"):
        check_self_contained(model([node]))


@given(st.binary(max_size=60))
def test_any_bytes_are_judged_without_a_crash(data: bytes) -> None:
    """Bytes that are no model are accepted for the runtime to refuse, or refused: nothing else escapes."""
    try:
        check_self_contained(data)
    except BundleError:
        return


def test_a_model_cut_short_is_refused() -> None:
    """Half a file is a bundle error."""
    whole = model([ADD], [helper.make_tensor("w", FLOAT, [2], [1.0, 2.0])])
    with pytest.raises(BundleError, match="cut short"):
        check_self_contained(whole[:-3])
