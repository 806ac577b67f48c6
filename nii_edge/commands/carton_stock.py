"""Simulated and measured cartons, consignment by consignment, kept in a folder if one is given.

A run that was stopped goes on where it was; the next one with the same seed and recipe reuses it all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import nii_edge
from nii_edge.commands.cartons import Carton, one
from nii_edge.commands.sight import Eyes, Sight
from nii_edge.commands.workers import get_ready, in_order
from nii_edge.errors import ConfigError
from nii_edge.simulate.calibrated import calibrated
from nii_edge.simulate.produce import Job, jobs
from nii_edge.simulate.recipe import Recipe

MADE_BY = (
    "simulate", "xray", "commands/cartons.py", "commands/sight.py", "papers.py", "adapters/manifest_rows.py",
    "detect/shapes.py", "detect/heads.py", "detect/model_detector.py", "detect/looks.py", "detect/joining.py",
    "adapters/carton_reader.py",
)  # fmt: skip
"""What of this package the kept cartons depend on: another version's are refused."""

Told = Callable[[int, int], None]


class Stock:
    """The consignments of one recipe and seed, numbered from 0; the same for the same seed.

    `folder`: where they are kept, None to keep none; `eyes` look at them. Raises ConfigError if what is kept
    there is another recipe's, seed's or version's.
    """

    def __init__(self, recipe: Recipe, seed: int, workers: int, folder: Path | None, eyes: Eyes) -> None:
        self._recipe, self._seed, self._eyes = recipe, seed, eyes
        self._workers, self._folder = workers, folder
        self._ready: dict[int, list[Carton]] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._check(folder / "about.json")

    def take(self, consignments: int, told: Told) -> list[Carton]:
        """The cartons of the first `consignments`, in order. `told` hears how many of these are ready."""
        work = jobs(self._recipe, self._seed, consignments, 0, None, False)
        missing = [job for job in work if not self._has(job.number)]
        ready = len(work) - len(missing)
        told(ready, len(work))
        for done, (job, cartons) in enumerate(self._made(missing), ready + 1):
            self._ready[job.number] = cartons
            self._keep(job.number, cartons)
            told(done, len(work))
        return [carton for job in work for carton in self._ready[job.number]]

    def _has(self, number: int) -> bool:
        file = self._file(number)
        if number not in self._ready and file is not None and file.exists():
            self._ready[number] = _read(file)
        return number in self._ready

    def _made(self, work: Sequence[Job]) -> Iterator[tuple[Job, list[Carton]]]:
        """The jobs with their cartons, in order, on all workers. The first is done before any other begins:
        it compiles the simulator, which the others then find compiled."""
        if work:
            get_ready()
        units = [calibrated(make) for make in self._recipe.makes()] if work else []
        call = partial(one, eyes=self._eyes)
        for part in (work[:1], work[1:]):
            if part:
                yield from zip(part, in_order(call, part, units, self._workers), strict=True)

    def _file(self, number: int) -> Path | None:
        return None if self._folder is None else self._folder / f"{number:06d}.msgpack"

    def _keep(self, number: int, cartons: list[Carton]) -> None:
        file = self._file(number)
        if file is not None:
            _replace(file, msgspec.msgpack.encode(cartons, enc_hook=_plain))

    def _check(self, about: Path) -> None:
        sight = Sight(self._eyes)
        recipe = hashlib.sha256(msgspec.json.encode(self._recipe, enc_hook=_plain)).hexdigest()[:16]
        own = {
            "recipe": recipe,
            "seed": self._seed,
            "code": _code(),
            "detector": sight.digest[:16] or "none",
            "network": sight.network_digest[:16],
        }
        if not about.exists():
            _replace(about, msgspec.json.encode(own))
            return
        try:
            kept = msgspec.json.decode(about.read_bytes(), type=dict[str, Any])
        except (msgspec.DecodeError, OSError) as error:
            raise ConfigError(f"{about}: cannot be read: {error}; name another folder") from error
        other = [
            f"{key} {kept.get(key)}, wanted {value}" for key, value in own.items() if kept.get(key) != value
        ]
        if other:
            raise ConfigError(
                f"{about.parent}: its cartons were made with {'; '.join(other)}; name another folder, or "
                "delete this one"
            )


def _read(file: Path) -> list[Carton]:
    try:
        return msgspec.msgpack.decode(file.read_bytes(), type=list[Carton], dec_hook=_array_of)
    except (msgspec.DecodeError, ValueError, OSError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}; delete it, and it is made again") from error


def _code() -> str:
    """A digest of the code that cartons are made and measured by."""
    here = Path(nii_edge.__file__).parent
    digest = hashlib.sha256()
    for name in MADE_BY:
        place = here / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.relative_to(here).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _replace(file: Path, data: bytes) -> None:
    """Write a file as a whole: one that is there is complete."""
    fresh = file.with_suffix(f".{os.getpid()}.new")
    fresh.write_bytes(data)
    fresh.replace(file)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be kept")


def _array_of(kind: Any, value: Any) -> Any:
    if getattr(kind, "__origin__", kind) is np.ndarray:
        return np.array(value, np.float64)
    raise TypeError(f"{kind} cannot be read")
