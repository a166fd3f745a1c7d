"""What a reader must know before he quotes a figure of a run."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.cells import CellResult, Series, subject
from analysis.stats import FEWEST_FOR_INTERVAL, range_coverage
from analysis.wording import bare, count, listing, nodes, percent, plural
from collect.errors import HerdError
from models.catalogue import load_catalogue

PLAIN = "petals"
"""The engine that gets a padded model without its padding."""
SURE = 6
"""Trials from which an interval of a median can cover 95 % at all."""
MOST_NAMED = 3
"""Incomplete cells that are named one by one."""


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
        *_emulated(all_series),
        *_texts(all_series),
        *((lab,) if is_lab else ()),
        *_padded(all_series),
        *_pending(all_series),
        *_incomplete(all_series),
        *_few(all_series),
    )


def reservations_of(all_series: Sequence[Series], *, is_lab: bool) -> tuple[str, ...]:
    """The gravest caveats in a few words each: texts that differ, gaps, a lab."""
    measured = [cell for series in all_series for cell in series.measured]
    gaps = sum(not cell.is_complete for cell in measured)
    pending = _count_pending(all_series)
    emulated = [cell for cell in measured if cell.emulated]
    found = (
        f"emulated processors: no speed of {plural(len(emulated), 'cell')}" if emulated else "",
        "generated texts differ" if _texts(all_series) else "",
        f"{plural(pending, 'trial')} pending" if pending and measured else "",
        f"{gaps} of {plural(len(measured), 'measured cell')} incomplete" if gaps else "",
        "virtual nodes: about software, not about Raspberry Pis" if is_lab and measured else "",
    )
    return tuple(reservation for reservation in found if reservation)


def _emulated(all_series: Sequence[Series]) -> list[str]:
    """An emulated processor's time is the emulator's."""
    measured = [cell for series in all_series for cell in series.measured]
    names = dict.fromkeys(name for cell in measured for name in cell.emulated)
    if not names:
        return []
    cells = sum(bool(cell.emulated) for cell in measured)
    sentence = (
        f"The processor of {listing(list(names))} is emulated: what it takes says nothing of any "
        f"machine, so the speed of {cells} of {plural(len(measured), 'measured cell')} is no "
        "measurement and is not shown; texts, perplexity and traffic are as on real ones."
    )
    return [sentence]


def _texts(all_series: Sequence[Series]) -> list[str]:
    """Greedy text must not depend on the number of nodes."""
    sentences = []
    for series in all_series:
        cells = [cell for cell in series.measured if cell.texts()]
        if len(set().union(*(cell.texts() for cell in cells))) > 1:
            advice = (
                "look at correctness before speed"
                if series.weights == "f32"
                else "quantised weights make nodes exchange rounded values, so look at perplexity"
            )
            sentences.append(
                f"The text generated {subject(series, all_series)} {_where(cells)}: {advice}."
            )
    return sentences


def _padded(all_series: Sequence[Series]) -> list[str]:
    """Zero heads let more nodes share a model; who computes them like all others."""
    catalogue = load_catalogue()
    sentences = []
    for name in dict.fromkeys(series.model for series in all_series if series.measured):
        try:
            spec = catalogue.get(name)
        except HerdError:  # gone from the catalogue since the run
            continue
        if spec.unpadded is not None:
            without = any(s.model == name and s.engine == PLAIN for s in all_series if s.measured)
            fairness = (
                f"{PLAIN} alone gets the model without them, which is to its advantage; the others "
                "would be faster without, too."
                if without
                else "Every engine computes them like the others, so engines compare fairly, and "
                "each would be faster without."
            )
            sentences.append(
                f"{name} is {spec.unpadded.name} with {spec.shape.heads} heads instead of "
                f"{spec.unpadded.shape.heads}: the added ones are zeros, which let more nodes "
                f"share it and change no word. {fairness}"
            )
    return sentences


def _where(cells: Sequence[CellResult]) -> str:
    first = cells[0]
    other = [nodes(cell.nodes) for cell in cells[1:] if cell.texts() != first.texts()]
    if len(first.texts()) > 1 or not other:
        return "differs from trial to trial"
    return f"differs on {listing(other)} from that on {nodes(first.nodes)}"


def _count_pending(all_series: Sequence[Series]) -> int:
    return sum(cell.counts["pending"] for series in all_series for cell in series.cells)


def _pending(all_series: Sequence[Series]) -> list[str]:
    pending = _count_pending(all_series)
    if not pending:
        return []
    verb = "is" if pending == 1 else "are"
    return [f"{plural(pending, 'trial')} {verb} pending: the same `fab run-matrix` goes on."]


def _incomplete(all_series: Sequence[Series]) -> list[str]:
    measured = [(series, cell) for series in all_series for cell in series.measured]
    gaps = [(series, cell) for series, cell in measured if not cell.is_complete]
    if len(gaps) > MOST_NAMED:
        sentence = (
            f"Incomplete: {len(gaps)} of {len(measured)} measured cells stand on fewer trials than "
            "planned, as the table of cells says; their figures are medians of those."
        )
        return [sentence]
    return [
        f"Incomplete: {_gap(series, cell, all_series)}; the figures are medians of those."
        for series, cell in gaps
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
        f"With {count(fewest)} trials in a cell a 95 % interval of a median really covers {most} "
        f"at most: plan {count(SURE)} or more."
    )
    return [sentence]
