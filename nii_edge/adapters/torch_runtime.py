"""`nii_edge.ports.Runtime` on PyTorch, for programs saved by `torch.export.save`.

Such files can carry code, so the daemon takes them only with ``allow_torch: true``. torch is imported
when a model is loaded, never before.
"""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nii_edge.bundle import check_input_shape
from nii_edge.config import Inference, ModelInput
from nii_edge.errors import BundleError, DetectorFaultError, RuntimeMissingError
from nii_edge.ports import Array, Runtime

_GPU_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider")


def load(model: bytes, spec: ModelInput, settings: Inference, outputs: Sequence[str] = ()) -> Runtime:
    """The exported program in `model`, ready to run.

    A program that returns a mapping names its outputs itself; one that returns a tensor or a tuple of
    them gets the names in `outputs`, in that order (see `nii_edge.detect.heads.output_names`).

    Raises:
        BundleError: not such a program, or its input is not what `spec` says.
        RuntimeMissingError: torch is not installed, or a GPU was asked for and is missing.
    """
    try:
        import torch
    except ImportError as error:
        raise RuntimeMissingError("PyTorch is not installed; install the extra `train`") from error
    device = _device(torch, settings)
    torch.set_num_threads(settings.threads)
    try:
        program = torch.export.load(io.BytesIO(model))
    except (RuntimeError, ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise BundleError(f"model: not a program of torch.export: {error}") from error
    _check_input(program, spec)
    if device != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    return _TorchRuntime(torch, program.module(), device, tuple(outputs))


class _TorchRuntime:
    """One program on one device."""

    def __init__(self, torch: Any, module: Any, device: str, names: tuple[str, ...]) -> None:
        self._torch = torch
        self._module = module
        self._names = names
        self._one_at_a_time = threading.Lock()
        self.device = device

    def run(self, batch: npt.NDArray[np.float32]) -> Mapping[str, Array]:
        """Outputs by name, in host memory.

        Raises:
            DetectorFaultError: the run failed, gave unnamed outputs, or the runtime is closed.
        """
        if self._module is None:
            raise DetectorFaultError("the runtime is closed")
        try:
            with self._one_at_a_time, self._torch.inference_mode():
                given = self._torch.from_numpy(np.array(batch, np.float32)).to(self.device)
                made = self._named(self._module(given))
                return {name: tensor.detach().cpu().numpy() for name, tensor in made.items()}
        except DetectorFaultError:
            raise
        except Exception as error:  # the program is foreign code and may raise anything
            raise DetectorFaultError(f"PyTorch on {self.device}: {error}") from error

    def _named(self, made: Any) -> dict[str, Any]:
        if isinstance(made, Mapping):
            return dict(made)
        tensors = tuple(made) if isinstance(made, tuple | list) else (made,)
        if len(tensors) != len(self._names):
            raise DetectorFaultError(f"the program gave {len(tensors)} tensors; expected {list(self._names)}")
        return dict(zip(self._names, tensors, strict=True))

    def ways(self) -> Sequence[Runtime]:
        """Itself."""
        return (self,)

    def close(self) -> None:
        """Drop the program. May be called twice."""
        self._module = None


def _device(torch: Any, settings: Inference) -> str:
    """`cuda` if the providers ask for a GPU and there is one, else `cpu` if that is allowed."""
    if not any(name in _GPU_PROVIDERS for name in settings.providers):
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if settings.allow_cpu:
        return "cpu"
    raise RuntimeMissingError(
        f"{', '.join(settings.providers)} asked for, but PyTorch sees no CUDA device; "
        "check the driver, or set `inference.allow_cpu: true`"
    )


def _check_input(program: Any, spec: ModelInput) -> None:
    """One tensor of the shape that `spec` says; its name is not compared, torch makes that up."""
    names = program.graph_signature.user_inputs
    if len(names) != 1:
        raise BundleError(f"model: takes {len(names)} inputs; expected one")
    node = next(node for node in program.graph.nodes if node.name == names[0])
    check_input_shape([side if isinstance(side, int) else str(side) for side in node.meta["val"].shape], spec)
