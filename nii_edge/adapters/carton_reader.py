"""`nii_edge.xray.carton_map.Read` on ONNX Runtime: the network that reads a whole carton from its maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from nii_edge.adapters.onnx_format import check_self_contained
from nii_edge.adapters.onnx_runtime import LOAD_ERRORS, RUN_ERRORS, options_of
from nii_edge.config import Inference
from nii_edge.errors import BundleError, DetectorFaultError
from nii_edge.xray.carton_map import COUNTS, PLANES, SCALARS, Map, Reading, Values, stacked

INPUTS = {"maps": ["views", PLANES, "height", "width"], "scalars": [1, SCALARS]}
OUTPUTS = {"parcels": [1, len(COUNTS)], "hidden": [1], "heat": ["views", "rows", "columns"]}


class CartonReader:
    """Reads cartons with the network in an ONNX file, on the CPU: it is small. Many threads may ask at once;
    each run has one thread, since those of two would wait for each other (docs/decisions/0009)."""

    def __init__(self, model: bytes) -> None:
        """Raises BundleError: it is no such file, or its inputs or outputs are others."""
        check_self_contained(model)
        try:
            self._session = ort.InferenceSession(
                model, options_of(Inference(threads=1)), providers=["CPUExecutionProvider"]
            )
        except tuple(LOAD_ERRORS) as error:
            raise BundleError(f"ONNX Runtime cannot load the network that reads cartons: {error}") from error
        for wanted, found in ((INPUTS, self._session.get_inputs()), (OUTPUTS, self._session.get_outputs())):
            shapes = {item.name: list(item.shape) for item in found}
            if shapes != wanted or any(item.type != "tensor(float)" for item in found):
                raise BundleError(
                    f"the network that reads cartons has {shapes}, expected {wanted} of float; "
                    "fit again with this version (nii-edge fit-cartons)"
                )

    def __call__(self, maps: Sequence[Map], described: Values) -> Reading:
        """Read one carton.

        Raises:
            DetectorFaultError: the run failed.
        """
        inputs: dict[str, npt.NDArray[np.float32]] = {
            "maps": stacked(maps),
            "scalars": described.astype(np.float32)[None],
        }
        try:
            parcels, hidden, heat = self._session.run(list(OUTPUTS), inputs)
        except RUN_ERRORS as error:
            raise DetectorFaultError(f"ONNX Runtime, reading a carton: {error}") from error
        return Reading(np.asarray(parcels[0], np.float64), float(hidden[0]), np.asarray(heat, np.float32))
