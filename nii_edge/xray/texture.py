"""How a carton's contents are spread over one view: on a map with pixels of so many millimetres. Pure."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]

TEXTURE: tuple[str, ...] = (
    "mean", "spread", "q05", "q25", "q50", "q75", "q95", "q99",
    "band1", "band2", "band4", "band8", "band16", "peaky1", "peaky4",
    "along", "across", "aligned", "repeat_along", "lag_along", "repeat_across", "lag_across",
    "walls_along", "walls_across", "blobs_small", "blobs_large", "blocks_mass", "blocks_z", "blocks_edge",
    "nearest", "nearest_q90", "z_mean", "z_spread", "metal_share", "metal_blob", "dense_blob", "dense_blob_z",
)  # fmt: skip
"""What `texture` gives, in this order. Masses are relative to the mean but for `mean` (g/cm2); bands are
differences of Gaussians, by their smaller sigma in pixels; lags are in pixels."""

BLOCK = 6
"""Pixels a side of what is compared with one another."""


def texture(mass: Floats, z: Floats, metal: Floats) -> Values:
    """The values of `TEXTURE` for maps (height, width) of areal density, effective Z, and share of metal."""
    mean = max(float(mass.mean()), 1e-3)
    rel = (mass / np.float32(mean)).astype(np.float32)
    quantiles = np.quantile(rel, (0.05, 0.25, 0.5, 0.75, 0.95, 0.99))
    blurs = [rel, *(_blur(rel, sigma) for sigma in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0))]
    bands = [one - other for one, other in itertools.pairwise(blurs[1:])]
    gx, gy = cv2.Sobel(blurs[1], cv2.CV_32F, 1, 0) / 8, cv2.Sobel(blurs[1], cv2.CV_32F, 0, 1) / 8
    energy = gx * gx + gy * gy
    straight = np.minimum(np.abs(gx), np.abs(gy)) < 0.18 * np.maximum(np.abs(gx), np.abs(gy))
    middle = blurs[1] - blurs[5]
    repeats = [*_repeat(middle), *_repeat(np.ascontiguousarray(middle.T))]
    blocks = _blocks(rel, z, np.sqrt(energy))
    near = _nearest(blocks)
    mean_z, spread_z = _weighted(z, np.maximum(mass, 0))
    blob = _blur(mass, 4.0)
    at = np.unravel_index(int(np.argmax(blob)), blob.shape)
    return np.array(
        [
            mean, float(rel.std()), *quantiles,
            *(float(band.std()) for band in bands),
            _peaky(bands[0]), _peaky(bands[2]),
            float(np.abs(gx).mean()), float(np.abs(gy).mean()),
            float((energy * straight).sum() / max(float(energy.sum()), 1e-9)),
            *repeats,
            _walls(np.abs(gx).mean(axis=0)), _walls(np.abs(gy).mean(axis=1)),
            _blobs(blurs[1] - blurs[3]), _blobs(blurs[2] - blurs[4]),
            *blocks.std(axis=0), float(np.median(near)), float(np.quantile(near, 0.9)),
            mean_z, spread_z, float(metal.mean()), float(_blur(metal, 3.0).max()),
            float(blob[at]) / mean, float(_blur(z, 3.0)[at]),
        ]
    )  # fmt: skip


def _blur(plane: Floats, sigma: float) -> Floats:
    """A Gaussian; wide ones on a smaller map."""
    if sigma > 4 and min(plane.shape) > 32:
        small = cv2.resize(plane, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        soft = cv2.GaussianBlur(small, (0, 0), sigma / 4, borderType=cv2.BORDER_REPLICATE)
        wide: Floats = cv2.resize(soft, plane.shape[::-1], interpolation=cv2.INTER_LINEAR)
        return wide
    blurred: Floats = cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return blurred


def _repeat(plane: Floats) -> tuple[float, float]:
    """How much a map resembles itself moved along its rows: the highest peak of the autocorrelation beyond
    its first dip, 0 to 1, and its lag."""
    width = plane.shape[1]
    spectrum = np.fft.rfft(plane - plane.mean(axis=1, keepdims=True), 2 * width, axis=1)
    raw = np.fft.irfft((spectrum * spectrum.conj()).sum(axis=0), 2 * width)[: max(width * 2 // 3, 2)]
    curve = raw / max(float(raw[0]), 1e-12) * width / (width - np.arange(raw.size))
    rising = np.flatnonzero(np.diff(curve) > 0)
    if not rising.size:
        return 0.0, float(width)
    lag = int(rising[0]) + int(np.argmax(curve[rising[0] :]))
    return float(np.clip(curve[lag], 0, 1)), float(lag)


def _walls(profile: Floats) -> float:
    """How many edges run all across: peaks of a profile that stand out of their surroundings."""
    line = profile.astype(np.float32)[None]
    smooth = cv2.GaussianBlur(line, (0, 0), 0.8)[0]
    around = cv2.blur(line, (15, 1))[0]
    top = (smooth[1:-1] > smooth[:-2]) & (smooth[1:-1] >= smooth[2:]) & (smooth[1:-1] > 1.15 * around[1:-1])
    return float(top.sum())


def _blobs(band: Floats) -> float:
    """How many connected areas are denser than their surroundings by more than the band's spread."""
    count, _, stats, _ = cv2.connectedComponentsWithStats((band > float(band.std())).astype(np.uint8))
    return float((stats[1:count, cv2.CC_STAT_AREA] >= 4).sum())


def _blocks(mass: Floats, z: Floats, edge: Floats) -> Values:
    """Means of mass, Z and gradient over blocks, (blocks, 3), scaled to weigh alike."""
    size = max(mass.shape[1] // BLOCK, 1), max(mass.shape[0] // BLOCK, 1)
    means = [
        cv2.resize(plane, size, interpolation=cv2.INTER_AREA).ravel() for plane in (mass, z / 8, 4 * edge)
    ]
    return np.stack(means, axis=1).astype(np.float64)


def _nearest(blocks: Values) -> Values:
    """Each block's distance to the most similar other one."""
    if len(blocks) < 2:
        return np.zeros(1)
    some = blocks[:: max(1, len(blocks) // 400)]
    squares = (some * some).sum(axis=1)
    apart = squares[:, None] + squares[None] - 2 * some @ some.T
    np.fill_diagonal(apart, np.inf)
    near: Values = np.sqrt(np.maximum(apart.min(axis=1), 0))
    return near


def _peaky(band: Floats) -> float:
    """Kurtosis, as a logarithm: 1.1 for a normal distribution."""
    centred = band - band.mean()
    square = float((centred**2).mean())
    return float(np.log(max(float((centred**4).mean()), 1e-12) / max(square * square, 1e-12)))


def _weighted(values: Floats, weights: Floats) -> tuple[float, float]:
    total = max(float(weights.sum()), 1e-9)
    mean = float((values * weights).sum()) / total
    return mean, float(np.sqrt(max(float(((values - mean) ** 2 * weights).sum()) / total, 0.0)))
