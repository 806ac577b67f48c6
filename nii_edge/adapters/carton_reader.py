"""`nii_edge.xray.carton_map.Read` on ONNX Runtime: the network that reads a whole carton from its maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from nii_edge.adapters.onnx_format import check_self_contained
from nii_edge.adapters.onnx_runtime import RUN_ERRORS, options_of
from nii_edge.config import Inference
from nii_edge.errors import BundleError, DetectorFaultError
from nii_edge.xray.carton_map import CELL, COUNTS, PLANES, SCALARS, Map, Reading, Values, stacked

INPUTS = {"maps": ["views", PLANES, "height", "width"], "scalars": [1, SCALARS]}
OUTPUTS = {"parcels": [1, len(COUNTS)], "hidden": [1], "heat": ["views", "rows", "columns"]}


UNSURE = 1e-3
"""By how much chances may miss 1 together."""


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
            found = [
                {item.name: (item.type, list(item.shape)) for item in items}
                for items in (self._session.get_inputs(), self._session.get_outputs())
            ]
        except RUN_ERRORS as error:  # a ValueError if a name is no text
            raise BundleError(f"ONNX Runtime cannot load the network that reads cartons: {error}") from error
        wanted = [
            {name: ("tensor(float)", shape) for name, shape in some.items()} for some in (INPUTS, OUTPUTS)
        ]
        if found != wanted:
            raise BundleError(
                f"the network that reads cartons has {found}, expected {wanted}; fit again with this version "
                "(nii-edge fit-cartons)"
            )

    def __call__(self, maps: Sequence[Map], described: Values) -> Reading:
        """Read one carton.

        Raises:
            DetectorFaultError: the run failed, or the answer is none.
        """
        inputs: dict[str, npt.NDArray[np.float32]] = {
            "maps": stacked(maps),
            "scalars": described.astype(np.float32)[None],
        }
        try:
            parcels, hidden, heat = self._session.run(list(OUTPUTS), inputs)
        except RUN_ERRORS as error:
            raise DetectorFaultError(f"ONNX Runtime, reading a carton: {error}") from error
        planes = inputs["maps"].shape
        shapes = [part.shape for part in (parcels, hidden, heat)]
        if shapes != [(1, len(COUNTS)), (1,), (planes[0], planes[2] // CELL, planes[3] // CELL)]:
            raise DetectorFaultError(f"the network that reads cartons answers in shapes {shapes}")
        sound = all(np.isfinite(part).all() for part in (parcels, hidden, heat)) and (parcels >= 0).all()
        if not sound or abs(float(parcels.sum()) - 1) > UNSURE:
            raise DetectorFaultError("the network that reads cartons answers what cannot be: no chances")
        return Reading(np.asarray(parcels[0], np.float64), float(hidden[0]), np.asarray(heat, np.float32))
