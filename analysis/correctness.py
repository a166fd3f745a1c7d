"""Whether spreading a model over nodes changes what it says: texts and perplexities."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.cells import Series, thing
from analysis.wording import count, listing, nodes, number, percent

MOST_NAMED = 2
"""Series that are named one by one."""


def same_text(all_series: Sequence[Series]) -> list[str]:
    """Where the generated text was compared over nodes and found the same."""
    same = []
    for series in all_series:
        texts = [cell.texts() for cell in series.measured if cell.texts()]
        if len(texts) > 1 and len(set().union(*texts)) == 1:
            same.append(thing(series, all_series))
    if not same:
        return []
    if len(same) > MOST_NAMED:
        return [f"In {len(same)} series the generated text is the same on every number of nodes."]
    return [f"On every number of nodes {listing(same)} generates the same text."]


def perplexity_sentences(all_series: Sequence[Series]) -> list[str]:
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
            sentences.append(f"Perplexity of {about} is {_perplexity(values)}.")
    return sentences


def _perplexity(values: Sequence[tuple[int, float]]) -> str:
    (first_nodes, first), *others = values
    start = f"{number(first, 4)} on {nodes(first_nodes)}"
    if not others:
        return start
    change = max(abs(value / first - 1) for _, value in others)
    counts = listing([count(n) for n, _ in others])
    if change == 0:
        return f"{start} and the same on {counts}"
    return f"{start} and differs from that by at most {percent(change)} on {counts}"
