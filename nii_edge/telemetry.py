"""Logs and metrics. Every metric name of the edge stands in `Metrics`.

Logs are structured events on stderr: JSON lines for machines, or text for people. Peer-supplied text
goes into fields, never into the event name, and is cut to `MAX_TEXT` characters.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _cut_texts(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, str) and len(value) > MAX_TEXT and key != "exception":
            event[key] = value[:MAX_TEXT] + "…"
    return event


def logger(part: str) -> FilteringBoundLogger:
    """A logger whose events name the part of the system they come from."""
    log: FilteringBoundLogger = structlog.get_logger(part=part)
    return log


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
        self.frame_duplicates = Counter(
            "nii_edge_frame_duplicates_total",
            "Frames sent again with equal content.",
            ["scanner"],
            registry=r,
        )
        self.scans_received = Counter(
            "nii_edge_scans_received_total", "Scans with an intent row.", ["scanner", "scan_type"], registry=r
        )
        self.scans_missing = Counter(
            "nii_edge_scans_missing_total", "Sequence numbers a scanner skipped.", ["scanner"], registry=r
        )
        self.verdicts = Counter(
            "nii_edge_verdicts_total",
            "Verdicts on disk; scan_type apart, reason empty unless UNKNOWN.",
            ["scanner", "scan_type", "verdict", "reason"],
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
        self.uplink = Counter(
            "nii_edge_uplink_publish_total", "Items sent to the collector, by result.", ["result"], registry=r
        )
        self.outbox_rows = Gauge(
            "nii_edge_outbox_rows", "Items the collector has not confirmed.", ["state"], registry=r
        )
        self.previews_failed = Counter(
            "nii_edge_previews_failed_total", "Alerts that went without a picture.", registry=r
        )
