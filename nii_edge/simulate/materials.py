"""What things are made of: compounds or mixtures, their density, and how they weaken X-rays.

Attenuation comes from xraydb (tables of Elam, Ravel and Sieber 2002); densities and mixtures are round
figures of handbooks. A mixture is taken as a mass-weighted sum of its parts, which is exact for
attenuation.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import xraydb

from nii_edge.errors import SceneError

Values = npt.NDArray[np.float64]
MaterialClass = Literal["organic", "inorganic", "metal"]

ZEFF_EXPONENT = 2.94
"""Of the effective atomic number: photoelectric absorption per electron rises about as Z^2.94
(Mayneord 1937; Spiers, Br. J. Radiol. 19, 1946)."""
ORGANIC_BELOW, METAL_FROM = 10.0, 20.0
"""Limits of the classes in effective atomic number, as operators' displays draw them. Aluminium is
inorganic in this sense."""


class Material(NamedTuple):
    """`mix` is pairs of (formula, share of the mass), shares adding up to 1; `density` in g/cm³."""

    mix: tuple[tuple[str, float], ...]
    density: float


def _pure(formula: str, density: float) -> Material:
    return Material(((formula, 1.0),), density)


_STEEL = (("Fe", 0.99), ("C", 0.01))
_FLESH = (("H2O", 0.75), ("C4H6NO", 0.20), ("C18H34O2", 0.05))
_GLASS = (("SiO2", 0.73), ("Na2O", 0.14), ("CaO", 0.10), ("MgO", 0.03))
_BONE = (("Ca5P3O13H", 0.6), ("C4H6NO", 0.28), ("H2O", 0.12))

MATERIALS: dict[str, Material] = {
    "air": Material((("N2", 0.767), ("O2", 0.233)), 0.0012),
    # plastics and foams
    "polyethylene": _pure("CH2", 0.94),
    "polypropylene": _pure("CH2", 0.91),
    "polystyrene": _pure("C8H8", 1.05),
    "abs": _pure("C15H17N", 1.05),
    "pvc": _pure("C2H3Cl", 1.38),
    "soft_pvc": Material((("C2H3Cl", 0.62), ("C24H38O4", 0.38)), 1.22),
    "nylon": _pure("C6H11NO", 1.14),
    "polyester": _pure("C10H8O4", 1.38),
    "polycarbonate": _pure("C16H14O3", 1.2),
    "acrylic": _pure("C5H8O2", 1.18),
    "epoxy": _pure("C21H25O5", 1.2),
    "silicone_rubber": Material((("C2H6SiO", 0.7), ("SiO2", 0.3)), 1.15),
    "ptfe": _pure("C2F4", 2.2),
    "polyurethane": _pure("C27H36N2O10", 1.2),
    "polyurethane_foam": _pure("C27H36N2O10", 0.035),
    "eva_foam": _pure("C10H18O2", 0.15),
    "eps": _pure("C8H8", 0.02),
    "rubber": Material((("C5H8", 0.65), ("C", 0.25), ("ZnO", 0.04), ("CaCO3", 0.04), ("S", 0.02)), 1.15),
    # plants, animals, cloth
    "cellulose": _pure("C6H10O5", 1.5),
    "cardboard": _pure("C6H10O5", 0.69),
    "corrugated": _pure("C6H10O5", 0.13),
    "paper": Material((("C6H10O5", 0.82), ("CaCO3", 0.18)), 0.8),
    "banknote_paper": Material((("C6H10O5", 0.97), ("TiO2", 0.03)), 0.95),
    "wood": Material((("C6H10O5", 0.7), ("C9H10O3", 0.3)), 0.65),
    "cotton": _pure("C6H10O5", 1.5),
    "wool": Material((("C4H6NO2", 0.965), ("S", 0.035)), 1.31),
    "silk": _pure("C5H8N2O2", 1.34),
    "leather": Material((("C4H6NO2", 0.94), ("H2O", 0.03), ("Cr2O3", 0.03)), 0.9),
    "bone": Material(_BONE, 1.9),
    "ivory": Material(_BONE, 1.85),
    "flesh": Material(_FLESH, 1.05),
    # liquids, food, powders, care
    "water": _pure("H2O", 1.0),
    "ethanol": _pure("C2H6O", 0.789),
    "spirit": Material((("C2H6O", 0.35), ("H2O", 0.65)), 0.94),
    "oil": _pure("C57H104O6", 0.92),
    "petrol": _pure("C8H18", 0.745),
    "hydrogen_peroxide": Material((("H2O2", 0.35), ("H2O", 0.65)), 1.13),
    "sugar": _pure("C12H22O11", 0.85),
    "flour": Material((("C6H10O5", 0.86), ("H2O", 0.14)), 0.6),
    "starch": _pure("C6H10O5", 0.65),
    "rice": Material((("C6H10O5", 0.87), ("H2O", 0.13)), 0.8),
    "food": Material((("H2O", 0.6), ("C6H10O5", 0.25), ("C57H104O6", 0.14), ("NaCl", 0.01)), 1.0),
    "chocolate": Material((("C12H22O11", 0.55), ("C57H104O6", 0.35), ("C6H10O5", 0.10)), 1.3),
    "tea": Material((("C6H10O5", 0.93), ("K2O", 0.02), ("H2O", 0.05)), 0.35),
    "tobacco": Material((("C6H10O5", 0.82), ("H2O", 0.12), ("K2O", 0.03), ("CaO", 0.03)), 0.25),
    "soap": Material((("C17H35COONa", 0.85), ("H2O", 0.15)), 1.05),
    "cream": Material((("H2O", 0.7), ("C18H38", 0.25), ("C3H8O3", 0.05)), 0.98),
    "make_up": Material((("Mg3Si4O12H2", 0.7), ("TiO2", 0.1), ("Fe2O3", 0.05), ("C18H38", 0.15)), 1.6),
    "toothpaste": Material((("H2O", 0.35), ("CaCO3", 0.35), ("C6H14O6", 0.25), ("SiO2", 0.05)), 1.4),
    "detergent": Material((("Na2CO3", 0.35), ("Na2SO4", 0.35), ("C18H29NaO3S", 0.30)), 0.7),
    "wax": _pure("C25H52", 0.9),
    "tablets": Material((("C6H10O5", 0.6), ("C12H22O11", 0.35), ("C36H70MgO4", 0.05)), 1.25),
    # what customs looks for, and stand-ins of the same formula
    "tnt": _pure("C7H5N3O6", 1.65),
    "rdx": _pure("C3H6N6O6", 1.77),
    "plastic_explosive": Material((("C3H6N6O6", 0.91), ("C8H16", 0.09)), 1.6),
    "ammonium_nitrate": _pure("N2H4O3", 0.9),
    "gunpowder": Material((("KNO3", 0.75), ("C", 0.15), ("S", 0.10)), 1.0),
    "smokeless_powder": _pure("C6H7N3O11", 0.9),
    "cocaine": _pure("C17H21NO4", 1.1),
    "cocaine_hcl": _pure("C17H22NO4Cl", 1.1),
    "heroin": _pure("C21H23NO5", 1.1),
    "heroin_hcl": _pure("C21H24NO5Cl", 1.1),
    "fentanyl_hcl": _pure("C22H29N2OCl", 1.0),
    "methamphetamine_hcl": _pure("C10H16NCl", 1.0),
    # minerals
    "salt": _pure("NaCl", 1.25),
    "glass": Material(_GLASS, 2.5),
    "crystal_glass": Material((("SiO2", 0.58), ("PbO", 0.26), ("K2O", 0.16)), 3.0),
    "quartz": _pure("SiO2", 2.65),
    "sand": _pure("SiO2", 1.6),
    "ceramic": Material((("SiO2", 0.66), ("Al2O3", 0.28), ("K2O", 0.04), ("CaO", 0.02)), 2.4),
    "alumina": _pure("Al2O3", 3.9),
    "zirconia": _pure("ZrO2", 6.0),
    "gypsum": _pure("CaSO6H4", 1.2),
    "chalk": _pure("CaCO3", 1.8),
    "concrete": Material((("SiO2", 0.65), ("CaO", 0.18), ("Al2O3", 0.09), ("H2O", 0.08)), 2.3),
    "carbon": _pure("C", 1.8),
    "silicon": _pure("Si", 2.33),
    "ferrite": _pure("Fe3O4", 4.9),
    "neodymium_magnet": Material((("Nd", 0.27), ("Fe", 0.72), ("B", 0.01)), 7.5),
    # electronics: cell mixes hold electrodes, foils, separator and electrolyte
    "fr4": Material((("C21H25O5", 0.33), ("SiO2", 0.37), ("CaO", 0.13), ("Al2O3", 0.09), ("Cu", 0.08)), 1.95),
    "licoo2_cell": Material(
        (("LiCoO2", 0.42), ("C", 0.22), ("Cu", 0.10), ("Al", 0.06), ("C3H4O3", 0.16), ("CH2", 0.04)), 2.5
    ),
    "lithium_cobalt_oxide": _pure("LiCoO2", 4.9),
    "lifepo4_cell": Material(
        (("LiFePO4", 0.38), ("C", 0.20), ("Cu", 0.12), ("Al", 0.08), ("C3H4O3", 0.18), ("CH2", 0.04)), 2.1
    ),
    "alkaline_cell": Material(
        (("MnO2", 0.40), ("Zn", 0.18), ("KOH", 0.06), ("H2O", 0.10), ("Fe", 0.22), ("C", 0.04)), 2.9
    ),
    "cable": Material((("Cu", 0.5), ("C2H3Cl", 0.5)), 2.2),
    # metals
    "aluminium": _pure("Al", 2.7),
    "magnesium": _pure("Mg", 1.74),
    "titanium": _pure("Ti", 4.5),
    "steel": Material(_STEEL, 7.85),
    "stainless": Material((("Fe", 0.70), ("Cr", 0.19), ("Ni", 0.10), ("Mn", 0.01)), 7.9),
    "iron": _pure("Fe", 7.87),
    "nickel": _pure("Ni", 8.9),
    "brass": Material((("Cu", 0.63), ("Zn", 0.37)), 8.45),
    "bronze": Material((("Cu", 0.88), ("Sn", 0.12)), 8.8),
    "copper": _pure("Cu", 8.96),
    "zinc": _pure("Zn", 7.14),
    "zamak": Material((("Zn", 0.957), ("Al", 0.043)), 6.6),
    "tin": _pure("Sn", 7.3),
    "solder": Material((("Sn", 0.965), ("Ag", 0.03), ("Cu", 0.005)), 7.4),
    "lead": _pure("Pb", 11.35),
    "silver": _pure("Ag", 10.5),
    "gold": _pure("Au", 19.3),
    "tungsten": _pure("W", 19.3),
    # detectors and tubes
    "caesium_iodide": _pure("CsI", 4.51),
    "gadolinium_oxysulfide": _pure("Gd2O2S", 7.32),
}
"""Every material by its name. Densities of powders, woods and textiles are those of the bulk or fibre;
`Part.fill` makes them looser."""

DENSITIES: dict[str, float] = {name: made.density for name, made in MATERIALS.items()}
"""g/cm³ by material, at `fill` 1."""


def material(name: str) -> Material:
    """The material of that name.

    Raises:
        SceneError: there is none.
    """
    found = MATERIALS.get(name)
    if found is None:
        raise SceneError(
            f"material {name!r} is not in nii_edge.simulate.materials; expected one of {', '.join(MATERIALS)}"
        )
    return found


def mass_attenuation(name: str, energies: Values) -> Values:
    """Total mass attenuation in cm²/g at `energies` (n,) in keV, coherent scattering included."""
    total = np.zeros(len(energies))
    for symbol, share in _elements(name):
        total += share * _element_attenuation(symbol, energies)
    return total


@cache
def effective_z(name: str) -> float:
    """The effective atomic number: the mean of Z^2.94 over the electrons, to the power 1/2.94."""
    electrons = {symbol: share * _electrons_per_gram(symbol) for symbol, share in _elements(name)}
    total = sum(electrons.values())
    power = sum(
        number / total * float(xraydb.atomic_number(symbol)) ** ZEFF_EXPONENT
        for symbol, number in electrons.items()
    )
    return float(power ** (1 / ZEFF_EXPONENT))


def material_class(name: str) -> MaterialClass:
    """The class an ideal scanner would show the material as."""
    zeff = effective_z(name)
    if zeff < ORGANIC_BELOW:
        return "organic"
    return "inorganic" if zeff < METAL_FROM else "metal"


@cache
def _elements(name: str) -> tuple[tuple[str, float], ...]:
    """Pairs of (element, share of the mass), shares adding up to 1."""
    shares: dict[str, float] = {}
    for formula, part in material(name).mix:
        masses = {
            symbol: count * float(xraydb.atomic_mass(symbol))
            for symbol, count in xraydb.chemparse(formula).items()
        }
        for symbol, mass in masses.items():
            shares[symbol] = shares.get(symbol, 0.0) + part * mass / sum(masses.values())
    return tuple(shares.items())


def _electrons_per_gram(symbol: str) -> float:
    return float(xraydb.atomic_number(symbol)) / float(xraydb.atomic_mass(symbol))


def _element_attenuation(symbol: str, energies: Values) -> Values:
    """xraydb's total mass attenuation, cm²/g, at energies in keV."""
    if len(energies) <= len(_GRID) and np.array_equal(energies, _GRID[: len(energies)]):
        return _grid_attenuation(symbol)[: len(energies)]
    return np.asarray(xraydb.mu_elam(symbol, energies * 1000.0, kind="total"), np.float64)


_GRID = 1.25 + 0.5 * np.arange(600)
"""keV: how spekpy's spectra in bins of half a keV begin, whatever the voltage. xraydb is slow, so each
element is asked for once."""


@cache
def _grid_attenuation(symbol: str) -> Values:
    return np.asarray(xraydb.mu_elam(symbol, _GRID * 1000.0, kind="total"), np.float64)
