"""The collector's answer to an edge that asks for manifests. No sockets; the store is the caller's."""

from __future__ import annotations

import zlib
from typing import NamedTuple

from nii_edge.manifest_pages import PAGE_BYTES, PAGE_CARTONS, pack, readable
from nii_edge.ports import ManifestSource
from nii_edge.telemetry import logger
from nii_edge.wire import FetchManifestsMessage, ManifestsMessage

TOLD = 20
"""Cartons of one page whose papers are damaged that are named in the log."""
_log = logger("collector")


class PageOut(NamedTuple):
    """A `manifests` message and its second part."""

    message: ManifestsMessage
    payload: bytes


def page_for(fetch: FetchManifestsMessage, source: ManifestSource | None) -> PageOut:
    """The next page for an edge; from the beginning if it comes from another store, or from a later state of
    this one. `source` None: there are no manifests here. Raises ManifestError."""
    if source is None:
        return PageOut(ManifestsMessage(ask=fetch.ask), b"")
    end = source.end()
    known = fetch.store == end.store and fetch.since <= end.number
    since = fetch.since if known else 0
    stored = source.after(since, PAGE_CARTONS, PAGE_BYTES)
    rows = [readable(row) for row in stored]
    damaged = [row.barcode for row, found in zip(rows, stored, strict=True) if row is not found]
    if damaged:
        _log.error(
            "papers in the store are damaged; import them again", count=len(damaged), first=damaged[:TOLD]
        )
    payload = pack(rows)
    upto = rows[-1].number if rows else since
    message = ManifestsMessage(
        ask=fetch.ask,
        store=end.store,
        next=upto,
        last=max(upto, end.number),
        crc32=zlib.crc32(payload),
    )
    return PageOut(message, payload)
