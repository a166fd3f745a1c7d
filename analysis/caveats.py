"""What a reader must know before he quotes a figure of a run."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.cells import CellResult, Series, subject
from analysis.stats import FEWEST_FOR_INTERVAL, range_coverage
from analysis.wording import bare, count, listing, nodes, percent, plural

SURE = 6
"""Trials from which an interval of a median can cover 95 % at all."""


def caveats_of(all_series: Sequence[Series], *, is_lab: bool) -> tuple[str, ...]:
    """All caveats of a run, the gravest first.

    Args:
        all_series: every series of the run.
        is_lab: the nodes are virtual and share one machine.
    """
    lab = (
        "These nodes are virtual and share the cores and memory of one machine: a lab tells about "
        "software, not about Raspberry Pis or their network."
    )
    return (
        *_texts(all_series),
        *((lab,) if is_lab else ()),
        *_incomplete(all_series),
        *_few(all_series),
    )


def reservations_of(all_series: Sequence[Series], *, is_lab: bool) -> tuple[str, ...]:
    """The gravest caveats in a few words each: texts that differ, gaps, a lab."""
    measured = [cell for series in all_series for cell in series.measured]
    gaps = sum(not cell.is_complete for cell in measured)
    found = (
        "generated texts differ" if _texts(all_series) else "",
        f"{gaps} of {plural(len(measured), 'measured cell')} incomplete" if gaps else "",
        "virtual nodes: about software, not about Raspberry Pis" if is_lab and measured else "",
    )
    return tuple(reservation for reservation in found if reservation)


def _texts(all_series: Sequence[Series]) -> list[str]:
    """Greedy text must not depend on the number of nodes."""
    sentences = []
    for series in all_series:
        cells = [cell for cell in series.measured if cell.texts()]
        if len(set().union(*(cell.texts() for cell in cells))) > 1:
            sentences.append(
                f"The text generated {subject(series, all_series)} {_where(cells)}: look at "
                "correctness before speed."
            )
    return sentences


def _where(cells: Sequence[CellResult]) -> str:
    first = cells[0]
    other = [nodes(cell.nodes) for cell in cells[1:] if cell.texts() != first.texts()]
    if len(first.texts()) > 1 or not other:
        return "differs from trial to trial"
    return f"differs on {listing(other)} from that on {nodes(first.nodes)}"


def _incomplete(all_series: Sequence[Series]) -> list[str]:
    return [
        f"Incomplete: {_gap(series, cell, all_series)}; the figures are medians of those."
        for series in all_series
        for cell in series.measured
        if not cell.is_complete
    ]


def _gap(series: Series, cell: CellResult, all_series: Sequence[Series]) -> str:
    verb = "stands" if cell.nodes == 1 else "stand"
    why = f" ({bare(cell.reasons[0])})" if cell.reasons else ""
    return f"{nodes(cell.nodes)} {subject(series, all_series)} {verb} on {cell.state}{why}"


def _few(all_series: Sequence[Series]) -> list[str]:
    done = [cell.counts["done"] for series in all_series for cell in series.measured]
    if not done or min(done) >= SURE:
        return []
    fewest = min(done)
    if fewest < FEWEST_FOR_INTERVAL:
        trials = f"{count(fewest)} trial{'' if fewest == 1 else 's'}"
        return [f"Some cells have only {trials}: their figures are points without an interval."]
    most = percent(range_coverage(fewest))
    sentence = (
        f"Of {count(fewest)} trials even the whole range covers the true median with no more than "
        f"{most}: intervals are narrower than they seem; {count(SURE)} trials would do."
    )
    return [sentence]
