"""The papers of one carton: true to what was meant to be in it, bent as its lie needs."""

from __future__ import annotations

from collections.abc import Sequence

from nii_edge.simulate.contents import Stock
from nii_edge.simulate.goods import VAGUE_WORDS
from nii_edge.simulate.kit import Generator, draw, pick
from nii_edge.simulate.loads import Load
from nii_edge.simulate.papers import HouseBill, Line
from nii_edge.simulate.scene import Scene

WEIGHT_FITTED = 0.7
"""How often who sends more parcels than declared declares what all of them weigh."""
_ORIGINS = ("CN", "CN", "CN", "VN", "IN", "TR", "TH", "BD", "MY")


def papers_of(
    rng: Generator, carton: int, load: Load, scene: Scene, kilos: Sequence[float], lie: str | None
) -> list[HouseBill]:
    """Its house bills. `kilos`: what each thing weighs; `lie`: the carton's story if it lies, else None, or
    `careful_master_carton`."""
    if lie == "swapped_goods":
        shown = sum(kg for p, kg in zip(scene.things, kilos, strict=True) if p.role == "goods")
        line = _written(rng, load.lines[0], len(load.units), shown * draw(rng, (0.9, 1.1)))
        return [_bill(rng, carton, 1, (line,))]
    if lie == "master_carton":
        return [_master_lie(rng, carton, load, scene, kilos)]
    if lie == "careful_master_carton":
        return [_careful_lie(rng, carton, load, scene, kilos)]
    lines = [_line(rng, index, article, scene, kilos) for index, article in enumerate(load.lines)]
    if lie == "wrong_weight":
        wrong = draw(rng, (0.35, 0.65)) if rng.random() < 0.6 else draw(rng, (1.5, 2.4))
        lines = [_reweighed(line, wrong) for line in lines]
    if lie == "extra_parcels" and rng.random() < WEIGHT_FITTED:
        said = sum(line.weight_kg for line in lines)
        lines = [_reweighed(line, _carried(scene, kilos) / max(said, 1e-3)) for line in lines]
    bills = []
    for indices in load.bills:
        parcels = sum(placed.role == "parcel" and placed.line in indices for placed in scene.things)
        bills.append(_bill(rng, carton, max(parcels, 1), tuple(lines[k] for k in indices)))
    return bills


def _line(rng: Generator, index: int, article: Stock, scene: Scene, kilos: Sequence[float]) -> Line:
    """What honest papers say of one line's goods."""
    pieces = sum(p.role == "goods" and p.line == index for p in scene.things)
    weight = sum(kg for p, kg in zip(scene.things, kilos, strict=True) if p.line == index)
    return _written(rng, article, pieces, weight * draw(rng, (0.97, 1.03)))


def _written(rng: Generator, article: Stock, quantity: int, kilos: float) -> Line:
    return Line(
        hs_code=article.code, description=article.words, quantity=quantity,
        weight_kg=round(max(kilos, 0.001), 3),
        value_usd=round(quantity * article.value, 2), origin=pick(rng, _ORIGINS),
    )  # fmt: skip


def _reweighed(line: Line, factor: float) -> Line:
    return Line(
        hs_code=line.hs_code, description=line.description, quantity=line.quantity,
        weight_kg=round(line.weight_kg * factor, 3), value_usd=line.value_usd, origin=line.origin,
    )  # fmt: skip


def _master_lie(rng: Generator, carton: int, load: Load, scene: Scene, kilos: Sequence[float]) -> HouseBill:
    """One consignee, one line, a word that means nothing; the weight is about right."""
    first = load.lines[0]
    weight = _carried(scene, kilos)
    words = pick(rng, VAGUE_WORDS) if rng.random() < 0.7 else first.words
    line = Line(
        hs_code=first.code, description=words, quantity=int(rng.integers(1, 4)),
        weight_kg=round(weight * draw(rng, (0.95, 1.05)), 3),
        value_usd=round(draw(rng, (20, 300)), 2), origin=pick(rng, _ORIGINS),
    )  # fmt: skip
    return _bill(rng, carton, 1, (line,))


def _careful_lie(rng: Generator, carton: int, load: Load, scene: Scene, kilos: Sequence[float]) -> HouseBill:
    """One consignee and one line of goods that are in it, too, as many as would weigh that and at their
    price: the papers of an honest carton of them."""
    first, weight = load.lines[0], _carried(scene, kilos)
    chapter = int(first.code[:2])
    goods = [(kg, p.thing.chapter) for p, kg in zip(scene.things, kilos, strict=True) if p.role == "goods"]
    alike = [kg for kg, own in goods if own == chapter] or [kg for kg, _ in goods]
    pieces = max(round(weight / max(sum(alike) / len(alike), 1e-3)), 1)
    return _bill(rng, carton, 1, (_written(rng, first, pieces, weight * draw(rng, (0.97, 1.03))),))


def _carried(scene: Scene, kilos: Sequence[float]) -> float:
    """What goods and parcels weigh, in kg."""
    return sum(kg for p, kg in zip(scene.things, kilos, strict=True) if p.role in {"goods", "parcel"})


def _bill(rng: Generator, carton: int, packages: int, lines: tuple[Line, ...]) -> HouseBill:
    return HouseBill(
        number=f"H{int(rng.integers(10**9, 10**10))}", carton=carton, packages=packages,
        shipper=f"S{int(rng.integers(10**5, 10**6))}", consignee=f"C{int(rng.integers(10**5, 10**6))}",
        lines=lines,
    )  # fmt: skip
