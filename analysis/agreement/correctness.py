"""Whether spreading a model over nodes changes what it says: texts and perplexities."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.cells.series import Series, thing
from analysis.text.sentence import Sentence, say
from analysis.text.wording import count, listing, nodes, number, percent

SAME_TEXT = "On every number of nodes {series} generates the same text."
SAME_TEXTS = "In {series} series the generated text is the same on every number of nodes."
PERPLEXITY = "Perplexity of {series} is {value}."
ON = "{value} on {nodes}"
UNCHANGED = "{value} and the same on {nodes}"
CHANGED = "{value} and differs from that by at most {change} on {nodes}"
MOST_NAMED = 2
"""Series that are named one by one."""


def same_text(all_series: Sequence[Series]) -> list[Sentence]:
    """Where the generated text was compared over nodes and found the same."""
    same = []
    for series in all_series:
        texts = [cell.texts() for cell in series.measured if cell.texts()]
        if len(texts) > 1 and len(set().union(*texts)) == 1:
            same.append(thing(series, all_series))
    if not same:
        return []
    if len(same) > MOST_NAMED:
        return [say(SAME_TEXTS, series=len(same))]
    return [say(SAME_TEXT, series=listing(same))]


def perplexity_sentences(all_series: Sequence[Series]) -> list[Sentence]:
    """Whether spreading a model over nodes changes what it predicts."""
    sentences = []
    for series in all_series:
        values = [
            (cell.nodes, found.value)
            for cell in series.measured
            if (found := cell.estimate("perplexity"))
        ]
        if values:
            about = thing(series, all_series)
            sentences.append(say(PERPLEXITY, series=about, value=_perplexity(values)))
    return sentences


def _perplexity(values: Sequence[tuple[int, float]]) -> Sentence:
    (first_nodes, first), *others = values
    start = say(ON, value=number(first, 4), nodes=nodes(first_nodes))
    if not others:
        return start
    change = max(abs(value / first - 1) for _, value in others)
    counts = listing([count(n) for n, _ in others])
    if change == 0:
        return say(UNCHANGED, value=start, nodes=counts)
    return say(CHANGED, value=start, change=percent(change), nodes=counts)
