"""What a reader must know before he quotes a figure of a run."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.cells import CellResult, Series, subject
from analysis.scaling import DECODE
from analysis.scaling_text import thrown_away
from analysis.stats import FEWEST, range_coverage
from analysis.wording import bare, count, listing, nodes, percent, plural
from core.errors import HerdError
from models.catalogue import load_catalogue

PLAIN = "petals"
"""The engine that gets a padded model without its padding."""
MOST_NAMED = 3
"""Incomplete cells that are named one by one."""


def caveats_of(
    all_series: Sequence[Series], *, is_lab: bool, has_speed: bool = True
) -> tuple[str, ...]:
    """All caveats of a run, the gravest first.

    Args:
        all_series: every series of the run.
        is_lab: the nodes are virtual and share one machine.
        has_speed: the verdict tells of speed over nodes, whose unit is the trial; answers are
            compared over questions.
    """
    lab = (
        "These nodes are virtual and share the cores and memory of one machine: a lab tells about "
        "software, not about Raspberry Pis or their network."
    )
    return (
        *_emulated(all_series),
        *_thrown(all_series),
        *_texts(all_series),
        *((lab,) if is_lab else ()),
        *_padded(all_series),
        *_pending(all_series),
        *_incomplete(all_series),
        *(_few(all_series) if has_speed else ()),
    )


def reservations_of(
    all_series: Sequence[Series], *, is_lab: bool, has_speed: bool = True
) -> tuple[str, ...]:
    """The gravest caveats in a few words each: attempts, texts, gaps, few trials, a lab."""
    measured = [cell for series in all_series for cell in series.measured]
    gaps = sum(not cell.is_complete for cell in measured)
    pending = _count_pending(all_series)
    emulated = [cell for cell in measured if cell.emulated]
    found = (
        f"emulated processors: no speed of {plural(len(emulated), 'cell')}" if emulated else "",
        thrown_away([cell for series in all_series for cell in series.cells]) if measured else "",
        "generated texts differ" if _texts(all_series) else "",
        f"{plural(pending, 'trial')} pending" if pending and measured else "",
        f"{gaps} of {plural(len(measured), 'measured cell')} incomplete" if gaps else "",
        _few_in_short(all_series) if has_speed else "",
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
    # Those that did not end may be the slow ones: what is averaged are the others.
    gaps = [(series, cell) for series, cell in measured if not cell.is_complete]
    if len(gaps) > MOST_NAMED:
        sentence = (
            f"Incomplete: {len(gaps)} of {len(measured)} measured cells stand on fewer trials than "
            "planned, as the table of cells says; their figures are medians of those that ended "
            "well, which need not be like the rest."
        )
        return [sentence]
    return [
        f"Incomplete: {_gap(series, cell, all_series)}; "
        "the figures are medians of those that ended well."
        for series, cell in gaps
    ]


def _gap(series: Series, cell: CellResult, all_series: Sequence[Series]) -> str:
    verb = "stands" if cell.nodes == 1 else "stand"
    why = f" ({bare(cell.reasons[0])})" if cell.reasons else ""
    return f"{nodes(cell.nodes)} {subject(series, all_series)} {verb} on {cell.state}{why}"


def _thrown(all_series: Sequence[Series]) -> list[str]:
    """Figures of the attempts that counted are not what somebody gets who tries once."""
    cells = [cell for series in all_series for cell in series.cells]
    hit = [cell for cell in cells if cell.attempts.thrown]
    if not hit or not any(cell.is_measured for cell in cells):
        return []
    where = f" in {len(hit)} of {len(cells)} cells" if len(hit) > 1 else ""
    sentence = (
        f"{thrown_away(cells)}{where}: every figure is of the attempts that counted, and tells of "
        "a cluster on its better tries."
    )
    return [sentence]


def _timed(all_series: Sequence[Series]) -> list[int]:
    """How many trials each cell has whose speed was measured."""
    return [
        len(speeds)
        for series in all_series
        for cell in series.measured
        if (speeds := cell.by_block(DECODE))
    ]


def _few(all_series: Sequence[Series]) -> list[str]:
    trials = _timed(all_series)
    few = sorted({n for n in trials if n < FEWEST})
    if not few:
        return []
    told = [_coverage(n, trials.count(n), len(trials)) for n in few]
    sentence = (
        f"{listing(told)}. Below {count(FEWEST)} trials no cell is called faster or slower: plan "
        f"{count(FEWEST)} or more."
    )
    return [sentence[:1].upper() + sentence[1:]]


def _coverage(n: int, cells: int, of: int) -> str:
    who = f"{cells} of {of} cells"
    if cells == of:
        who = "the cell" if of == 1 else "each cell"
    stands = "the speed" if cells in (1, of) else "the speeds"
    verb = "is" if cells in (1, of) else "are"
    if n == 1:
        return f"{stands} of {who} {verb} of one trial, without a range"
    return (
        f"{stands} of {who} {verb} of {count(n)} trials, whose range holds the true median in "
        f"{percent(range_coverage(n))} of runs"
    )


def _few_in_short(all_series: Sequence[Series]) -> str:
    trials = _timed(all_series)
    few = sum(n < FEWEST for n in trials)
    if not few:
        return ""
    who = (
        "each cell has"
        if few == len(trials)
        else f"{few} of {len(trials)} cells {'has' if few == 1 else 'have'}"
    )
    return f"{who} fewer than {count(FEWEST)} trials, too few to call one faster"
