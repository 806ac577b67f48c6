"""Threat projection as configured: the library read, its labels and lanes held against what there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from nii_edge.adapters.threat_files import read_library
from nii_edge.bundle import Bundle
from nii_edge.config import EdgeConfig, Profile
from nii_edge.edge.tip import TipPlan
from nii_edge.errors import ConfigError
from nii_edge.xray.optics import Optics
from nii_edge.xray.projection import Threat, unfit
from nii_edge.xray.transmission import energies_swapped


def plan_tip(
    config: EdgeConfig,
    path: Path,
    profiles: Mapping[str, Profile],
    bundles: Mapping[str, Bundle],
    optics: Mapping[str, tuple[Optics, ...]],
) -> TipPlan | None:
    """What threats are projected into which lanes; None if none are to be.

    Raises:
        ConfigError: the library is refused, a threat's energies are exchanged, a label does not exist, or no
            lane delivers what it takes.
    """
    if config.tip is None:
        return None
    folder = path.resolve().parent / config.tip.library
    threats = read_library(folder)
    _check_energies(threats, folder)
    known = sorted({threat.label for threat in threats})
    findings = sorted({label.name for bundle in bundles.values() for label in bundle.manifest.labels})
    for label, fitting in config.tip.labels.items():
        if label not in known:
            raise ConfigError(f"{path}: tip.labels: {folder} has no threat {label!r}; it has {known}")
        for name in fitting:
            if name not in findings:
                raise ConfigError(
                    f"{path}: tip.labels.{label}: no detector finds {name!r}; they find {findings}"
                )
    lanes = {name: pitch for name, profile in profiles.items() if (pitch := _tip_pitch(profile)) is not None}
    if not lanes:
        raise ConfigError(
            f"{path}: tip: no lane's profile has both counts (low, high) and a `pixel_pitch_mm`, so "
            "nothing could be projected; say `tip: null`"
        )
    return TipPlan(config.tip.rate, threats, config.tip.labels, lanes, optics, str(folder))


def _check_energies(threats: Iterable[Threat], folder: Path) -> None:
    """What was found of a threat that no material can be would say nothing of the detectors."""
    for threat in threats:
        if energies_swapped(np.moveaxis(threat.transmission, 2, 0)):
            raise ConfigError(
                f"{folder}: threat {threat.name}: ENERGIES_SWAPPED: more of the first plane's energy comes "
                "through than of the second's; expected the low energy first, then the high one: exchange "
                "them where the threat was made"
            )


def _tip_pitch(profile: Profile) -> tuple[float, float] | None:
    """The pixel pitch of a lane whose frames threats can be projected into."""
    counts = any(unfit(form.channels) is None for form in profile.formats)
    return profile.pixel_pitch_mm if counts else None


def tip_line(tip: TipPlan | None, lanes: Iterable[str]) -> str:
    """What would be projected into which of the `lanes`, in one line for people."""
    if tip is None:
        return "projects no threats"
    of = Counter(threat.label for threat in tip.threats)
    threats = ", ".join(f"{label} ({count})" for label, count in sorted(of.items()))
    share = f"{100 * tip.rate:g}% of the operational scans of {', '.join(sorted(tip.pitches))}"
    line = f"projects threats into {share}, from {tip.library}: {threats}"
    others = sorted(set(lanes) - set(tip.pitches))
    return line if not others else f"{line}; not of {', '.join(others)}: no counts, or no pixel pitch"
