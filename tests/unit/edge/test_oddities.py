"""Consignments in the edge process: who teaches whom, what is an alarm, what is called back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nii_edge.adapters.sqlite_cartons import open_cartons
from nii_edge.adapters.system_clock import SystemClock
from nii_edge.detect import fusion
from nii_edge.detect.anomaly import APART, LEAST_ODDS, MOST_CARTONS, TRAITS, pool, probability
from nii_edge.detect.evidence import FEATURES as EVIDENCE
from nii_edge.detect.evidence import FUSED, VERIFIER
from nii_edge.detect.fellows import ConsignmentFit
from nii_edge.detect.heat import FEATURES, Blocks
from nii_edge.edge import oddities
from nii_edge.edge.case import Case
from nii_edge.edge.jobs import CartonTraits, JobScan, ViewBlocks
from nii_edge.edge.memory import Memory
from nii_edge.edge.oddities import DETECTOR, LABEL, Oddities
from nii_edge.errors import DetectorFaultError
from nii_edge.policy import AlarmRule, Circumstances, Policy
from nii_edge.records import Band, Finding, Outcome, Recall, ScanId, ScanType, recall_id
from nii_edge.telemetry import Metrics

LIVE, TEST = ScanType.OPERATIONAL, ScanType.NON_OPERATIONAL
ODD = [indicator == "odd_one_out" for indicator, _ in EVIDENCE]
NULL = pool([np.random.default_rng(k).normal(size=(5, len(TRAITS))) for k in range(20)], 0)


def _way(slope: float) -> fusion.Fusion:
    """A way to lie in which a carton is odd among its fellows."""
    odd = np.array(ODD, np.float64)
    return fusion.Fusion(2 * odd, 1 + 0 * odd, slope * odd, 0 * odd, -2.0)


FIT = ConsignmentFit(NULL, fusion.Joint(("swapped", "light"), (_way(0.6), _way(0.0))))
LENIENT = (72,)
POLICY = Policy(
    version=1, name="p", required_for_clear=("shielding",), default_alarm_at=0.9,
    alarms=(
        AlarmRule(detector=DETECTOR, label=LABEL, at=0.08),
        AlarmRule(detector=DETECTOR, label=LABEL, at=1.0, chapters=LENIENT),
    ),
)  # fmt: skip
STRANGE = 9.0


BELTS: list[Belt] = []


@pytest.fixture(autouse=True)
def end_all() -> Iterator[None]:
    """A thread that runs on would keep the whole run from its end."""
    yield
    while BELTS:
        BELTS.pop().end()


class Belt:
    """Cartons that pass one after the other."""

    runs = False

    def __init__(self, state: Path | None = None) -> None:
        """`state`: where cartons are kept over a restart, which another belt begins with."""
        self.recalls: list[Recall] = []
        clock, memory = SystemClock(), None
        if state is not None:
            memory = Memory(lambda: open_cartons(state / "cartons.db", "fit"), "e", clock, Metrics())
        self.memory = memory
        BELTS.append(self)
        self.disk = True
        """Whether recalls get there."""
        self.oddities = Oddities(FIT, 0.02, POLICY, self._recalled, clock, memory)
        self.chapters: tuple[int, ...] = (61,)
        self.ways = (-4.0, -4.0)
        self.others: tuple[Outcome, ...] = ()
        self._seq = 0

    def _recalled(self, recall: Recall, noted: Callable[[], None]) -> None:
        self.recalls.append(recall)
        if self.disk:
            noted()

    def begin(self, recalled: frozenset[str] = frozenset(), seq: int = 0) -> None:
        """Take up what is on disk; the next scan is the one after `seq`."""
        assert self.memory is not None
        self._seq = seq
        for carton in self.memory.read(recalled.intersection):
            self.oddities.resume(carton)
        self.memory.start()
        self.runs = True

    def seq(self, seq: int) -> None:
        self._seq = seq

    def end(self) -> None:
        if self.memory is not None and self.runs:
            self.memory.stop()
        self.runs = False

    def judge(
        self, shift: float = 0.0, bill: str | None = "M", scan_type: ScanType = LIVE, carton: str = ""
    ) -> Outcome:
        self._seq += 1
        scan = ScanId(edge="e", scanner="s", epoch=1, seq=self._seq)
        job = JobScan(id=scan, scan_type=scan_type, carton=carton or f"c{self._seq}", frames=())
        rng = np.random.default_rng(self._seq)
        found = rng.normal(scale=0.6, size=len(TRAITS)) + shift
        found[[*APART]] = 0.0, LEAST_ODDS  # nothing is found in them: that would be odd in any company
        values = tuple(found.tolist())
        view = Blocks(0, (0.0, 0.0, 9.0, 9.0), np.full((3, 3, FEATURES), self._seq, np.uint8))
        traits = None if bill is None else CartonTraits(
            master_bill=bill, values=values, ways=self.ways, views=(ViewBlocks.of(view),),
            declared=f"line {self._seq}"
        )  # fmt: skip
        where = Circumstances("e", "s", self.chapters)
        self.judged = self.oddities.judge(Case(job, 1, 0.0, ()), traits, where, self.others)
        return self.judged.outcomes[-1]


def test_the_first_cartons_and_those_without_papers_are_not_judged() -> None:
    """Two must have gone before; what was not measured is compared with nothing and teaches nothing."""
    belt = Belt()
    said = [belt.judge(), belt.judge(), belt.judge(bill=None), belt.judge()]
    assert [outcome.not_applicable is None for outcome in said] == [False, False, False, True]


def test_spaces_around_a_barcode_are_none_of_it() -> None:
    """One carton that is scanned twice is not two that went before."""
    belt = Belt()
    belt.judge(carton="B")
    belt.judge(carton=" B ")
    assert belt.judge().not_applicable is not None
    assert belt.judge().not_applicable is None


def test_an_odd_carton_is_found_in_words_and_not_recalled_besides() -> None:
    """It was an alarm when it passed; the scans of its fellows stay as they are."""
    belt = Belt()
    for _ in range(4):
        belt.judge()
    (finding,) = belt.judge(STRANGE).findings
    assert finding.score >= 0.08
    assert finding.why.startswith("Unlike the 4 cartons of its master bill before it, most in ")
    for _ in range(4):
        belt.judge()
    assert belt.recalls == []


def test_an_odd_carton_comes_with_what_it_was_compared_with() -> None:
    """For the heat map: its own view and those of its first fellows, never of odd ones; and with its line of
    the papers. A carton like the others brings nothing."""
    belt = Belt()
    for _ in range(3):
        belt.judge()
    for _ in range(2):
        (finding,) = belt.judge(STRANGE).findings
    compared = belt.judged.compared
    assert finding.declared == "line 5"
    assert compared is not None
    assert [int(view.values[0, 0, 0]) for view in compared.own] == [5]
    assert [int(view.values[0, 0, 0]) for views in compared.others for view in views] == [1, 2, 3]
    belt.judge()
    assert belt.judged.compared is None
    for _ in range(9):
        belt.judge()
    belt.judge(STRANGE)
    compared = belt.judged.compared
    assert compared is not None
    assert len(compared.others) == oddities.MOST_TEACHERS


def test_a_poisoned_consignment_is_called_back_once() -> None:
    """The bad ones came first and taught; when they are outnumbered each is recalled, naming its scan."""
    belt = Belt()
    belt.judge(STRANGE, carton="bad-1")
    belt.judge(STRANGE, carton="bad-2")
    for _ in range(8):
        belt.judge()
    assert [(recall.scan.seq, recall.carton) for recall in belt.recalls] == [(1, "bad-1"), (2, "bad-2")]
    for recall in belt.recalls:
        assert recall.because.seq > recall.scan.seq
        assert recall.finding.score >= 0.08
        assert recall.band is Band.REVIEW
        assert recall.risk == round(100 * recall.finding.score, 1)
        assert recall.alert_id not in (recall.scan.alert_id, recall.because.alert_id)


def test_a_recall_obeys_the_rule_of_the_carton_it_is_about() -> None:
    """It declares goods that the policy is lenient with: the later ones' rule does not count for it."""
    belt = Belt()
    belt.chapters = LENIENT
    belt.judge(STRANGE, carton="bad-1")
    belt.chapters = (61,)
    belt.judge(STRANGE, carton="bad-2")
    for _ in range(8):
        belt.judge()
    assert [recall.carton for recall in belt.recalls] == ["bad-2"]


def test_tests_and_other_master_bills_teach_nothing() -> None:
    """Consignments are kept apart, and a rehearsal never speaks of real cartons."""
    belt = Belt()
    for _ in range(6):
        belt.judge(STRANGE, scan_type=TEST)
        belt.judge(STRANGE, bill="other")
    assert belt.judge().not_applicable is not None
    assert belt.judge().not_applicable is not None
    assert belt.judge().findings == ()
    assert belt.recalls == []


def test_consignments_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was quiet longest is forgotten, and begins anew."""
    monkeypatch.setattr(oddities, "MOST_CONSIGNMENTS", 2)
    belt = Belt()
    for bill in ("a", "a", "b", "a", "c"):
        belt.judge(bill=bill)
    assert belt.judge(bill="a").not_applicable is None
    assert belt.judge(bill="b").not_applicable is not None


def test_after_a_restart_a_consignment_goes_on(tmp_path: Path) -> None:
    """The next carton is held against those before it, with their views; an alarm of before is not recalled
    besides."""
    first = Belt(tmp_path)
    first.begin()
    for _ in range(4):
        first.judge()
    first.end()
    second = Belt(tmp_path)
    second.begin(seq=4)
    (finding,) = second.judge(STRANGE, carton="odd").findings
    assert finding.why.startswith("Unlike the 4 cartons of its master bill before it")
    assert second.judged.compared is not None
    taught = [int(view.values[0, 0, 0]) for views in second.judged.compared.others for view in views]
    assert taught == [1, 2, 3, 4]
    second.end()
    third = Belt(tmp_path)
    third.begin(seq=5)
    for _ in range(9):
        third.judge()
    assert third.recalls == []
    third.end()


def test_after_a_restart_bad_ones_that_came_first_are_recalled_once(tmp_path: Path) -> None:
    """Not the one whose recall the ledger has, though the file does not know it yet."""
    first = Belt(tmp_path)
    first.begin()
    first.judge(STRANGE, carton="bad-1")
    first.judge(STRANGE, carton="bad-2")
    first.judge()
    first.end()
    second = Belt(tmp_path)
    second.begin(frozenset({recall_id(ScanId(edge="e", scanner="s", epoch=1, seq=1))}), seq=3)
    for _ in range(9):
        second.judge()
    assert [(recall.scan.seq, recall.carton) for recall in second.recalls] == [(2, "bad-2")]
    second.end()
    third = Belt(tmp_path)
    third.begin(seq=12)
    for _ in range(9):
        third.judge()
    assert third.recalls == []
    third.end()


def test_a_recall_that_never_came_to_disk_is_made_again(tmp_path: Path) -> None:
    """However the life before ended, orderly or not: a carton counts as told once its recall is kept."""
    first = Belt(tmp_path)
    first.disk = False
    first.begin()
    first.judge(STRANGE, carton="bad")
    for _ in range(9):
        first.judge()
    assert [recall.carton for recall in first.recalls] == ["bad"]
    first.end()
    second = Belt(tmp_path)
    second.begin(seq=10)
    for _ in range(3):
        second.judge()
    assert [recall.carton for recall in second.recalls] == ["bad"]
    second.end()


@pytest.mark.parametrize("hostile", ["told", "lenient"])
def test_what_is_on_disk_keeps_no_carton_from_being_recalled(tmp_path: Path, hostile: str) -> None:
    """Though it says that the very cartons to come passed before, and were told, or were such goods as nobody
    minds."""
    before = Belt(tmp_path)
    before.begin()
    before.chapters = LENIENT if hostile == "lenient" else (61,)
    for name in ("bad-1", "bad-2"):
        before.judge(carton=name)
    before.end()
    if hostile == "told":
        with closing(sqlite3.connect(tmp_path / "cartons.db", isolation_level=None)) as file:
            file.execute("UPDATE cartons SET told = 1")
    clean, belt = Belt(), Belt(tmp_path)
    belt.begin(seq=100)
    clean.seq(100)
    for each in (clean, belt):
        each.judge(STRANGE, carton="bad-1")
        each.judge(STRANGE, carton="bad-2")
        for _ in range(9):
            each.judge()
    names = [(recall.scan.seq, recall.carton) for recall in clean.recalls]
    assert names == [(101, "bad-1"), (102, "bad-2")]
    assert set(names) <= {(recall.scan.seq, recall.carton) for recall in belt.recalls}
    belt.end()


def test_what_is_on_disk_makes_no_carton_look_better(tmp_path: Path) -> None:
    """Cartons as strange as the ones to come, put there by whoever can write the file: what those before it
    since the start say counts all the same, and while they are too few nobody says that it is like them."""
    hostile = Belt(tmp_path)
    hostile.begin()
    for _ in range(MOST_CARTONS):
        hostile.judge(STRANGE)
    hostile.end()
    clean, belt = Belt(), Belt(tmp_path)
    belt.begin(seq=100)
    clean.seq(100)
    for each in (belt, clean):
        each.others = (Outcome(detector=VERIFIER),)
    for shift in (STRANGE, 0.0, 0.0, 0.0, 0.0, STRANGE, STRANGE, 0.0):
        found, alone = belt.judge(shift), clean.judge(shift)
        assert (found.not_applicable is None) >= (alone.not_applicable is None)
        if found.not_applicable is None and not found.findings:
            assert alone.not_applicable is None
        assert score_of(found) >= score_of(alone)
        assert joint_score(belt) >= joint_score(clean)
    belt.end()


@given(st.floats(1e-9, 1), st.floats(1e-6, 0.5))
def test_what_a_chance_is_worth(chance: float, prior: float) -> None:
    """Never below the prior, never certain; a smaller chance is never worth less."""
    worth = probability(chance, prior)
    assert prior - 1e-12 <= worth < 1
    assert probability(chance / 2, prior) >= worth - 1e-12


def joint(outcomes: tuple[Outcome, ...]) -> Finding | None:
    found = {each.label: each for each in outcomes[0].findings}
    return found.get(FUSED)


def score_of(outcome: Outcome) -> float:
    return max((each.score for each in outcome.findings), default=0.0)


def joint_score(belt: Belt) -> float:
    found = joint(belt.judged.outcomes)
    return 0.0 if found is None else found.score


def test_what_its_fellows_say_goes_into_the_joint_finding() -> None:
    """The verifier saw nothing: one that differs from its fellows is told all the same, under the verifier's
    name; one that is like them is not. What the verifier said keeps its words, and its other findings."""
    belt = Belt()
    belt.others = (Outcome(detector=VERIFIER), Outcome(detector="shielding"))
    for _ in range(4):
        belt.judge()
        assert belt.judged.outcomes[:2] == belt.others
    belt.judge(STRANGE)
    found = joint(belt.judged.outcomes)
    assert found is not None
    assert (found.detector, found.joint, found.kind) == (VERIFIER, True, "manifest")
    assert found.score > 0.05
    assert found.declared == "line 5"
    assert found.why.startswith("Unlike the others of its master bill, most in ")
    part = Finding(
        detector=VERIFIER, kind="manifest", label="more_parcels", category="ANOMALY", score=0.3, why="Many."
    )
    own = msgspec.structs.replace(part, label=FUSED, joint=True, why="Many, in all.")
    belt.others = (Outcome(detector=VERIFIER, findings=(own, part)),)
    belt.ways = (1.0, 1.0)
    for shift, higher in ((STRANGE, True), (0.0, False)):
        belt.judge(shift)
        first, second = belt.judged.outcomes[0].findings
        assert second == part
        assert (first.score > 0.2) == higher
        assert first.why.endswith("Many, in all.")
        assert first.why.startswith("Unlike") == higher


def test_evidence_of_fellows_that_is_no_number_is_a_fault() -> None:
    """Never silence: the engine makes the scan UNKNOWN of it."""
    belt = Belt()
    belt.others = (Outcome(detector=VERIFIER),)
    for _ in range(3):
        belt.judge()
    belt.ways = (float("inf"), float("-inf"))
    with np.errstate(invalid="ignore"), pytest.raises(DetectorFaultError, match="adds up to"):
        belt.judge()


@given(st.integers(0, 2**31), st.integers(0, len(EVIDENCE)))
def test_evidence_weighs_the_same_now_or_later(seed: int, many: int) -> None:
    """What is missing first and added afterwards comes to the same as all at once."""
    rng = np.random.default_rng(seed)
    shape = 3, len(EVIDENCE)
    parts = zip(
        rng.normal(size=shape), rng.uniform(0.1, 3, shape), *rng.normal(size=(2, *shape)), (0.3, -1.0, 2.0),
        strict=True,
    )  # fmt: skip
    joint = fusion.Joint(("a", "b", "c"), tuple(fusion.Fusion(*each) for each in parts))
    features = rng.normal(size=len(EVIDENCE))
    late = rng.permutation(len(EVIDENCE)) < many
    first = fusion.weigh(joint, np.where(late, np.nan, features))
    both = fusion.add(joint, first.ways, np.where(late, features, np.nan))
    whole = fusion.weigh(joint, features)
    assert both.log_odds == pytest.approx(whole.log_odds)
    assert np.allclose(both.ways, whole.ways)
