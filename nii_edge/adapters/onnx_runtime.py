"""`nii_edge.ports.Runtime` on ONNX Runtime, CPU or GPU."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from nii_edge.adapters.onnx_format import check_self_contained
from nii_edge.bundle import check_input_shape
from nii_edge.config import Inference, ModelInput
from nii_edge.errors import BundleError, DetectorFaultError, NiiEdgeError, RuntimeMissingError
from nii_edge.ports import Array, Runtime

CPU = "CPUExecutionProvider"
LONG_S = 0.05
"""A run that takes longer leaves too little of a usual deadline, half a second, for another beside it."""

LOAD_ERRORS: dict[type[Exception], type[NiiEdgeError]] = {
    ort_errors.Fail: BundleError,
    ort_errors.InvalidArgument: BundleError,
    ort_errors.InvalidGraph: BundleError,
    ort_errors.InvalidProtobuf: BundleError,
    ort_errors.ModelLoadCanceled: BundleError,
    ort_errors.ModelLoaded: BundleError,
    ort_errors.ModelRequiresCompilation: BundleError,
    ort_errors.NoModel: BundleError,
    ort_errors.NoSuchFile: BundleError,
    ort_errors.NotFound: BundleError,
    ort_errors.NotImplemented: BundleError,
    ort_errors.DeviceReset: RuntimeMissingError,
    ort_errors.EPFail: RuntimeMissingError,
    ort_errors.EngineError: RuntimeMissingError,
    ort_errors.RuntimeException: RuntimeMissingError,
}
"""Every exception of ONNX Runtime, and what it means while a model is loaded. In a run all of them are
a DetectorFaultError."""

RUN_ERRORS: tuple[type[Exception], ...] = (*LOAD_ERRORS, ValueError, RuntimeError)

_INSTALL = {
    "CUDAExecutionProvider": "install the extra `gpu` (onnxruntime-gpu) in place of `cpu`",
    "TensorrtExecutionProvider": "install the extra `gpu` (onnxruntime-gpu) and TensorRT in place of `cpu`",
}


def load(model: bytes, spec: ModelInput, settings: Inference, outputs: Sequence[str] = ()) -> Runtime:
    """A session for `model`, from these bytes alone.

    `outputs` are the tensors to compute (see `nii_edge.detect.heads.output_names`); empty means all.

    Raises:
        BundleError: not one file of standard operators, or its input is not what `spec` says.
        RuntimeMissingError: a provider is not there, and `allow_cpu` is false.
    """
    check_self_contained(model)
    providers = _providers(settings)
    try:
        session = ort.InferenceSession(model, options_of(settings), providers=list(providers))
        shared = None
        if session.get_providers() == [CPU] and settings.threads > 1:
            fewer = msgspec.structs.replace(settings, threads=settings.threads // 2)
            shared = ort.InferenceSession(model, options_of(fewer), providers=[CPU])
    except tuple(LOAD_ERRORS) as error:
        raise LOAD_ERRORS[type(error)](f"ONNX Runtime cannot load the model: {error}") from error
    _check_active(session.get_providers(), settings)
    _check_input(session.get_inputs(), spec)
    names = _check_outputs(session.get_outputs(), outputs)
    beside = None if shared is None else _OneSession(shared, spec.name, names)
    return _OnnxRuntime(_OneSession(session, spec.name, names), beside)


class _UnderWay:
    """How many runs are on this process's CPUs, of whatever models."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()

    def begin(self) -> bool:
        """One more; whether it is alone."""
        with self._lock:
            self._count += 1
            return self._count == 1

    def end(self) -> None:
        """One less."""
        with self._lock:
            self._count -= 1


_under_way = _UnderWay()


class _OneSession:
    """A session with its input and outputs bound by name, wherever it runs."""

    def __init__(self, session: ort.InferenceSession, input_name: str, outputs: tuple[str, ...]) -> None:
        self._session: ort.InferenceSession | None = session
        self._input = input_name
        self._outputs = outputs
        self.device: str = session.get_providers()[0]

    def run(self, batch: npt.NDArray[np.float32]) -> Mapping[str, Array]:
        """Outputs by name, in host memory.

        Raises:
            DetectorFaultError: the run failed, or the runtime is closed.
        """
        session = self._session
        if session is None:
            raise DetectorFaultError("the runtime is closed")
        try:
            binding = session.io_binding()
            binding.bind_cpu_input(self._input, np.ascontiguousarray(batch, np.float32))
            for name in self._outputs:
                binding.bind_output(name)
            session.run_with_iobinding(binding)
            return dict(zip(self._outputs, binding.copy_outputs_to_cpu(), strict=True))
        except RUN_ERRORS as error:
            raise DetectorFaultError(f"ONNX Runtime on {self.device}: {error}") from error

    def ways(self) -> Sequence[Runtime]:
        """Itself."""
        return (self,)

    def close(self) -> None:
        """Drop the session. May be called twice."""
        self._session = None


class _OnnxRuntime:
    """One model in one session or two.

    On a CPU a run that begins alone goes through `whole`, which has all threads, and one that begins beside
    others through `shared`, which has half of them: threads that meet after every layer wait for each other
    (docs/decisions/0009). Runs that take long alone take turns instead, since two at once take twice as
    long; so do all without `shared`, as on a GPU.
    """

    def __init__(self, whole: _OneSession, shared: _OneSession | None) -> None:
        self._whole, self._shared = whole, shared
        self._turn = threading.Lock()
        self._usual_s = 0.0
        self.device = whole.device

    def run(self, batch: npt.NDArray[np.float32]) -> Mapping[str, Array]:
        """Outputs by name, in host memory.

        Raises:
            DetectorFaultError: the run failed, or the runtime is closed.
        """
        shared = self._shared
        if shared is None or self._usual_s > LONG_S:
            with self._turn:
                return self._timed(batch)
        alone = _under_way.begin()
        try:
            return self._timed(batch) if alone else shared.run(batch)
        finally:
            _under_way.end()

    def ways(self) -> Sequence[Runtime]:
        """Each session by itself."""
        return (self._whole,) if self._shared is None else (self._whole, self._shared)

    def close(self) -> None:
        """Drop the sessions. May be called twice."""
        for way in (self._whole, self._shared):
            if way is not None:
                way.close()

    def _timed(self, batch: npt.NDArray[np.float32]) -> Mapping[str, Array]:
        """A run with all threads; what such runs take, the last ones most."""
        began = time.monotonic()
        outputs = self._whole.run(batch)
        self._usual_s += 0.3 * (time.monotonic() - began - self._usual_s)
        return outputs


def options_of(settings: Inference) -> ort.SessionOptions:
    """One thread pool of the size asked for; idle threads sleep, since the belt leaves pauses."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def _providers(settings: Inference) -> tuple[str, ...]:
    """The providers to ask for: those of the settings, less what is missing if `allow_cpu`."""
    available = ort.get_available_providers()
    missing = [name for name in settings.providers if name not in available]
    if missing and not settings.allow_cpu:
        advice = _INSTALL.get(missing[0], "install an onnxruntime that has it")
        raise RuntimeMissingError(
            f"inference provider {missing[0]} is not in this onnxruntime, which has {', '.join(available)}; "
            f"{advice}, or set `inference.allow_cpu: true`"
        )
    present = tuple(name for name in settings.providers if name not in missing)
    return present or (CPU,)


def _check_active(active: Sequence[str], settings: Inference) -> None:
    """ONNX Runtime falls back to the CPU by itself when a device fails to start; say so."""
    inactive = [name for name in settings.providers if name not in active]
    if inactive and not settings.allow_cpu:
        raise RuntimeMissingError(
            f"inference provider {inactive[0]} did not start (active: {', '.join(active)}); "
            "check the driver and the CUDA libraries, or set `inference.allow_cpu: true`"
        )


def _check_input(inputs: Sequence[Any], spec: ModelInput) -> None:
    """One float32 input named and shaped as `spec` says; free dimensions are names or None."""
    if [(item.name, item.type) for item in inputs] != [(spec.name, "tensor(float)")]:
        found = ", ".join(f"{item.name} {item.type}" for item in inputs)
        raise BundleError(f"model: inputs {found}; expected only {spec.name} tensor(float)")
    check_input_shape(inputs[0].shape, spec)


def _check_outputs(outputs: Sequence[Any], wanted: Sequence[str]) -> tuple[str, ...]:
    names = tuple(item.name for item in outputs)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise BundleError(f"model: no output {missing[0]!r}; it has {', '.join(names)}")
    return tuple(wanted) or names
