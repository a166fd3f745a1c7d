"""Noise: how far identical arms differ, and the floor below which no difference is reported."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.answers.accuracy import p_in_words
from analysis.blocks import Block, File, Prose, Section, Tabled, cited
from analysis.cells.arms import Noise
from analysis.cells.tabulate import table
from analysis.charted import charted
from analysis.charts.noise import noise_chart
from analysis.study import Study
from analysis.text.sentence import say
from analysis.text.wording import NOTHING, ratio
from analysis.verdict.noise_text import noise_sentences

TITLE = "Noise"
CAPTION = "Identical arms"
READ = (
    "Each cell was measured as two arms, which are the same in everything. Ratios are of arm a to "
    "arm b, paired by block. All rows are corrected together (Holm), apart from the comparisons of "
    "the rest of the report. No other section has a speed of arm b."
)
NOTHING_YET = "No cell has a speed of both arms yet."


def sections(study: Study) -> Iterator[Section]:
    """Make the section of a run that measured cells twice."""
    noise = study.noise
    if noise is None:
        return
    sentences = tuple(noise_sentences(noise)) or (say(NOTHING_YET),)
    blocks: list[Block] = [Prose((sentence,)) for sentence in sentences]
    chart = noise_chart(noise.twice, noise.floors)
    blocks += charted([chart]) if chart else ()
    blocks += _rows(noise)
    if noise.floors:
        blocks += cited(("Student's bound", "student1908"), ("Chi-square", "wilson1931"))
    floors = File("noise-floor", noise.floor_frame)
    yield Section("noise", say(TITLE), tuple(blocks), say(TITLE), (floors,))


def _rows(noise: Noise) -> Iterator[Tabled]:
    rows = [
        [
            one.what,
            one.name,
            str(one.compared.pair.n),
            NOTHING if one.compared.ratio is None else ratio(one.compared.ratio, brief=True),
            NOTHING if one.compared.p_adjusted is None else p_in_words(one.compared.p_adjusted),
            str(one.compared.finding),
        ]
        for one in noise.twice
    ]
    columns = ("What", "Cell", "Pairs", "Arm a to arm b (95 %)", "p (Holm)", "Verdict")
    if rows:
        shown = table(columns, rows, columns[2:5])
        yield Tabled(say(CAPTION), shown, (say(READ),), File("noise-arms", noise.frame))
