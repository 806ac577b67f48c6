"""``python -m nii_edge`` is ``nii-edge``."""

from nii_edge.cli import main

main()
