"""Simulated threats in a site's own pictures, which hold none: what `train --project-into` adds to the
labels.

Display colours of things one behind the other multiply, share of the ground by share of the ground, as far
as a display shows them at all; that is how a threat is put in. No picture is repeated with the same threat.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.errors import DataError, RuntimeMissingError
from nii_edge.learn.cache import bits_of, cut, read_frame
from nii_edge.learn.pool import Sample, write_shard
from nii_edge.learn.readers import SUFFIXES, Problems, pictures_in
from nii_edge.learn.scoring import matched_names
from nii_edge.xray.content import content

Rgb = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

SPRITES = 240
PER_PICTURE = 4
MOST = 4000
SIDES = (0.1, 0.4)
"""The longer side of a threat, as a share of the picture's."""
PER_SHARD = 256


def project_into(
    folder: Path, names: Sequence[str], pool: Path, side: int, seed: int, problems: Problems
) -> int:
    """Write a pool of the pictures in `folder` with threats of those of `names` that can be simulated;
    returns how many. Pictures that cannot be read are counted in `problems`.

    Raises:
        DataError: no picture there that can be read, or none of the names can be simulated.
        RuntimeMissingError: the extra `simulate` is not installed.
    """
    files = pictures_in(folder)
    if not files:
        raise DataError(f"{folder}: no pictures; expected {', '.join(SUFFIXES)}")
    bits, _ = bits_of(files)
    rng = np.random.default_rng(seed)
    threats = _threats(names, rng)
    samples: list[Sample] = []
    made, shard = 0, 0
    for number in range(min(PER_PICTURE * len(files), MOST)):
        file = files[number % len(files)]
        try:
            frame = read_frame(file, bits)
        except DataError as error:
            if number < len(files):
                problems.add("picture to project into cannot be decoded (left out)", error)
            continue
        small, _ = cut(frame, content(frame), side)
        samples.append(_with_threats(small, threats, rng))
        made += 1
        if len(samples) == PER_SHARD:
            write_shard(pool / f"projected-{shard:04d}", samples, side)
            samples, shard = [], shard + 1
    if samples:
        write_shard(pool / f"projected-{shard:04d}", samples, side)
    if not made:
        raise DataError(f"{folder}: not one picture can be read: {'; '.join(problems.lines())}")
    return made


def _threats(names: Sequence[str], rng: np.random.Generator) -> list[tuple[int, Floats]]:
    """Class and share of the ground (height, width, 3) of threats on displays of any maker."""
    try:
        from nii_edge.learn.compose import Composer
        from nii_edge.learn.sprites import CLASSES, threat_sprite
        from nii_edge.simulate import threats
        from nii_edge.simulate.makes import SCANNERS
    except ImportError as missing:
        raise RuntimeMissingError(
            f"{missing.name} is not installed; projecting threats needs the extra: "
            "pip install '.[simulate]' in the project's folder"
        ) from missing
    pairs, _ = matched_names(CLASSES, names)
    if not pairs:
        raise DataError(f"none of {', '.join(names)} can be simulated; there are {', '.join(CLASSES)}")
    makes = [scanner for scanner in SCANNERS.values() if not scanner.held_out]
    composer = Composer([], makes)
    made = []
    for number in range(SPRITES):
        index, label = list(pairs.items())[number % len(pairs)]
        families = threats.training_families(CLASSES[label])
        sprite = threat_sprite(CLASSES[label], families[int(rng.integers(len(families)))], rng, side=False)
        made.append((index, composer.alone(sprite, rng)))
    return made


def _with_threats(rgb: Rgb, threats: list[tuple[int, Floats]], rng: np.random.Generator) -> Sample:
    picture = rgb.astype(np.float32)
    height, width = rgb.shape[:2]
    boxes, labels = [], []
    for _ in range(int(rng.integers(0, 3))):
        label, share = threats[int(rng.integers(len(threats)))]
        scale = float(rng.uniform(*SIDES)) * max(height, width) / max(share.shape[:2])
        matrix = cv2.getRotationMatrix2D(
            (share.shape[1] / 2, share.shape[0] / 2), float(rng.uniform(0, 360)), scale
        )
        reach = int(np.hypot(*share.shape[:2]) * scale) + 2
        matrix[:, 2] += (reach - share.shape[1]) / 2, (reach - share.shape[0]) / 2
        turned = cv2.warpAffine(
            share, matrix, (reach, reach), flags=cv2.INTER_AREA, borderValue=(1.0, 1.0, 1.0)
        )
        seen = turned.min(axis=2) < 0.93
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        if len(rows) < 6 or len(columns) < 6:
            continue
        cut = turned[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        if cut.shape[0] >= height or cut.shape[1] >= width:
            continue
        y, x = int(rng.integers(0, height - cut.shape[0])), int(rng.integers(0, width - cut.shape[1]))
        picture[y : y + cut.shape[0], x : x + cut.shape[1]] *= cut
        boxes.append((x, y, x + cut.shape[1], y + cut.shape[0]))
        labels.append(label)
    return Sample(
        picture.astype(np.uint8), np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64)
    )
