"""What its fellows say of a carton, weighed with all that the verifier saw. Pure.

The verifier looks at cartons one by one and keeps nothing; who went before is known elsewhere
(docs/decisions/0012). Each piece of evidence adds a term of its own to the log-odds, so this one may come
later.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from nii_edge.detect import fusion
from nii_edge.detect.anomaly import Null, Oddity
from nii_edge.detect.evidence import FUSED, SHOWN_FROM, SPEAKS_FROM, VERIFIER, of_consignment
from nii_edge.errors import DetectorFaultError
from nii_edge.records import Finding, Outcome

Values = npt.NDArray[np.float64]


class ConsignmentFit(NamedTuple):
    """How honest cartons of one consignment differ, and what all evidence weighs."""

    null: Null
    joint: fusion.Joint


def joined(
    outcome: Outcome, ways: Values, odd: Oddity, joint: fusion.Joint, prior: float, declared: str
) -> Outcome:
    """The verifier's outcome, its joint finding with this evidence, too. `ways` (kinds,): the log-odds of
    each way to lie without it (`fusion.Weighed.ways`); `prior`: that the carton lies;
    `declared`: the line of its papers, in words.

    Raises:
        DetectorFaultError: the evidence adds up to no number.
    """
    if len(ways) != len(joint.parts):
        raise DetectorFaultError(
            f"{VERIFIER}: it weighed {len(ways)} ways to lie, {len(joint.parts)} are fitted here: start anew"
        )
    weighed = fusion.add(joint, ways, of_consignment(odd))
    ratio = float(weighed.terms.sum())
    if not np.isfinite(weighed.log_odds) or not np.isfinite(ratio):
        raise DetectorFaultError(f"{VERIFIER}: with its fellows the evidence adds up to {weighed.log_odds}")
    score = fusion.probability(float(weighed.log_odds), prior)
    words = f"Unlike the others of its master bill, most in {odd.trait}." if ratio >= SPEAKS_FROM else ""
    at = next((k for k, finding in enumerate(outcome.findings) if finding.label == FUSED), None)
    if at is not None:
        own = outcome.findings[at]
        more = msgspec.structs.replace(own, score=score, why=f"{words} {own.why}".strip()[:200])
        return _with(outcome, (*outcome.findings[:at], more, *outcome.findings[at + 1 :]))
    if score < SHOWN_FROM:
        return outcome
    own = Finding(
        detector=VERIFIER, kind="manifest", label=FUSED, category="ANOMALY", score=score, joint=True,
        declared=declared, why=words or "Nothing by itself; all together.",
    )  # fmt: skip
    return _with(outcome, (own, *outcome.findings))


def _with(outcome: Outcome, findings: tuple[Finding, ...]) -> Outcome:
    return msgspec.structs.replace(outcome, findings=findings)
