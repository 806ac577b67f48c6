"""Logs and metrics. Every metric name of the edge stands in `Metrics`.

Logs are structured events on stderr: JSON lines for machines, or text for people. Peer-supplied text
goes into fields, never into the event name, and is cut to `MAX_TEXT` characters.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Literal

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from nii_edge.records import Reason, ScanType

MAX_TEXT = 300

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["json", "text"]


def configure_logs(level: LogLevel, form: LogFormat) -> None:
    """Send all structured logs of this process to stderr. Called once, by the command."""
    renderer = (
        structlog.processors.JSONRenderer(sort_keys=False)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _cut_texts,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=_LineWriter.factory(),
        cache_logger_on_first_use=False,
    )


class _LineWriter:
    """Writes lines to stderr from a thread of its own, so that a reader that stalls or goes away can
    neither hold up nor end what is logged about. Lines beyond the queue are dropped and counted."""

    QUEUE = 10_000
    FLUSH_S = 2.0

    def __init__(self) -> None:
        self._lines: queue.Queue[str] = queue.Queue(self.QUEUE)
        self._dropped = 0
        threading.Thread(target=self._write, name="log", daemon=True).start()
        atexit.register(self._flush)

    @classmethod
    def factory(cls) -> Callable[..., _LineWriter]:
        """One writer for all loggers of the process."""
        writer = cls()
        return lambda *_: writer

    def msg(self, line: str) -> None:
        """Queue one line. Never blocks, never raises."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    debug = info = warning = error = critical = log = msg

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            if self._dropped:
                line += f"\n{self._dropped} log lines were dropped: stderr was not read"
                self._dropped = 0
            with contextlib.suppress(OSError, ValueError):  # nobody listens: nobody can be told
                # not sys.stderr: its lock, held while a write stalls, would stop the process from ending
                os.write(2, line.encode("utf-8", "replace") + b"\n")
            self._lines.task_done()

    def _flush(self) -> None:
        """Give the last lines a moment to leave."""
        until = time.monotonic() + self.FLUSH_S
        while self._lines.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.01)


def _cut_texts(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, str) and len(value) > MAX_TEXT and key != "exception":
            event[key] = value[:MAX_TEXT] + "…"
    return event


def logger(part: str) -> FilteringBoundLogger:
    """A logger whose events name the part of the system they come from."""
    log: FilteringBoundLogger = structlog.get_logger(part=part)
    return log


DECODER_REASONS = (Reason.CORRUPT_FRAME, Reason.TOO_LARGE, Reason.TIMEOUT, Reason.MODEL_FAULT)
"""Why a picture does not become pixels: damaged, or its decoder hung; more than a frame may have; no time;
the decoder died."""


class Metrics:
    """The edge's metrics, in a registry of their own so that tests and processes stay apart."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.frames_received = Counter(
            "nii_edge_frames_received_total", "Frames accepted, by scanner.", ["scanner"], registry=r
        )
        self.messages_refused = Counter(
            "nii_edge_messages_refused_total", "Messages refused, by reason.", ["reason"], registry=r
        )
        self.auth_rejected = Counter(
            "nii_edge_auth_rejected_total",
            "Connections refused for want of the right key, by reason (adapters.zmq_security.REASONS).",
            ["reason"],
            registry=r,
        )
        self.frame_duplicates = Counter(
            "nii_edge_frame_duplicates_total",
            "Frames sent again with equal content.",
            ["scanner"],
            registry=r,
        )
        self.overloads = Counter(
            "nii_edge_overloads_total",
            "Frames that found no room, by what the lane's policy did: refer or block.",
            ["scanner", "policy"],
            registry=r,
        )
        self.scans_received = Counter(
            "nii_edge_scans_received_total", "Scans with an intent row.", ["scanner", "scan_type"], registry=r
        )
        self.scans_missing = Counter(
            "nii_edge_scans_missing_total", "Sequence numbers a scanner skipped.", ["scanner"], registry=r
        )
        self.lines_received = Counter(
            "nii_edge_lines_received_total", "Lines taken from line scanners.", ["scanner"], registry=r
        )
        self.lines_lost = Counter(
            "nii_edge_lines_lost_total", "Belt lines that passed unseen.", ["scanner"], registry=r
        )
        self.verdicts = Counter(
            "nii_edge_verdicts_total",
            "Verdicts on disk; scan_type apart, reason empty unless UNKNOWN.",
            ["scanner", "scan_type", "verdict", "reason"],
            registry=r,
        )
        self.bands = Counter(
            "nii_edge_bands_total",
            "Verdicts on disk by what is to be done with the carton: CLEAR, REVIEW, REFER.",
            ["scanner", "scan_type", "band"],
            registry=r,
        )
        self.alarms = Counter(
            "nii_edge_alarms_total", "ALARM verdicts by kind of finding.", ["kind", "label"], registry=r
        )
        self.screening_seconds = Histogram(
            "nii_edge_screening_duration_seconds",
            "Last byte in to verdict on disk.",
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5),
            registry=r,
        )
        self.child_starts = Counter(
            "nii_edge_child_starts_total",
            "Starts of the inference and decoder processes.",
            ["child"],
            registry=r,
        )
        self.decoder_failures = Counter(
            "nii_edge_decoder_failures_total",
            "Pictures that did not become pixels, by the reason of their scan's UNKNOWN (records.Reason).",
            ["reason"],
            registry=r,
        )
        self.commit_seconds = Histogram(
            "nii_edge_ledger_commit_duration_seconds",
            "Commits of the ledger that reached the disk, from the first statement to the end of the sync.",
            buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
            registry=r,
        )
        self.uplink = Counter(
            "nii_edge_uplink_publish_total", "Items sent to the collector, by result.", ["result"], registry=r
        )
        self.outbox_rows = Gauge(
            "nii_edge_outbox_rows", "Items the collector has not confirmed.", ["state"], registry=r
        )
        self.outbox_bytes = Gauge(
            "nii_edge_outbox_bytes",
            "Records and pictures the collector has not confirmed, as they are stored; parked ones left out.",
            registry=r,
        )
        self.outbox_oldest_age = Gauge(
            "nii_edge_outbox_oldest_unsent_age_seconds",
            "Age of the oldest record the collector has not confirmed; 0 if there is none.",
            registry=r,
        )
        self.archived_lag = Gauge(
            "nii_edge_archived_lag_rows",
            "Records sent on the connection to the collector that there is, and not confirmed yet.",
            registry=r,
        )
        self.clear_possible = Gauge(
            "nii_edge_clear_possible", "0 while nothing may be CLEAR: /readyz says why.", registry=r
        )
        self.model_info = Gauge(
            "nii_edge_model_info", "1 for each model that runs: name@version#hash.", ["model"], registry=r
        )
        self.clock_untrusted = Gauge(
            "nii_edge_clock_untrusted",
            "1 for an hour after the wall clock was put by over a minute.",
            registry=r,
        )
        self.clock_stepped = Gauge(
            "nii_edge_clock_stepped_seconds",
            "By how much the wall clock was put since the start, against the clock that only runs.",
            registry=r,
        )
        self.last_frame = Gauge(
            "nii_edge_last_frame_timestamp_seconds",
            "When a frame came last, Unix time.",
            ["scanner"],
            registry=r,
        )
        self.manifests = Counter(
            "nii_edge_manifests_total",
            "Cartons' papers from the collector: new, amended, same, moved, refused. Pages of them: damaged "
            "(refused as a whole), failed (could not be stored).",
            ["result"],
            registry=r,
        )
        self.manifests_behind = Gauge(
            "nii_edge_manifests_behind", "Numbers of the collector's manifests not yet taken.", registry=r
        )
        self.remembered = Counter(
            "nii_edge_cartons_remembered_total",
            "Cartons of master bills on disk: kept; at the start resumed, refused (not what was written). "
            "Files of them: set_aside (damaged, or another version's), failed (not opened, read or written).",
            ["result"],
            registry=r,
        )
        self.disk_free = Gauge("nii_edge_disk_free_bytes", "Free on the disk of the ledger.", registry=r)
        self.self_test_age = Gauge(
            "nii_edge_self_test_age_seconds",
            "Since the last self-test; infinite if there is none.",
            ["scanner", "history"],
            registry=r,
        )
        self.self_test_good = Gauge(
            "nii_edge_self_test_good",
            "1: made in time, passed, and no limit in sight.",
            ["scanner", "history"],
            registry=r,
        )
        self.ledger_entries = Gauge(
            "nii_edge_ledger_entries", "Reports, gaps and recalls in the ledger.", registry=r
        )
        self.ledger_bytes = Gauge(
            "nii_edge_ledger_bytes",
            "Size of the ledger's file, room for new entries in it included, and of the pictures in it.",
            ["what"],
            registry=r,
        )
        self.ledger_scans = Gauge(
            "nii_edge_ledger_scans",
            "The balance on disk: received = clear + alarm + unknown + in_flight.",
            ["scanner", "scan_type", "state"],
            registry=r,
        )
        self.chain_failures = Counter(
            "nii_edge_chain_verify_failures_total", "Findings of ledger verification.", registry=r
        )
        self.recalls = Counter(
            "nii_edge_recalls_total",
            "Scans whose verdict stands but whose carton should be looked at after all.",
            ["scanner", "scan_type"],
            registry=r,
        )
        self.tip = Counter(
            "nii_edge_tip_total",
            "Threats projected into copies of scans, by result (edge.tip_score.Result). No alarms.",
            ["label", "result"],
            registry=r,
        )
        self.verdicts_late = Counter(
            "nii_edge_verdicts_late_total",
            "CLEAR and ALARM on disk after the deadline: whoever waits at the scanner has been told UNKNOWN.",
            ["scanner", "verdict"],
            registry=r,
        )
        self.previews_failed = Counter(
            "nii_edge_previews_failed_total", "Alerts that went without a picture.", registry=r
        )

    def expect(self, scanners: Iterable[str], refusals: Iterable[str]) -> None:
        """Have what is worth an alarm there from the start, at 0: the `increase` of Prometheus does not see
        the step from nothing to 1."""
        for scanner in scanners:
            self.scans_missing.labels(scanner)
            for policy in ("refer", "block"):
                self.overloads.labels(scanner, policy)
            for scan_type in ScanType:
                self.recalls.labels(scanner, scan_type.value)
        for result in ("refused", "damaged", "failed"):
            self.manifests.labels(result)
        for result in ("kept", "resumed", "refused", "set_aside", "failed"):
            self.remembered.labels(result)
        for result in ("sent", "archived", "refused", "resent"):
            self.uplink.labels(result)
        for reason in DECODER_REASONS:
            self.decoder_failures.labels(reason.value)
        for why in refusals:
            self.auth_rejected.labels(why)
