"""What every `nii_edge.ports.Runtime` must do, run on each adapter."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

from nii_edge.config import Inference, ModelInput
from nii_edge.errors import BundleError, DetectorFaultError, NiiEdgeError, RuntimeMissingError
from nii_edge.ports import Runtime

SIZE = (6, 8)
OUTPUTS = ("double", "mean")


def spec(
    channels: int = 2, size: tuple[int, int] = SIZE, name: str = "image", batch: bool = True
) -> ModelInput:
    names = ("red", "green", "blue")[:channels]
    return ModelInput(name=name, channels=names, size=size, batch=batch)  # type: ignore[arg-type]


class Adapter(Protocol):
    """A runtime under test, and how to make its models."""

    def load(
        self, model: bytes, spec: ModelInput, settings: Inference, outputs: tuple[str, ...] = ...
    ) -> Runtime: ...

    def model(self, batch: bool = True) -> bytes:
        """Twice the input as `double`, the mean of each picture as `mean`; two channels of SIZE."""

    def failing_model(self) -> bytes:
        """Runs for pictures whose first value is not negative, else fails while running."""


class Onnx:
    def __init__(self) -> None:
        pytest.importorskip("onnx")
        from nii_edge.adapters import onnx_runtime

        self.load = onnx_runtime.load

    def model(self, batch: bool = True) -> bytes:
        from onnx import TensorProto, helper

        first: Any = "n" if batch else 1
        nodes = [
            helper.make_node("Add", ["image", "image"], ["double"]),
            helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0),
        ]
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [first, 2, *SIZE])],
            [
                helper.make_tensor_value_info("double", TensorProto.FLOAT, [first, 2, *SIZE]),
                helper.make_tensor_value_info("mean", TensorProto.FLOAT, [first]),
            ],
        )
        return self._bytes(graph)

    def failing_model(self) -> bytes:
        from onnx import TensorProto, helper

        nodes = [
            helper.make_node("Slice", ["image", "zero4", "one4"], ["first"]),
            helper.make_node("Reshape", ["first", "flat"], ["scalar"]),
            helper.make_node("Cast", ["scalar"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["one_value", "index"], ["double"]),
        ]
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 2, *SIZE])],
            [helper.make_tensor_value_info("double", TensorProto.FLOAT, [1])],
            [
                helper.make_tensor("zero4", TensorProto.INT64, [4], [0] * 4),
                helper.make_tensor("one4", TensorProto.INT64, [4], [1] * 4),
                helper.make_tensor("flat", TensorProto.INT64, [1], [1]),
                helper.make_tensor("one_value", TensorProto.FLOAT, [1], [3.0]),
            ],
        )
        return self._bytes(graph)

    @staticmethod
    def _bytes(graph: Any) -> bytes:
        from onnx import helper

        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return bytes(made.SerializeToString())


class Torch:
    def __init__(self) -> None:
        pytest.importorskip("torch")
        from nii_edge.adapters import torch_runtime

        self.load = torch_runtime.load

    def model(self, batch: bool = True, mapping: bool = True) -> bytes:
        import torch

        class Net(torch.nn.Module):  # type: ignore[misc]
            def forward(self, image: Any) -> Any:
                made = (image * 2, image.mean(dim=(1, 2, 3)))
                return dict(zip(OUTPUTS, made, strict=True)) if mapping else made

        return self._bytes(Net(), batch)

    def failing_model(self) -> bytes:
        import torch

        class Net(torch.nn.Module):  # type: ignore[misc]
            def forward(self, image: Any) -> Any:
                return {"double": torch.ones(1)[image.flatten()[:1].long().abs()]}

        return self._bytes(Net(), True)

    @staticmethod
    def _bytes(net: Any, batch: bool) -> bytes:
        import torch

        example = torch.zeros(2 if batch else 1, 2, *SIZE)
        dynamic = ({0: torch.export.Dim("n")},) if batch else None
        stream = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own, while it writes the program
            torch.export.save(torch.export.export(net, (example,), dynamic_shapes=dynamic), stream)
        return stream.getvalue()


@pytest.fixture(params=[Onnx, pytest.param(Torch, marks=pytest.mark.torch)])
def adapter(request: pytest.FixtureRequest) -> Adapter:
    made: Adapter = request.param()
    return made


def pictures(n: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(3).random((n, 2, *SIZE)).astype(np.float32)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_outputs_come_by_name_for_any_batch(adapter: Adapter, n: int) -> None:
    """Every batch size gives the same numbers under the same names, in host memory."""
    runtime = adapter.load(adapter.model(), spec(), Inference())
    batch = pictures(n)
    made = runtime.run(batch)
    assert set(made) == set(OUTPUTS)
    assert made["double"] == pytest.approx(batch * 2)
    assert made["mean"] == pytest.approx(batch.mean(axis=(1, 2, 3)), rel=1e-5)
    runtime.close()


def test_results_do_not_change_under_a_later_run(adapter: Adapter) -> None:
    """What one run returned is the caller's to keep."""
    runtime = adapter.load(adapter.model(), spec(), Inference())
    first = runtime.run(pictures(2))["double"]
    kept = first.copy()
    runtime.run(-pictures(2))
    assert np.array_equal(first, kept)


def test_two_threads_may_run_at_once(adapter: Adapter) -> None:
    """Each gets the outputs of its own pictures, and what fails in one leaves the other alone."""
    runtime = adapter.load(adapter.model(), spec(), Inference())
    batches = [pictures(4) * (k + 1) for k in range(64)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(runtime.run, batches))
    for batch, outputs in zip(batches, made, strict=True):
        assert outputs["double"] == pytest.approx(batch * 2)
    failing = adapter.load(adapter.failing_model(), spec(), Inference(), ("double",))
    good, bad = np.zeros((1, 2, *SIZE), np.float32), np.full((1, 2, *SIZE), 7, np.float32)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(failing.run, batch) for batch in (bad, good)]
    assert isinstance(runs[0].exception(), DetectorFaultError)
    assert runs[1].result()["double"].shape == (1,)
    for closed in (runtime, failing):
        closed.close()
        with pytest.raises(DetectorFaultError, match="closed"):
            closed.run(pictures(1))


def test_every_way_it_may_run_gives_the_same_outputs(adapter: Adapter) -> None:
    """The ways are there to be asked one by one, and close with the runtime."""
    runtime = adapter.load(adapter.model(), spec(), Inference(threads=2))
    ways = runtime.ways()
    assert ways
    for way in ways:
        assert way.device == runtime.device
        assert way.run(pictures(3))["double"] == pytest.approx(pictures(3) * 2)
    runtime.close()
    for way in ways:
        with pytest.raises(DetectorFaultError, match="closed"):
            way.run(pictures(1))


def test_any_layout_of_memory_is_taken(adapter: Adapter) -> None:
    """Read-only and strided batches give the same numbers."""
    runtime = adapter.load(adapter.model(), spec(), Inference())
    batch = pictures(4)[::2]
    batch.setflags(write=False)
    assert runtime.run(batch)["double"] == pytest.approx(batch * 2)


def test_a_model_of_single_pictures(adapter: Adapter) -> None:
    """A model with a fixed batch of one is taken when its manifest says so, and only then."""
    model = adapter.model(batch=False)
    runtime = adapter.load(model, spec(batch=False), Inference())
    assert runtime.run(pictures(1))["mean"].shape == (1,)
    with pytest.raises(BundleError, match="free batch size"):
        adapter.load(model, spec(batch=True), Inference())


@pytest.mark.parametrize("wrong", [spec(channels=3), spec(size=(8, 6)), spec(channels=1, size=(5, 5))])
def test_an_input_other_than_the_manifests_is_refused(adapter: Adapter, wrong: ModelInput) -> None:
    """Channels and size are compared when the model is loaded, not when the first carton comes."""
    with pytest.raises(BundleError, match="input of shape"):
        adapter.load(adapter.model(), wrong, Inference())


@pytest.mark.parametrize("data", [b"", b"not a model", b"PK\x03\x04 nor this"])
def test_bytes_that_are_no_model_are_refused(adapter: Adapter, data: bytes) -> None:
    """Rubbish is a bundle error, whatever library meets it first."""
    with pytest.raises(BundleError):
        adapter.load(data, spec(), Inference())


def test_a_failing_run_is_a_detector_fault(adapter: Adapter) -> None:
    """The library's own exception does not escape, and the runtime goes on working."""
    runtime = adapter.load(adapter.failing_model(), spec(), Inference(), ("double",))
    good, bad = np.zeros((1, 2, *SIZE), np.float32), np.full((1, 2, *SIZE), 7, np.float32)
    assert runtime.run(good)["double"].shape == (1,)
    with pytest.raises(DetectorFaultError):
        runtime.run(bad)
    assert runtime.run(good)["double"].shape == (1,)


def test_a_batch_of_the_wrong_shape_is_a_detector_fault(adapter: Adapter) -> None:
    """A wrong batch is refused, not broadcast."""
    runtime = adapter.load(adapter.model(), spec(), Inference())
    with pytest.raises(DetectorFaultError):
        runtime.run(np.zeros((1, 2, 5, 5), np.float32))


def test_closing_twice_and_running_after(adapter: Adapter) -> None:
    """`close` may be called twice; a run after it is a fault."""
    runtime = adapter.load(adapter.model(), spec(), Inference())
    runtime.close()
    runtime.close()
    with pytest.raises(DetectorFaultError, match="closed"):
        runtime.run(pictures(1))


def test_a_missing_gpu_is_said_and_not_papered_over(adapter: Adapter) -> None:
    """Asked for a GPU that is not there, it refuses; allowed the CPU, it says that it runs there."""
    if _has_gpu():
        pytest.skip("there is a GPU here")
    settings = Inference(providers=("CUDAExecutionProvider",))
    with pytest.raises(RuntimeMissingError, match=r"CUDAExecutionProvider.*allow_cpu"):
        adapter.load(adapter.model(), spec(), settings)
    runtime = adapter.load(adapter.model(), spec(), Inference(providers=settings.providers, allow_cpu=True))
    assert "cpu" in runtime.device.lower()
    assert runtime.run(pictures(1))["mean"].shape == (1,)


@pytest.mark.gpu
def test_a_real_gpu_gives_the_same_numbers(adapter: Adapter) -> None:
    """On a GPU the same code runs, says so, and agrees with the CPU."""
    if not _has_gpu():
        pytest.skip("no NVIDIA GPU here")
    settings = Inference(providers=("CUDAExecutionProvider", "CPUExecutionProvider"))
    runtime = adapter.load(adapter.model(), spec(), settings)
    assert "cuda" in runtime.device.lower()
    assert runtime.run(pictures(3))["double"] == pytest.approx(pictures(3) * 2, rel=1e-3)


def _has_gpu() -> bool:
    return Path("/dev/nvidia0").exists()


# ---- ONNX Runtime alone -----------------------------------------------------------------------


def test_onnx_computes_only_what_is_asked_for() -> None:
    """Outputs nobody reads are not fetched; one that does not exist is found when loading."""
    adapter = Onnx()
    runtime = adapter.load(adapter.model(), spec(), Inference(), ("mean",))
    assert set(runtime.run(pictures(1))) == {"mean"}
    with pytest.raises(BundleError, match="no output 'scores'; it has double, mean"):
        adapter.load(adapter.model(), spec(), Inference(), ("scores",))


def test_onnx_input_name_is_compared() -> None:
    """A manifest that names another input is refused."""
    adapter = Onnx()
    with pytest.raises(BundleError, match="inputs image tensor"):
        adapter.load(adapter.model(), spec(name="picture"), Inference())


def test_onnx_refuses_a_provider_it_does_not_have() -> None:
    """A provider that does not exist is named, beside those that do."""
    adapter = Onnx()
    with pytest.raises(RuntimeMissingError, match=r"NoSuchProvider.*has.*CPUExecutionProvider.*install"):
        adapter.load(adapter.model(), spec(), Inference(providers=("NoSuchProvider",)))


def test_onnx_takes_no_weights_from_elsewhere() -> None:
    """The adapter itself checks that a model is one file of standard operators."""
    adapter = Onnx()
    from onnx import helper, load_from_string

    made = load_from_string(adapter.model())
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(BundleError, match=r"com\.microsoft"):
        adapter.load(made.SerializeToString(), spec(), Inference())


def test_every_exception_of_onnxruntime_is_translated() -> None:
    """The table names each exception class the library has; a new version with more fails here."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    from nii_edge.adapters.onnx_runtime import LOAD_ERRORS

    found = {item for item in vars(state).values() if isinstance(item, type) and issubclass(item, Exception)}
    assert found == set(LOAD_ERRORS)
    assert all(issubclass(ours, NiiEdgeError) for ours in LOAD_ERRORS.values())


# ---- PyTorch alone ----------------------------------------------------------------------------


@pytest.mark.torch
def test_torch_names_a_tuple_by_the_manifest() -> None:
    """A program that returns a tuple gets its names from outside; the wrong number of them is a fault."""
    adapter = Torch()
    model = adapter.model(mapping=False)
    assert set(adapter.load(model, spec(), Inference(), OUTPUTS).run(pictures(1))) == set(OUTPUTS)
    with pytest.raises(DetectorFaultError, match="2 tensors"):
        adapter.load(model, spec(), Inference(), ("double",)).run(pictures(1))


def test_torch_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyTorch the adapter can be imported, and loading says what to install."""
    import sys

    from nii_edge.adapters.torch_runtime import load

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(RuntimeMissingError, match="train"):
        load(b"", spec(), Inference())


def _settings_reach_torch(load: Callable[..., Runtime], model: bytes) -> int:
    import torch

    load(model, spec(), Inference(threads=1))
    return int(torch.get_num_threads())


@pytest.mark.torch
def test_torch_keeps_to_its_threads() -> None:
    """The number of threads is the configured one."""
    adapter = Torch()
    assert _settings_reach_torch(adapter.load, adapter.model()) == 1
