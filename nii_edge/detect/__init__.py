"""Detectors: they look at scans and return findings; no I/O."""
