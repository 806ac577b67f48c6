"""What is compiled on its first call is called before any test has a deadline."""

from __future__ import annotations

from nii_edge.simulate.shapes import bounds, box, volume

bounds(box(1, 1, 1))
volume(box(1, 1, 1))
