"""One run: the system, its senders and its subscriber, fault after fault, and the books held against it."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chaoslib import cartons
from chaoslib.audit import Audit, audit
from chaoslib.books import Books
from chaoslib.client_lane import ClientLane
from chaoslib.disk import SmallDisk
from chaoslib.faults import FAULTS, Harm, Rig
from chaoslib.follower import Follower
from chaoslib.gauges import Gauge, spread
from chaoslib.lanes import Lane, Traffic
from chaoslib.power_cut import PowerCut
from chaoslib.proxy import Proxy
from chaoslib.stores import read_archive, read_ledger
from chaoslib.system import Service, Site, Supervisor
from chaoslib.vandal import Vandal

BACK_S = 45.0
"""Screening, or the uplink, must be back within this: else the system is stuck."""
SETTLE_S = 45.0
"""All that was sent must be answered, and archived, within this once nothing is harmed."""

SPOKEN = {"lane-1": cartons.dual_energy, "lane-2": cartons.dual_energy, "lane-3": cartons.display}


class Run:
    """Start it with `with`. `cycle` does one fault; `check` stops everything and reads the stores."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        traffic: Traffic | None = None,
        *,
        tmpfs: bool = False,
        power: bool = False,
        lying_disk: bool = False,
    ) -> None:
        """`tmpfs`: the edge's disk is a small one that can be filled. `power`: what is synced is watched, so
        that the power can fail. `lying_disk`: and nothing is kept that was said to be synced."""
        self.books = Books()
        self.stuck: list[str] = []
        self.done: Counter[str] = Counter()
        self.last = Audit()
        self._back: dict[str, list[float]] = {}
        self._uplink_back: list[float] = []
        self._random = random.Random(seed)  # noqa: S311 - not for secrets
        disk = SmallDisk(folder / "edge") if tmpfs else None
        site = Site(folder, seed)
        if power:
            site.edge.power = PowerCut(folder / "edge", lies=lying_disk)
            site.collector.power = PowerCut(folder / "collector")
        proxy = Proxy(site.proxy_port, site.collector_port)
        traffic = traffic or Traffic()
        lanes: list[Lane | ClientLane] = [
            Lane(site.scanners, name, self.books, make, seed * 10 + i, traffic)
            for i, (name, make) in enumerate(SPOKEN.items())
        ]
        lanes.append(ClientLane(site.scanners, "lane-4", self.books, seed, traffic))
        self.rig = Rig(
            site=site,
            proxy=proxy,
            lanes=lanes,
            vandal=Vandal(site.scanners, "lane-9", self.books, seed),
            follower=Follower(site.subscribers, self.books),
            books=self.books,
            random=self._random,
            disk=disk,
        )
        self._services: dict[str, Service] = {"edge": site.edge, "collector": site.collector}
        self._gauges = {name: Gauge() for name in self._services}
        self._supervisor = Supervisor(list(self._services.values()))

    def __enter__(self) -> Run:
        self.rig.proxy.start()
        self._supervisor.start()
        for thread in (self.rig.follower, *self.rig.lanes):
            thread.start()
        self._want()
        return self

    def __exit__(self, *_: object) -> None:
        self.rig.follower.end()
        for lane in self.rig.lanes:
            lane.end()
        self._supervisor.end()
        self.rig.proxy.close()
        if self.rig.disk is not None:
            self.rig.disk.close()

    def cycle(self, name: str) -> None:
        """Wait until cartons are screened, do the fault, wait until they are again."""
        for lane in self.rig.lanes:
            lane.go()
        begun = time.monotonic()
        self._until(lambda: self._screening_since(begun), BACK_S, f"screening before {name}")
        time.sleep(self._random.uniform(0.05, 0.7))
        self._sample()
        harm = FAULTS[name](self.rig)
        self.done[name] += 1
        self._watch_recovery(name, harm)
        self._sample()
        for service in self._services.values():
            service.calm()
            service.excused = False

    def check(self, go_on: bool = True) -> Audit:
        """Let everything come to rest, end both processes, and hold the books against what they left."""
        self._settle()
        site = self.rig.site
        site.edge.stop()
        ledger = read_ledger(site.ledger)
        if ledger.keys.keys() - self.books.seen_keys:  # said while stopping: it is sent after the next start
            site.edge.wanted = True
            self._until(lambda: not ledger.keys.keys() - self.books.seen_keys, SETTLE_S, "the uplink's drain")
            site.edge.stop()
            ledger = read_ledger(site.ledger)
        site.collector.stop()
        self.last = audit(self.books, ledger, read_archive(site.archive))
        if go_on:
            self._want()
        return self.last

    def summary(self, seconds: float, seed: int) -> dict[str, Any]:
        """What --json prints."""
        last, books = self.last, self.books
        verdicts = {decision: last.verdicts[decision] for decision in ("CLEAR", "ALARM", "UNKNOWN")}
        return {
            "cycles": self.done.total(),
            "seed": seed,
            "seconds": round(seconds, 1),
            "scans": last.scans,
            "verdicts": verdicts,
            "lost": last.lost,
            "duplicates": last.duplicates,
            "unaccounted": last.unaccounted,
            "wrong": last.wrong,
            "hostile": last.hostile,
            "hostile_clear": last.hostile_clear,
            "never_acknowledged": len(last.never_acknowledged),
            "skipped_and_noticed": last.missing,
            "archived": len(books.seen),
            "resent_frames": books.resent,
            "reused_numbers": books.reused,
            "garbage_messages": books.junk,
            "client_no_answer": books.no_answers,
            "refused": dict(books.refused),
            "unknown_reasons": dict(last.reasons),
            "kinds": dict(sorted(last.kinds.items())),
            "faults": dict(self.done),
            "network": dict(sorted(self.rig.proxy.modes.items())),
            "screening_back_s": {name: spread(times) for name, times in sorted(self._back.items())},
            "uplink_back_s": spread(self._uplink_back),
            "starts": {name: service.starts for name, service in self._services.items()},
            "growth": {name: gauge.summary() for name, gauge in self._gauges.items()},
            "stuck": self.stuck,
            "unexpected_ends": [end for service in self._services.values() for end in service.ends],
            "subscriber_errors": self.rig.follower.errors[:20],
            "findings": last.findings,
        }

    @property
    def well(self) -> bool:
        """True if nothing was lost, doubled, forgotten or wrong, and nothing got stuck or fell over."""
        ends = any(service.ends for service in self._services.values())
        return self.last.well and not (self.stuck or ends or self.rig.follower.errors)

    # ---- parts

    def _want(self) -> None:
        for service in self._services.values():
            service.wanted = True
        self._until(lambda: all(service.ready for service in self._services.values()), BACK_S, "the start")

    def _screening_since(self, moment: float) -> bool:
        """True if every lane had a carton screened that was sent after `moment`."""
        return all(self.books.screened.get(lane.scanner, 0.0) > moment for lane in self.rig.lanes)

    def _watch_recovery(self, name: str, harm: Harm) -> None:
        if self._until(lambda: self._screening_since(harm.at), BACK_S, f"screening after {name}"):
            self._back.setdefault(name, []).append(time.monotonic() - harm.at)
        healed = harm.healed_at
        if healed is not None and self._until(
            lambda: self.books.seen_at > healed, BACK_S, f"the uplink after {name}"
        ):
            self._uplink_back.append(self.books.seen_at - healed)

    def _settle(self) -> None:
        for lane in self.rig.lanes:
            lane.rest()
        self._until(
            lambda: not any(lane.open_scans or lane.bursting for lane in self.rig.lanes),
            SETTLE_S,
            "the answer to every scan",
        )
        told = {scan.id for scan in self.books.snapshot() if scan.told is not None}
        self._until(lambda: told <= self.books.seen_ids, SETTLE_S, "the archive of every verdict")

    def _until(self, condition: Callable[[], bool], seconds: float, what: str) -> bool:
        end = time.monotonic() + seconds
        next_sample = time.monotonic() + 1
        while not condition():
            now = time.monotonic()
            if now > end:
                logs = " || ".join(service.log_tail() for service in self._services.values())
                self.stuck.append(f"{what} did not come within {seconds:g} s: {logs}"[:3000])
                return False
            if now > next_sample:
                self._sample()
                next_sample = now + 1
            time.sleep(0.005)
        return True

    def _sample(self) -> None:
        for name, service in self._services.items():
            if service.ready:
                self._gauges[name].sample(service.pid)


def plan(cycles: int, names: Sequence[str], seed: int) -> list[str]:
    """Which fault in which cycle: each equally often, shuffled within each round."""
    random_ = random.Random(seed + 1)  # noqa: S311 - not for secrets
    order: list[str] = []
    while len(order) < cycles:
        one_round = list(names)
        random_.shuffle(one_round)
        order += one_round
    return order[:cycles]
