"""Effective Z, material class and areal density by a two-dimensional table from wedge scans. Pure.

The table runs over x = -ln T_high and R = ln T_low / ln T_high. A threshold on R alone tells nothing: R of
steel behind 5 % transmission is that of thin PVC. At each x the wedges' own R values are the knots between
which Z is interpolated (monotone cubic, Fritsch and Carlson 1980) and areal density linearly, as overlapping
materials add.

Noise decides what may be said at all. From a pixel's noise in air and in the dark follows the noise of Z in
every cell; where it is too large the class is `UNDEFINED` (thin) or `UNKNOWN` (thick), and areal density
leans on a prior R instead of the measured one.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from nii_edge.errors import CalibrationError, CalibrationFault
from nii_edge.xray.calibrate import Noise
from nii_edge.xray.transmission import Planes
from nii_edge.xray.wedges import Response, Wedge, fit, respond

Floats = npt.NDArray[np.float32]
Grid = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint8]

SIZE = 256
"""Cells along each axis of the table."""
R_MAX = 4.25
"""The table's last R; iron starts at 3.1, no element below the K-edge metals goes further."""
X_MARGIN = 1.08
"""The table's last x, as a multiple of the penetration limit's."""
MIN_X = 0.004
"""x below which R is not computed but taken at this x: it is noise divided by noise."""
TINY = 1e-6
"""Transmission is cut here before its logarithm."""

ORGANIC_UP_TO = 10.0
"""Effective Z; the operator's orange."""
METAL_FROM = 18.0
"""Effective Z; aluminium, salts and glass lie between, the operator's green."""
MAX_SIGMA_Z = 2.5
"""Noise of Z beyond which no class is named."""
THIN_X = 0.7
"""Where Z is lost in noise: below this x it is `UNDEFINED`, above it `UNKNOWN`."""
AIR_SIGMAS = 3.0
"""x below this many standard deviations is air, as far as one pixel can say."""
DARK_SIGMAS = 3.0
"""A transmission below this many standard deviations of the dark is no measurement."""
PRIOR_R_SIGMA = 0.15
"""How far the R of what is carried in cartons spreads around that of water-like matter."""
PRIOR_Z = 7.0
"""Paper, textile, plastics, food: what thin matter is until shown otherwise."""
LEAST_MASS = 0.5
"""Areal density per x beyond the last wedge goes on falling, but not below this share of that wedge's."""
Z_BEYOND = 2.0
"""How far Z may lie outside the wedges' range before it is flagged as extrapolated."""
K_EDGE_FROM = 1.0
"""x from which heavy metals are looked for; a thinner lead foil hides nothing."""
K_EDGE_WIDTH = 0.02
"""Half width, in R, of the band around a heavy metal's curve, at least."""


SMOOTH = 5
"""Pixels a side over which R is averaged before it is looked up."""


class MaterialClass(IntEnum):
    """What a pixel shows. Values index colour tables."""

    UNDEFINED = 0  # air, or too thin to tell
    ORGANIC = 1
    INORGANIC = 2
    METAL = 3
    UNKNOWN = 4  # thick, and its energies do not tell; or maybe a heavy metal
    IMPENETRABLE = 5


class MaterialTable(NamedTuple):
    """The look-up of one view of one scanner.

    All grids are (`SIZE`, `SIZE`): rows x from 0 to `x_max`, columns R from 0 to `R_MAX`. `z`: effective
    atomic number. `mass`: areal density over x, g/cm2. `codes` has a last axis of 2: `MaterialClass`, and 1
    where the answer is extrapolated beyond the wedges. `shield_mass`: areal density that an impenetrable
    pixel has at least, g/cm2, whichever of the wedges' materials it is.
    """

    x_max: float
    z: Floats
    mass: Floats
    codes: Codes
    shield_mass: float
    wedges: tuple[str, ...]


class Material(NamedTuple):
    """What a dual-energy view shows, all (height, width).

    `z`: effective atomic number, meaningless where `classes` is neither organic, inorganic nor metal.
    `areal_density`: g/cm2, around 0 in air, a lower bound where impenetrable. `classes`: `MaterialClass`.
    `extrapolated`: 1 where the wedges do not reach.
    """

    z: Floats
    areal_density: Floats
    classes: Codes
    extrapolated: Codes


class Mass(NamedTuple):
    """Grams, and the area in cm2 that was impenetrable: `lower_bound` if there was any."""

    grams: float
    impenetrable_cm2: float

    @property
    def lower_bound(self) -> bool:
        """True if something lay behind what cannot be seen through."""
        return self.impenetrable_cm2 > 0


def build_table(wedges: Sequence[Wedge], noise: Noise, penetration_limit: float) -> MaterialTable:
    """The table from a scanner's own wedge scans, its noise, and the high-energy transmission at or below
    which it shows nothing (the profile's `penetration_limit`).

    Raises:
        CalibrationError: BAD_WEDGES or ENERGIES_SWAPPED, see `wedges.respond`; PROFILE_MISMATCH if noise or
            limit make no sense.
    """
    if not 0 < penetration_limit < 1 or not all(0 <= value < 1 for value in (*noise.dark, *noise.air)):
        raise CalibrationError(
            CalibrationFault.PROFILE_MISMATCH,
            f"penetration limit {penetration_limit} and noise {noise} must lie between 0 and 1",
        )
    responses = respond(wedges)
    x_limit = -float(np.log(penetration_limit))
    x_max = x_limit * X_MARGIN
    x, r = np.linspace(0, x_max, SIZE), np.linspace(0, R_MAX, SIZE)
    knots = _knots(responses, x)
    zs = np.array([response.z for response in responses])
    z = np.stack([_interpolate_z(r, row, zs) for row in knots])
    sigma_r = _sigma_r(x[:, None], r[None, :], noise) / SMOOTH
    slope = np.gradient(z, r, axis=1)
    sigma_z = sigma_r * np.maximum(slope, (zs[-1] - zs[0]) / (knots[:, -1] - knots[:, 0])[:, None])
    mass = _mass(responses, x, r, knots, sigma_r)
    classes = _classes(z, sigma_z, x, noise)
    for wedge in wedges:
        if wedge.k_edge:
            band = np.abs(r[None, :] - fit(wedge).ratio_at(x)[:, None])
            hidden = (band <= np.maximum(K_EDGE_WIDTH, 2 * sigma_r)) & (x[:, None] >= K_EDGE_FROM)
            classes[hidden & (classes != MaterialClass.UNDEFINED)] = MaterialClass.UNKNOWN
    low_floor = -np.log(max(DARK_SIGMAS * noise.dark[0], TINY))
    classes[(r[None, :] * x[:, None] >= low_floor) & (x[:, None] > THIN_X)] = MaterialClass.UNKNOWN
    high_floor = -np.log(max(DARK_SIGMAS * noise.dark[1], TINY))
    x_blind = min(x_limit, high_floor)
    classes[x >= x_blind] = MaterialClass.IMPENETRABLE
    blind = np.array([x_blind])
    return MaterialTable(
        x_max=x_max,
        z=z.astype(np.float32),
        mass=mass.astype(np.float32),
        codes=np.stack([classes, _extrapolated(z, zs, x, responses)], axis=2),
        shield_mass=min(float(response.mass_at(blind)[0]) * x_blind for response in responses),
        wedges=tuple(response.name for response in responses),
    )


def log_of(plane: Floats) -> Floats:
    """ln T, finite also where nothing gets through."""
    log: Floats = cv2.log(np.maximum(plane, np.float32(TINY)))
    return log


def logs(planes: Planes) -> tuple[Floats, Floats]:
    """ln T_high, above 0 where brighter than air, and R = ln T_low / ln T_high, of (2, height, width).

    R is that of a neighbourhood of `SMOOTH` pixels a side: what a thing is made of changes less from pixel to
    pixel than how thick it is, and noise in R would be taken for other materials.
    """
    high = log_of(planes[-1])
    window = (SMOOTH, SMOOTH)
    low = cv2.blur(log_of(planes[0]), window)
    ratio: Floats = np.divide(low, np.minimum(cv2.blur(high, window), np.float32(-MIN_X)))
    return high, ratio


def look_up_z(planes: Planes, table: MaterialTable) -> Floats:
    """The effective Z (height, width) alone of what `planes`, (2, height, width), show: faster than all of
    `look_up`."""
    high, ratio = logs(planes)
    column, row = _cells(high, ratio, table)
    z: Floats = cv2.remap(table.z, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return z


def look_up(planes: Planes, table: MaterialTable) -> Material:
    """What `planes`, (2, height, width) low and high transmission, show."""
    column, row, z, density = _z_and_density(planes, table)
    codes: Codes = cv2.remap(table.codes, column, row, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    classes = cv2.extractChannel(codes, 0)
    _raise_to_shield(density, classes, table)
    return Material(z, density, classes, cv2.extractChannel(codes, 1))


def named_z_and_density(planes: Planes, table: MaterialTable) -> tuple[Floats, Floats]:
    """Effective Z, 0 where no material can be named, and areal density in g/cm2, both (height, width).

    What `look_up` says of `planes`, (2, height, width), without asking whether it is extrapolated.
    """
    column, row, z, density = _z_and_density(planes, table)
    codes = cv2.extractChannel(table.codes, 0)
    classes: Codes = cv2.remap(codes, column, row, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    _raise_to_shield(density, classes, table)
    named = cv2.inRange(classes, int(MaterialClass.ORGANIC), int(MaterialClass.METAL))
    return np.asarray(cv2.copyTo(z, named), np.float32), density


def _z_and_density(planes: Planes, table: MaterialTable) -> tuple[Floats, Floats, Floats, Floats]:
    """Where each pixel stands in the table, column and row, and the Z and g/cm2 that it has there."""
    high, ratio = logs(planes)
    column, row = _cells(high, ratio, table)
    z: Floats = cv2.remap(table.z, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    density: Floats = cv2.remap(table.mass, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    density *= -high
    return column, row, z, density


def _raise_to_shield(density: Floats, classes: Codes, table: MaterialTable) -> None:
    """Give impenetrable pixels the areal density that they have at least, in place."""
    np.copyto(density, np.float32(table.shield_mass), where=classes == MaterialClass.IMPENETRABLE)


def _cells(high: Floats, ratio: Floats, table: MaterialTable) -> tuple[Floats, Floats]:
    """Where each pixel stands in the table: column and row, as `cv2.remap` takes them."""
    return ratio * np.float32((SIZE - 1) / R_MAX), high * np.float32(-(SIZE - 1) / table.x_max)


def mass_grams(
    material: Material,
    pixel_area_cm2: float,
    magnification: float = 1.0,
    mask: npt.NDArray[np.bool_] | None = None,
) -> Mass:
    """The mass in a view, or in `mask` (height, width) of it.

    `pixel_area_cm2` is the pitch along the belt times the pitch along the detector, both at the belt, as the
    profile gives them. `magnification`: how much wider an object appears across the fan than at the belt's
    level, 1 at the belt, above 1 nearer to the tube; from the carton's height or a second view. Along the
    belt nothing is magnified, so the area goes down by its first power.
    """
    if not (pixel_area_cm2 > 0 and magnification > 0):
        raise ValueError(f"pixel area {pixel_area_cm2} cm2, magnification {magnification}: must be above 0")
    area = pixel_area_cm2 / magnification
    density, classes = material.areal_density, material.classes
    if mask is not None:
        density, classes = density[mask], classes[mask]
    blind = int(np.count_nonzero(classes == MaterialClass.IMPENETRABLE))
    return Mass(float(density.sum(dtype=np.float64)) * area, blind * area)


def _knots(responses: Sequence[Response], x: Grid) -> Grid:
    """R of every wedge at every x, (x, wedges), kept rising with Z where curves are extrapolated."""
    ratios = np.stack([response.ratio_at(x) for response in responses], axis=1)
    steps = np.maximum(np.diff(ratios, axis=1), 2e-3)
    rising: Grid = np.concatenate([ratios[:, :1], ratios[:, :1] + np.cumsum(steps, axis=1)], axis=1)
    return rising


def _interpolate_z(r: Grid, knots: Grid, zs: Grid) -> Grid:
    """Z at one x: monotone cubic between the wedges, straight on beyond them, within 1 to the last + 20."""
    slopes = _monotone_slopes(knots, zs)
    index = np.clip(np.searchsorted(knots, r) - 1, 0, knots.size - 2)
    width = knots[index + 1] - knots[index]
    t = np.clip((r - knots[index]) / width, 0, 1)
    cubic = (
        (1 + 2 * t) * (1 - t) ** 2 * zs[index]
        + t * (1 - t) ** 2 * width * slopes[index]
        + t**2 * (3 - 2 * t) * zs[index + 1]
        + t**2 * (t - 1) * width * slopes[index + 1]
    )
    beyond = np.minimum(r - knots[0], 0) * slopes[0] + np.maximum(r - knots[-1], 0) * slopes[-1]
    z: Grid = np.clip(cubic + beyond, 1.0, zs[-1] + 20)
    return z


def _monotone_slopes(knots: Grid, values: Grid) -> Grid:
    """Slopes that keep a cubic Hermite interpolant monotone: weighted harmonic means of the neighbouring
    secants (Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5 (1984) 300), the secant itself at both ends."""
    width, secant = np.diff(knots), np.diff(values) / np.diff(knots)
    one, other = 2 * width[1:] + width[:-1], width[1:] + 2 * width[:-1]
    inner = (one + other) / (one / secant[:-1] + other / secant[1:])
    slopes: Grid = np.concatenate([secant[:1], inner, secant[-1:]])
    return slopes


def _sigma_r(x: Grid, r: Grid, noise: Noise) -> Grid:
    """Noise of one pixel's R: photon noise scales with transmission, electronic noise does not."""
    relative = []
    for exponent, dark, air in ((r * x, noise.dark[0], noise.air[0]), (x, noise.dark[1], noise.air[1])):
        transmission = np.exp(-exponent)
        variance = dark**2 + max(air**2 - dark**2, 0.0) * transmission
        relative.append(np.sqrt(variance) / transmission)
    sigma: Grid = np.hypot(relative[0], r * relative[1]) / np.maximum(x, MIN_X)
    return sigma


def _mass(responses: Sequence[Response], x: Grid, r: Grid, knots: Grid, sigma_r: Grid) -> Grid:
    """Areal density over x for every cell, from R pulled towards `PRIOR_Z` as far as it is noise."""
    masses = np.stack([response.mass_at(x) for response in responses], axis=1)
    zs = np.array([response.z for response in responses])
    rows = []
    for ratios, values, sigma in zip(knots, masses, sigma_r, strict=True):
        prior = float(np.interp(PRIOR_Z, zs, ratios))
        trust = PRIOR_R_SIGMA**2 / (PRIOR_R_SIGMA**2 + sigma**2)
        leaning = prior + trust * (r - prior)
        beyond = np.maximum(leaning - ratios[-1], 0) * (values[-1] - values[-2]) / (ratios[-1] - ratios[-2])
        rows.append(np.maximum(np.interp(leaning, ratios, values) + beyond, LEAST_MASS * values[-1]))
    return np.stack(rows)


def _classes(z: Grid, sigma_z: Grid, x: Grid, noise: Noise) -> Codes:
    classes = np.full(z.shape, MaterialClass.INORGANIC, np.uint8)
    classes[z <= ORGANIC_UP_TO] = MaterialClass.ORGANIC
    classes[z >= METAL_FROM] = MaterialClass.METAL
    vague = sigma_z > MAX_SIGMA_Z
    thin = x[:, None] < THIN_X
    classes[vague & thin] = MaterialClass.UNDEFINED
    classes[vague & ~thin] = MaterialClass.UNKNOWN
    classes[x < AIR_SIGMAS * noise.air[1]] = MaterialClass.UNDEFINED
    return classes


def _extrapolated(z: Grid, zs: Grid, x: Grid, responses: Sequence[Response]) -> Codes:
    """1 where Z lies outside the wedges' range, or x outside that of both wedges around it."""
    flags = (z < zs[0] - Z_BEYOND) | (z > zs[-1] + Z_BEYOND)
    spans = np.array([response.x_span[1] for response in responses])
    upper = np.clip(np.searchsorted(zs, z), 1, zs.size - 1)
    reach = np.maximum(spans[upper - 1], spans[upper])
    flags |= x[:, None] > reach
    return np.asarray(flags, np.uint8)
