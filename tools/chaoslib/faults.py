"""Each fault: does its harm to the running system and returns when it is over. The supervisor heals."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

from chaoslib.books import Books
from chaoslib.client_lane import ClientLane
from chaoslib.disk import SmallDisk
from chaoslib.follower import Follower
from chaoslib.lanes import Lane
from chaoslib.proxy import Mode, Proxy
from chaoslib.system import Service, Site
from chaoslib.vandal import Vandal

INFERENCE, DECODER = "nii_edge.inference_process", "nii_edge.edge.decoder"
BURST = 300
"""Hostile scans in one burst."""
GARBAGE = 60
"""Messages that name no scan, in one burst."""
CALM_S = 10.0
LONGER_THAN_PATIENCE_S = 9.0
"""The edge waits 5 s for a receipt, then connects anew."""


class Rig(NamedTuple):
    """What a fault can reach. `disk`: the edge's own, if it has one that can be filled."""

    site: Site
    proxy: Proxy
    lanes: list[Lane | ClientLane]
    vandal: Vandal
    follower: Follower
    books: Books
    random: random.Random
    disk: SmallDisk | None = None


class Harm(NamedTuple):
    """When the harm was done, and when the network healed if that was it (monotonic seconds)."""

    at: float
    healed_at: float | None = None


def edge_kill(rig: Rig) -> Harm:
    """kill -9 of the edge; in one case of four again while it starts."""
    rig.site.edge.send(signal.SIGKILL)
    if rig.random.random() < 0.25:
        time.sleep(rig.random.uniform(0.05, 1.5))
        rig.site.edge.send(signal.SIGKILL)
    return Harm(time.monotonic())


def power_cut(rig: Rig) -> Harm:
    """The edge's power fails: what it had not synced is gone."""
    rig.site.edge.cut_power()
    return Harm(time.monotonic())


def collector_power_cut(rig: Rig) -> Harm:
    """The collector's power fails."""
    rig.site.collector.cut_power()
    at = time.monotonic()
    return Harm(at, at)


def edge_pause(rig: Rig) -> Harm:
    """The whole daemon stands still for a while, and goes on as if nothing had been."""
    return Harm(_pause(rig.site.edge, rig.random.uniform(0.2, 2.0)))


def collector_pause(rig: Rig) -> Harm:
    """The collector stands still, perhaps for longer than the edge waits for a receipt."""
    at = _pause(rig.site.collector, rig.random.choice([0.5, 2.0, 6.5]))
    return Harm(at, at)


def collector_kill(rig: Rig) -> Harm:
    """kill -9 of the collector."""
    rig.site.collector.send(signal.SIGKILL)
    at = time.monotonic()
    return Harm(at, at)


def inference_kill(rig: Rig) -> Harm:
    """SIGKILL or SIGSEGV of the inference process."""
    return _hit_child(rig, INFERENCE, rig.random.choice([signal.SIGKILL, signal.SIGSEGV]))


def inference_stop(rig: Rig) -> Harm:
    """SIGSTOP of the inference process: it hangs and is not dead."""
    return _hit_child(rig, INFERENCE, signal.SIGSTOP)


def decoder_kill(rig: Rig) -> Harm:
    """SIGKILL, SIGSEGV or SIGSTOP of the decoder process."""
    how = rig.random.choice([signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP])
    return _hit_child(rig, DECODER, how)


def disk_full(rig: Rig) -> Harm:
    """The edge's disk takes no more; also still while it is started again; then there is room."""
    if rig.disk is None or rig.random.random() < 0.3:
        return _fill(rig, rig.site.edge)
    rig.disk.fill(rig.random.choice([0, 16_384, 200_000]))
    if rig.random.random() < 0.5:  # and what was in flight is to be accounted for on a full disk
        rig.site.edge.send(signal.SIGKILL)
    _excuse(rig.site.edge, rig.random.uniform(1.0, 4.0))
    rig.disk.empty()
    rig.site.edge.excused = True
    return Harm(time.monotonic())


def collector_disk_full(rig: Rig) -> Harm:
    """The same for the collector."""
    harm = _fill(rig, rig.site.collector)
    return Harm(harm.at, harm.at)


def partition(rig: Rig) -> Harm:
    """The network between edge and collector: silent, one-way, reset, slow, closed, deaf, or flapping."""
    modes: list[Mode] = ["blackhole", "half_open", "reset", "delay", "refuse", "drop"]
    if rig.random.random() < 0.2:  # flapping
        for _ in range(5):
            rig.proxy.set(rig.random.choice(modes))
            time.sleep(rig.random.uniform(0.05, 0.3))
            rig.proxy.set("pass")
            time.sleep(rig.random.uniform(0.05, 0.3))
    else:
        mode = rig.random.choice(modes)
        if mode == "drop" and rig.random.random() < 0.5:  # the edge must connect anew, and nobody answers
            rig.proxy.set("reset")
        rig.proxy.set(mode)
        longest = LONGER_THAN_PATIENCE_S if mode in {"refuse", "drop"} else 3.0
        time.sleep(rig.random.uniform(0.3, longest))
        rig.proxy.set("pass")
    at = time.monotonic()
    return Harm(at, at)


def stale_connection(rig: Rig) -> Harm:
    """A firewall between edge and collector forgets their connection, and tells neither."""
    rig.proxy.make_stale()
    at = time.monotonic()
    return Harm(at, at)


def hostile(rig: Rig) -> Harm:
    """A burst of hostile scans on every lane, and garbage beside it."""
    at = time.monotonic()
    for lane in rig.lanes:
        lane.burst(BURST // len(rig.lanes))
    rig.vandal.rage(GARBAGE)
    end = at + 60
    while any(lane.bursting for lane in rig.lanes) and time.monotonic() < end:
        time.sleep(0.02)
    return Harm(time.monotonic())


def restart(rig: Rig) -> Harm:
    """SIGTERM for both, in either order; started again in either order, with a pause between them."""
    both = [rig.site.edge, rig.site.collector]
    rig.random.shuffle(both)
    for service in both:
        service.stop()
    rig.random.shuffle(both)
    for service in both:
        service.wanted = True
        time.sleep(rig.random.uniform(0, 1.0))
    return Harm(time.monotonic())


def scanner_restart(rig: Rig) -> Harm:
    """A scanner is switched off and on: it forgets what it sent and begins a new epoch."""
    rig.random.choice(rig.lanes).restart_scanner()
    return Harm(time.monotonic())


def subscriber_restart(rig: Rig) -> Harm:
    """The central system is restarted and goes on from its last record."""
    rig.follower.restart_subscriber()
    return Harm(time.monotonic())


def calm(_: Rig) -> Harm:
    """Nothing but traffic for ten seconds: for soaks, in which leaks show."""
    time.sleep(CALM_S)
    return Harm(time.monotonic())


FAULTS: dict[str, Callable[[Rig], Harm]] = {
    fault.__name__: fault
    for fault in (
        edge_kill, collector_kill, inference_kill, inference_stop, decoder_kill, disk_full,
        collector_disk_full, partition, hostile, restart, edge_pause, collector_pause,
        scanner_restart, subscriber_restart, power_cut, collector_power_cut, stale_connection, calm,
    )
}  # fmt: skip
"""By name, as --fault takes them."""
ON_REQUEST = {"calm"}
"""Not done unless named."""


def _hit_child(rig: Rig, module: str, how: signal.Signals) -> Harm:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        pid = rig.site.edge.child(module)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
                return Harm(time.monotonic())
        time.sleep(0.02)
    return Harm(time.monotonic())


def _fill(rig: Rig, service: Service) -> Harm:
    service.excused = True
    service.size_limit = rig.random.choice([0, 4096, 65_536, 300_000])
    service.limit_files()
    _excuse(service, rig.random.uniform(1.0, 4.0))
    service.size_limit = None
    service.excused = True
    service.limit_files()  # it may not have needed the disk and still run
    return Harm(time.monotonic())


def _pause(service: Service, seconds: float) -> float:
    """Stop it for so long; when it went on."""
    service.send(signal.SIGSTOP, excuse=False)
    time.sleep(seconds)
    service.send(signal.SIGCONT, excuse=False)
    return time.monotonic()


def _excuse(service: Service, seconds: float) -> None:
    """For so long, its ends are the fault's work."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        service.excused = True
        time.sleep(0.005)
