"""Where the files that ship with the project lie: configurations, models, the demo's recording."""

from __future__ import annotations

from pathlib import Path

from nii_edge.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The shipped folder or file `name`, for example ``configs``: beside the package in a checkout, inside
    it when installed from a wheel. Raises ConfigError if it is in neither place."""
    for place in (_PACKAGE / "_shipped" / name, _PACKAGE.parent / name):
        if place.exists():
            return place
    raise ConfigError(f"{name}: not found beside or inside {_PACKAGE}; is the installation complete?")
