"""The uplink over a real ledger, and a line that loses what was in flight without saying so."""

from __future__ import annotations

import hashlib
import select
import time
from pathlib import Path

import pytest
from harness import until

from nii_edge.adapters.sqlite_ledger import SqliteLedger
from nii_edge.adapters.system_clock import SystemClock
from nii_edge.edge.committer import Committer
from nii_edge.edge.uplink import Uplink
from nii_edge.ports import Conclude, Intend, SinkReply
from nii_edge.records import Decision, Gap, Preview, Recall, Report, ScanId, ScanType, Verdict
from nii_edge.telemetry import Metrics
from nii_edge.wire import FetchManifestsMessage

LOST = 3


class LossyLine:
    """A centre that archives all it gets, at the end of a line that swallows what is sent first: as ZeroMQ
    does when it connects anew beneath its socket."""

    def __init__(self, archive: list[str], swallow: int) -> None:
        self._archive, self._swallow = archive, swallow
        self._waiting: list[str] = []

    def wait(self, wake_fd: int, timeout_s: float) -> None:
        select.select([wake_fd], [], [], 0.01 if self._waiting else timeout_s)

    def send(self, record: Report | Gap | Recall | Preview) -> bool:
        key = record.sha256 if isinstance(record, Preview) else record.alert_id
        if self._swallow:
            self._swallow -= 1
        else:
            self._waiting.append(key)
        return True

    def ask(self, question: FetchManifestsMessage) -> bool:  # noqa: ARG002 - a port's method
        return True

    def replies(self) -> list[SinkReply]:
        found, self._waiting = tuple(self._waiting), []
        self._archive += found
        return [SinkReply(archived=found)] if found else []

    def close(self) -> None:
        self._waiting = []


class ThinLine(LossyLine):
    """A line on which a picture takes `SECONDS`, one after the other; nothing is lost."""

    SECONDS = 0.5

    def __init__(self, archive: list[str]) -> None:
        super().__init__(archive, 0)
        self._arrives: list[tuple[float, str]] = []

    def wait(self, wake_fd: int, timeout_s: float) -> None:
        select.select([wake_fd], [], [], min(timeout_s, 0.02))

    def send(self, record: Report | Gap | Recall | Preview) -> bool:
        begins = max([time.monotonic(), *(at for at, _ in self._arrives)])
        picture = isinstance(record, Preview)
        key = record.sha256 if isinstance(record, Preview) else record.alert_id
        self._arrives.append((begins + (self.SECONDS if picture else 0.0), key))
        return True

    def replies(self) -> list[SinkReply]:
        now = time.monotonic()
        self._waiting = [key for at, key in self._arrives if at <= now]
        self._arrives = [(at, key) for at, key in self._arrives if at > now]
        return super().replies()


def scan(seq: int) -> ScanId:
    return ScanId(edge="e", scanner="s", epoch=1, seq=seq)


def concluded(seq: int) -> tuple[Intend, Conclude]:
    verdict = Verdict(id=scan(seq), scan_type=ScanType.OPERATIONAL, decision=Decision.CLEAR)
    report = Report(
        alert_id=scan(seq).alert_id, report_id=scan(seq).report_id, verdict=verdict, received_at_ns=1,
        decided_at_ns=2,
    )  # fmt: skip
    return Intend(scan(seq), ScanType.OPERATIONAL, seq), Conclude(report, None)


def test_what_went_down_with_a_connection_is_sent_again_while_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New records are confirmed all the time, so the line is never silent; the first ones come, too."""
    monkeypatch.setattr("nii_edge.edge.uplink.OVERTAKEN_S", 0.2)
    monkeypatch.setattr("nii_edge.edge.uplink.IDLE_S", 0.05)
    archive: list[str] = []
    lines = iter([LossyLine(archive, LOST)])
    committer = Committer(lambda: SqliteLedger(tmp_path / "ledger.db", "e"), lambda _: None)
    committer.start()
    uplink = Uplink(lambda: next(lines, LossyLine(archive, 0)), committer, SystemClock(), Metrics())
    uplink.start()
    try:
        for seq in range(1, 2_000):
            committer.write(*concluded(seq), then=uplink.nudge)
            time.sleep(0.02)
            if scan(1).alert_id in archive:
                break
        until(lambda: {scan(k).alert_id for k in range(1, seq + 1)} <= set(archive))
        assert seq < 500
        found: int = committer.answer(lambda ledger: ledger.stats().pending)
        until(lambda: committer.answer(lambda ledger: ledger.stats().pending) == 0)
        assert found <= seq
    finally:
        uplink.stop()
        committer.close()


def test_pictures_get_through_a_line_that_takes_long_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than a record may take: nobody gives up what is still on its way, and the line stays."""
    monkeypatch.setattr("nii_edge.edge.uplink.RESEND_AFTER_S", 0.2)
    monkeypatch.setattr("nii_edge.edge.uplink.SLOWEST_BYTES_S", 100)
    archive: list[str] = []
    opened: list[ThinLine] = []
    committer = Committer(lambda: SqliteLedger(tmp_path / "ledger.db", "e"), lambda _: None)
    committer.start()
    shas = []
    for seq in range(1, 5):
        intend, told = concluded(seq)
        data = bytes([seq]) * 200
        picture = Preview(sha256=hashlib.sha256(data).hexdigest(), media_type="image/jpeg", data=data)
        shas.append(picture.sha256)
        committer.write(intend, told._replace(preview=picture))

    def line() -> ThinLine:
        opened.append(ThinLine(archive))
        return opened[-1]

    uplink = Uplink(line, committer, SystemClock(), Metrics())
    uplink.start()
    try:
        until(lambda: set(shas) <= set(archive))
        assert len(opened) == 1
        assert [key for key in archive if key in shas] == shas
    finally:
        uplink.stop()
        committer.close()
