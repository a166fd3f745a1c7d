"""What the head of the page says about tuning."""

from __future__ import annotations

from dataclasses import replace

from analysis.tuning.changes import BeforeAfter
from analysis.tuning.records import fault_sentences
from analysis.tuning.sentences import verdict_sentences
from analysis.verdict.verdict import Verdict
from collect.run import RunManifest

NOT_THE_SAME = "the forms of a tuned model differ, see Before and after"
REFUSED = "not all pairs are compared, see Before and after"


def with_tuning(verdict: Verdict, run: RunManifest, found: BeforeAfter) -> Verdict:
    """The verdict with what tuning changed first among its findings.

    Args:
        verdict: of the run.
        run: the run's plan.
        found: what tuning changed.
    """
    faults = [fault for record in run.tuned.values() for fault in fault_sentences(record)]
    reservations = [REFUSED] if found.refusals else []
    reservations += [NOT_THE_SAME] if faults else []
    return replace(
        verdict,
        details=(*verdict_sentences(found.rows, run.equivalence_margin), *verdict.details),
        caveats=(*found.refusals, *faults, *verdict.caveats),
        reservations=(*verdict.reservations, *reservations),
    )
