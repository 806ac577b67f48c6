"""nii_edge: the open edge daemon for X-ray inspection of cartons."""

__version__ = "0.1.0"
