"""Cartons that do not exist, scanned by scanners that do not exist, after the physics of real ones."""
