"""Closed triangle meshes to build objects from. Pure geometry: no materials, no randomness but what is passed in.

Every mesh that leaves here is closed (each edge is used twice, once in either direction) and has a positive
volume, apart from what `inside_out` has turned into a cavity.
"""

from nii_edge.simulate.shapes.cloth import cloth_pile, crumpled, sheet
from nii_edge.simulate.shapes.extrude import extrude, puffed
from nii_edge.simulate.shapes.outline import (
    capsule_outline,
    chain,
    circle,
    polygon,
    rectangle,
    regular,
    rounded,
    sector,
    spline,
    stroke,
)
from nii_edge.simulate.shapes.primitives import (
    box,
    capsule,
    cone,
    cylinder,
    frustum,
    rounded_box,
    shell_box,
    sphere,
    tube,
)
from nii_edge.simulate.shapes.sweep import arc, loft, revolve, spring, sweep, torus
from nii_edge.simulate.shapes.transform import (
    bounds,
    centred,
    directed,
    inside_out,
    merge,
    mirrored,
    moved,
    rotation,
    scaled,
    stack_bounds,
    turned,
    volume,
)

__all__ = [
    "arc",
    "bounds",
    "box",
    "capsule",
    "capsule_outline",
    "centred",
    "chain",
    "circle",
    "cloth_pile",
    "cone",
    "crumpled",
    "cylinder",
    "directed",
    "extrude",
    "frustum",
    "inside_out",
    "loft",
    "merge",
    "mirrored",
    "moved",
    "polygon",
    "puffed",
    "rectangle",
    "regular",
    "revolve",
    "rotation",
    "rounded",
    "rounded_box",
    "scaled",
    "sector",
    "sheet",
    "shell_box",
    "sphere",
    "spline",
    "spring",
    "stack_bounds",
    "stroke",
    "sweep",
    "torus",
    "tube",
    "turned",
    "volume",
]
