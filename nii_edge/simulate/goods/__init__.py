"""Goods by chapter of the Harmonized System: what they are, how they are packed, worded and valued."""

from __future__ import annotations

from typing import NamedTuple

from nii_edge.simulate import threats
from nii_edge.simulate.goods.packaging import Packaging, packed
from nii_edge.simulate.kit import Generator, Maker, Spread, draw, pick
from nii_edge.simulate.objects import (
    appliances,
    boards,
    devices,
    groceries,
    hand_tools,
    hardware,
    kitchen,
    leisure,
    made_up,
    soft,
    toiletries,
)
from nii_edge.simulate.solids import Part, Thing


class Kind(NamedTuple):
    """One sort of goods. `code`: its six-digit HS heading; `words`: how declarations put it; `value`: USD a piece."""

    code: str
    words: tuple[str, ...]
    value: Spread
    packaging: tuple[Packaging, ...]
    maker: Maker


class Good(NamedTuple):
    """One piece of goods in its packaging, and what its seller would declare."""

    thing: Thing
    code: str
    words: str
    value: float


class _Lawful:
    """Lawful goods of a shape that is prohibited where nobody declared it."""

    def __init__(self, label: str, families: tuple[str, ...]) -> None:
        self.label, self.families = label, families

    def __call__(self, rng: Generator) -> tuple[Part, ...]:
        return threats.make(self.label, rng, pick(rng, self.families)).parts


def _from(label: str, *families: str) -> Maker:
    return _Lawful(label, families)


KINDS: dict[str, Kind] = {
    "t_shirts": Kind("610910", ("cotton t-shirts, knitted", "T-SHIRT 100% COTTON"), (4, 18), ("polybag", "none"), soft.shirt),
    "jackets": Kind("620193", ("men's padded jackets, polyester", "women's jackets"), (15, 60), ("polybag",), soft.jacket),
    "trousers": Kind("620342", ("men's cotton trousers", "denim jeans"), (9, 35), ("polybag", "none"), soft.trousers),
    "socks": Kind("611595", ("cotton socks", "SOCKS PAIRS"), (1, 4), ("polybag", "sleeve"), soft.socks),
    "brassieres": Kind("621210", ("brassieres", "women's underwear"), (4, 20), ("polybag", "box"), soft.underwear_set),
    "towels": Kind("630260", ("terry towels of cotton", "bath towels"), (3, 12), ("polybag", "none"), soft.towel),
    "cushions": Kind("940490", ("cushions, polyester filled", "pillows"), (4, 15), ("polybag",), soft.pillow),
    "shoes": Kind("640411", ("sports footwear, textile upper", "sneakers"), (8, 55), ("box",), soft.shoes),
    "leather_shoes": Kind("640399", ("leather footwear", "ladies' shoes"), (15, 80), ("box",), soft.shoes),
    "slippers": Kind("640299", ("slippers of rubber or plastic",), (2, 8), ("polybag", "none"), soft.slippers),
    "caps": Kind("650500", ("caps, knitted", "baseball caps"), (2, 10), ("polybag", "none"), soft.cap),
    "handbags": Kind("420221", ("handbags", "ladies' bags, PU"), (8, 60), ("polybag", "box"), soft.handbag),
    "wallets": Kind("420231", ("wallets of leather",), (4, 25), ("box", "polybag"), soft.wallet),
    "belts": Kind("420330", ("leather belts",), (3, 18), ("polybag", "none"), soft.belt),
    "phones": Kind("851713", ("smartphones", "mobile phones"), (60, 500), ("box",), devices.phone),
    "laptops": Kind("847130", ("portable computers", "notebook computers"), (180, 900), ("foam", "box"), devices.laptop),
    "tablets": Kind("847130", ("tablet computers",), (70, 400), ("box",), devices.tablet),
    "chargers": Kind("850440", ("power adapters", "USB chargers"), (2, 18), ("box", "polybag"), appliances.charger),
    "cables": Kind("854442", ("USB cables", "data cables with connectors"), (1, 7), ("polybag", "blister"), appliances.cable),
    "headphones": Kind("851830", ("headphones", "wireless headsets"), (8, 70), ("box",), appliances.headphones),
    "mice": Kind("847160", ("computer mice",), (3, 25), ("box", "blister"), devices.mouse),
    "remotes": Kind("852692", ("remote controls",), (2, 9), ("polybag",), devices.remote),
    "speakers": Kind("851822", ("bluetooth speakers", "loudspeakers"), (7, 60), ("box",), appliances.speaker),
    "hair_dryers": Kind("851631", ("hair dryers",), (8, 45), ("box",), appliances.hair_dryer),
    "drills": Kind("846721", ("cordless drills",), (20, 90), ("foam", "box"), appliances.drill),
    "lamps": Kind("853952", ("LED lamps", "light bulbs"), (0.8, 5), ("box", "blister"), appliances.bulb),
    "fans": Kind("841459", ("cooling fans for computers",), (2, 14), ("box", "polybag"), devices.fan),
    "drives": Kind("847170", ("hard disk drives",), (30, 120), ("box", "foam"), devices.hard_drive),
    "power_strips": Kind("853669", ("extension sockets",), (4, 18), ("polybag", "box"), appliances.power_strip),
    "routers": Kind("851762", ("wireless routers",), (12, 70), ("box",), devices.router),
    "boards": Kind("853400", ("printed circuit boards", "PCB assemblies"), (5, 60), ("polybag",), boards.bare_board),
    "watches": Kind("910211", ("wrist watches, battery",), (4, 60), ("box",), devices.watch),
    "cameras": Kind("852589", ("digital cameras",), (40, 300), ("box", "foam"), devices.camera),
    "game_pads": Kind("950450", ("video game controllers",), (8, 45), ("box", "blister"), devices.game_pad),
    "shavers": Kind("851010", ("electric shavers",), (8, 60), ("box", "blister"), appliances.shaver),
    "power_banks": Kind("850760", ("power banks, lithium-ion", "lithium-ion batteries"), (5, 30), ("box",), _from("lithium_pack", "power_bank")),
    "batteries": Kind("850610", ("alkaline batteries",), (1, 6), ("blister", "polybag"), hardware.batteries),
    "toy_cars": Kind("950300", ("toy cars, battery operated", "plastic toys"), (3, 25), ("box", "blister"), appliances.toy_car),
    "plush_toys": Kind("950300", ("stuffed toys", "PLUSH TOY"), (2, 15), ("polybag", "none"), soft.plush),
    "building_bricks": Kind("950300", ("construction sets of plastic", "toy bricks"), (4, 30), ("box",), leisure.toy_blocks),
    "dolls": Kind("950300", ("dolls",), (3, 20), ("box", "blister"), leisure.doll),
    "puzzles": Kind("950300", ("jigsaw puzzles", "board games"), (3, 15), ("none",), leisure.puzzle),
    "balls": Kind("950662", ("inflatable balls", "sports balls"), (2, 15), ("polybag", "box"), leisure.ball),
    "creams": Kind("330499", ("skin care cream", "cosmetics"), (3, 40), ("box", "none"), toiletries.cosmetic_jar),
    "lotions": Kind("330499", ("body lotion", "beauty preparations"), (2, 20), ("none", "box"), _from("bottle", "pump_bottle")),
    "toothpaste": Kind("330610", ("toothpaste",), (1, 5), ("box",), toiletries.tube_of_paste),
    "lipsticks": Kind("330410", ("lipsticks", "lip make-up"), (1, 15), ("box", "blister"), toiletries.lipsticks),
    "make_up": Kind("330491", ("pressed powders", "eye shadow palettes"), (2, 25), ("box",), toiletries.make_up_box),
    "perfumes": Kind("330300", ("perfumes", "eau de toilette"), (6, 70), ("box",), _from("bottle", "perfume")),
    "shampoo": Kind("330510", ("shampoo",), (1.5, 9), ("none", "polybag"), _from("bottle", "shampoo_oval")),
    "soap": Kind("340111", ("toilet soap",), (1, 5), ("box", "polybag"), toiletries.soap_bars),
    "wine": Kind("220421", ("wine of fresh grapes",), (4, 40), ("none", "box"), _from("bottle", "wine_bottle")),
    "spirits": Kind("220890", ("spirits", "liqueurs"), (8, 60), ("box",), _from("bottle", "wine_bottle")),
    "soft_drinks": Kind("220210", ("beverages", "mineral water"), (0.5, 2), ("none",), _from("bottle", "pet_bottle", "drink_can")),
    "plastic_bottles": Kind("392330", ("bottles of plastic", "drinking bottles"), (1, 8), ("polybag", "box"), _from("bottle", "reagent_plastic")),
    "vacuum_flasks": Kind("961700", ("vacuum flasks",), (4, 25), ("box",), _from("bottle", "thermos", "steel_flask")),
    "kitchen_knives": Kind("821192", ("kitchen knives, fixed blades", "chef's knives"), (4, 35), ("blister", "box"), _from("knife", "chef", "santoku", "paring", "bread", "carving", "steak")),
    "pocket_knives": Kind("821193", ("folding knives", "pocket knives"), (3, 30), ("box", "blister"), _from("knife", "many_bladed", "slip_joint", "frame_lock")),
    "scissors": Kind("821300", ("scissors",), (1, 12), ("blister", "polybag"), _from("scissors", "office", "household_large", "kitchen", "nail")),
    "spanners": Kind("820411", ("spanners, non-adjustable", "wrench sets"), (2, 15), ("none", "polybag", "blister"), _from("wrench", "combination", "double_open", "double_ring_offset", "allen_keys")),
    "adjustable_spanners": Kind("820412", ("adjustable spanners",), (4, 20), ("blister", "none"), _from("wrench", "adjustable", "locking_grip")),
    "pliers": Kind("820320", ("pliers",), (3, 18), ("blister", "polybag"), hand_tools.pliers),
    "screwdrivers": Kind("820540", ("screwdrivers", "hand tools"), (2, 15), ("blister", "box"), hand_tools.screwdrivers),
    "hammers": Kind("820520", ("hammers",), (4, 18), ("none", "sleeve"), hand_tools.hammer),
    "sockets": Kind("820420", ("socket sets",), (6, 35), ("box", "blister"), hand_tools.sockets),
    "tape_measures": Kind("901780", ("measuring tapes",), (1, 9), ("blister", "box"), hand_tools.tape_measure),
    "padlocks": Kind("830110", ("padlocks",), (2, 14), ("blister", "box"), hardware.padlock),
    "books": Kind("490199", ("printed books", "books"), (3, 30), ("none", "polybag"), leisure.book),
    "notebooks": Kind("482010", ("notebooks", "stationery"), (1, 8), ("polybag", "none"), leisure.notebook),
    "pens": Kind("960810", ("ball point pens",), (0.5, 6), ("blister", "polybag"), leisure.pens),
    "biscuits": Kind("190531", ("sweet biscuits",), (1, 6), ("none", "box"), groceries.biscuits),
    "flour_mixes": Kind("190120", ("mixes and doughs", "baking mix"), (1, 6), ("none",), groceries.powder_food),
    "nuts": Kind("200819", ("nuts, prepared", "snack food"), (2, 9), ("none",), groceries.grains),
    "preserves": Kind("200799", ("jams", "fruit preserves"), (1.5, 6), ("none",), _from("bottle", "glass_jar")),
    "tinned_food": Kind("200599", ("vegetables, preserved", "canned food"), (1, 4), ("none",), groceries.tin_can),
    "sauces": Kind("210390", ("sauces and seasonings", "condiments"), (1, 7), ("none",), groceries.powder_food),
    "chocolate": Kind("180632", ("chocolate in bars",), (1.5, 12), ("none", "box"), groceries.chocolate),
    "furniture_boards": Kind("940390", ("parts of furniture, wood", "shelf boards"), (6, 40), ("none",), leisure.panels),
    "furniture_legs": Kind("940390", ("furniture legs", "table legs"), (5, 30), ("polybag", "none"), leisure.furniture_leg),
    "brackets": Kind("830242", ("mountings for furniture", "shelf brackets"), (1, 8), ("polybag",), hardware.bracket),
    "screws": Kind("731815", ("screws and bolts", "fasteners"), (1, 8), ("none",), leisure.fixings),
    "pans": Kind("761510", ("aluminium cookware", "frying pans"), (6, 40), ("sleeve", "box"), kitchen.pan),
    "cutlery": Kind("821599", ("forks and spoons, stainless", "cutlery"), (3, 25), ("box", "polybag"), kitchen.cutlery),
    "chains": Kind("731582", ("welded link chain of steel",), (3, 20), ("polybag",), hardware.chain_links),
    "plates": Kind("691110", ("porcelain tableware", "plates"), (4, 30), ("foam", "box"), kitchen.plates),
    "mugs": Kind("691200", ("ceramic mugs",), (1.5, 9), ("box",), kitchen.cup),
    "bowls": Kind("691110", ("bowls of porcelain",), (3, 20), ("box", "foam"), kitchen.bowls),
    "drinking_glasses": Kind("701337", ("drinking glasses",), (1, 9), ("box",), kitchen.drinking_glass),
    "lunch_boxes": Kind("392410", ("plastic tableware", "food containers"), (2, 10), ("polybag", "sleeve"), kitchen.lunch_box),
    "brushes": Kind("960321", ("toothbrushes", "brushes and combs"), (1, 7), ("blister", "polybag"), toiletries.brushes),
    "spectacles": Kind("900410", ("sunglasses",), (2, 30), ("box", "polybag"), toiletries.glasses),
    "umbrellas": Kind("660199", ("umbrellas",), (3, 14), ("polybag",), leisure.umbrella),
    "candles": Kind("340600", ("candles",), (1.5, 15), ("box",), toiletries.candle),
    "anything": Kind("999900", ("merchandise",), (1, 60), ("box", "blister", "polybag", "sleeve", "foam", "none"), made_up.anything),
    "frames": Kind("441400", ("wooden frames for pictures",), (2, 14), ("box", "polybag"), leisure.frame),
}  # fmt: skip
"""Every sort of goods by name. Knives, scissors, wrenches, bottles and batteries are among them: declared,
they are goods like any other."""

HELD_OUT_GOODS = frozenset({
    "jackets", "leather_shoes", "wallets", "tablets", "speakers", "routers", "game_pads", "dolls", "puzzles", "perfumes",
    "soap", "vacuum_flasks", "pocket_knives", "adjustable_spanners", "notebooks", "chocolate", "nuts", "brackets", "bowls",
    "umbrellas",
})  # fmt: skip
"""Sorts of goods for tests only."""

MADE_UP = "anything"
"""No sort of goods that there is: only what is drawn with it on purpose has it (`made_up_goods` of a recipe)."""

VAGUE_WORDS = ("daily necessities", "gift", "samples", "household articles", "present", "accessories", "9")
"""What papers say that wish to say nothing."""


def chapter(kind: str) -> int:
    """The HS chapter of a sort of goods."""
    return int(KINDS[kind].code[:2])


def shape_of(kind: str) -> str | None:
    """The label of `threats.LABELS` that a sort of goods has the shape of, whoever declared it."""
    maker = KINDS[kind].maker if kind in KINDS else None
    return maker.label if isinstance(maker, _Lawful) else None


def make_good(kind: str, rng: Generator) -> Good:
    """One piece of a sort, packed for sale.

    Raises:
        KeyError: no such sort; `KINDS` has them all.
    """
    sort = KINDS[kind]
    parts = packed(rng, sort.maker(rng), pick(rng, sort.packaging))
    thing = Thing(kind, kind, parts, chapter(kind))
    return Good(thing, sort.code, pick(rng, sort.words), round(draw(rng, sort.value), 2))
