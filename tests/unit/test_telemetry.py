"""The metrics as a scrape sees them, and the page that explains them."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram

from nii_edge.telemetry import DECODER_REASONS, Metrics

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "OPERATIONS.md"


def named(metrics: Metrics) -> set[str]:
    """Every metric's name as it is scraped, with its labels."""
    found = set()
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            ending = "_total" if isinstance(metric, Counter) else ""
            labels = ",".join(metric._labelnames)
            found.add(f"{metric._name}{ending}" + (f"{{{labels}}}" if labels else ""))
    return found


def test_the_page_for_operators_lists_every_metric_and_no_other() -> None:
    """The rows of its table are the metrics of `Metrics`, with their labels."""
    rows = [line for line in OPERATIONS.read_text().splitlines() if line.startswith("| `nii_edge_")]
    listed = {name for row in rows for name in re.findall(r"`(nii_edge_[^`]+)`", row.split("|")[1])}
    assert listed == named(Metrics())


def test_failures_to_decode_are_there_before_the_first() -> None:
    """At 0 from the start: a rate sees no step from nothing to 1."""
    metrics = Metrics()
    metrics.expect((), ())
    for reason in DECODER_REASONS:
        labels = {"reason": reason.value}
        assert metrics.registry.get_sample_value("nii_edge_decoder_failures_total", labels) == 0
