"""Agreement of a greedy run with the reference implementation."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.agreement.report import Agreed, agreement_table, difference_table
from analysis.blocks import Block, File, Folded, Section, Tabled, cited
from analysis.study import Study
from analysis.text.sentence import say

REFERENCE = (
    "The reference implementation computes the same weights in 32 bits: its first row is what "
    "engines are compared with, its other rows show the effect of rounding the weights alone."
)
JUDGED = "Cells with 32-bit weights must match the reference token by token."
NOT_JUDGED = "Cells with other weights round what nodes exchange and are not judged."
CHANGE = (
    "|Δ log p| is the difference in the logarithm of a token's probability over the scored text: "
    "its mean, and its 99th percentile."
)
DIFFERS_FROM = (
    "“From token”: index of the first token that differs, the earliest of all texts; “Median” is "
    "over the texts that differ."
)
MARGIN = (
    "From the first token that differs. The margin is how far the reference's logit of its token "
    "is above the next one: where it is small, rounding decides."
)


def sections(study: Study) -> Iterator[Section]:
    """Make the section of a greedy run."""
    found = study.agreement
    if found is None:
        return
    title = say("Agreement with the reference")
    made = agreement_table(found.cells)
    shown = Tabled(title, made, tuple(map(say, _notes(found))), File("agreement", found.cells))
    sources = cited(("Reference implementation", ("touvron2023llama", "su2021roformer")))
    blocks = (shown, *_differing(found), *sources)
    files = (File("differing-texts", found.differing),)
    yield Section("agreement", title, blocks, "Agreement", files)


def _notes(found: Agreed) -> Iterator[str]:
    judgements, cells = set(found.cells["judgement"]), found.cells
    yield REFERENCE
    if judgements & {"agrees", "DIFFERS"}:
        yield JUDGED
    if "not judged" in judgements:
        yield NOT_JUDGED
    if cells["mean_change"].notna().any():
        yield CHANGE
    if cells["first_differing"].notna().any():
        yield DIFFERS_FROM


def _differing(found: Agreed) -> Iterator[Block]:
    if not found.differing.empty:
        title = say("Texts that differ")
        file = File("differing-texts", found.differing)
        shown = Tabled(title, difference_table(found.differing), (say(MARGIN),), file)
        yield Folded(title, (shown,))
