"""What a reader must know before he quotes a figure of a run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from analysis.cells.cells import CellResult
from analysis.cells.divisions import divisions_of
from analysis.cells.scaling import DECODE
from analysis.cells.series import Series, subject
from analysis.statistics.stats import FEWEST, range_coverage
from analysis.text.sentence import Sentence, capital, say, together
from analysis.text.wording import bare, count, listing, nodes, percent, plural
from analysis.verdict.scaling_text import has_survivors, thrown_away
from core.errors import HerdError
from core.record import Scalar
from models.catalogue import load_catalogue

LAB = (
    "These nodes are virtual and share the cores and memory of one machine: results from a lab are "
    "about software, not about Raspberry Pis or their network."
)
QUOTA = (
    "A CPU quota stops {nodes} again and again: they have less of a core than their threads want. "
    "Engines report such a stop as synchronising at the other nodes, as if the network were slow."
)
ONE_AFTER_ANOTHER = (
    "{divisions} hardly generated at the same time: figures of one user are without the others at "
    "work."
)
EMULATED = (
    "The processor of {nodes} is emulated, so its times say nothing about a real machine. The "
    "speed of {cells} of {measured} is therefore not shown; texts, perplexity and traffic are as "
    "on real ones."
)
SOFTWARE = (
    "The GPU of {nodes} is software ({names}): it computes on the processor. The speed of {cells} "
    "of {measured} is shown and compared with no other; texts and correctness are compared."
)
TEXT_DIFFERS = "The text generated {about} {where}."
FROM_TRIAL_TO_TRIAL = "differs from trial to trial"
ON_NODES = "differs on {others} from that on {first}"
CORRECTNESS = "Look at correctness before speed."
ROUNDED = "With quantised weights nodes exchange rounded values, so look at perplexity."
PADDED = (
    "{model} is {unpadded} with {heads} heads instead of {before}: the added ones are zeros, which "
    "let more nodes share it and change no word."
)
UNPADDED_ALONE = (
    "{engine} alone gets the model without them, which is to its advantage; the others would be "
    "faster without them, too."
)
ALL_PADDED = (
    "Every engine computes them like the others, so engines compare fairly, and each would be "
    "faster without them."
)
PENDING_ONE = "{trials} is pending: run the same `fab run-matrix` again to continue."
PENDING = "{trials} are pending: run the same `fab run-matrix` again to continue."
MANY_INCOMPLETE = (
    "Incomplete: {gaps} of {measured} measured cells have fewer trials than planned (see the table "
    "of cells). Their figures are medians of the trials that succeeded, which need not be like the "
    "rest."
)
INCOMPLETE = "Incomplete: {gap}. The figures are medians of the trials that succeeded."
GAP = "{nodes} {about}, {state}"
WITH_REASON = "{what} ({reason})"
IN_CELLS = "{what} in {hit} of {cells} cells"
BETTER_TRIES = (
    "{thrown}: every figure is of the attempts that counted, so it shows the cluster at its better "
    "tries."
)
NONE_SUCCEEDED = "{thrown}: no attempt succeeded there, so those cells have no figure."
FEW = "{coverage}. Below {fewest} trials no cell is called faster or slower: plan {fewest} or more."
FEW_ARE_LEFT = (
    "{coverage}. Below {fewest} trials no cell is called faster or slower. As many were planned: "
    "see what did not work."
)
FEW_SO_FAR = (
    "{coverage}. Below {fewest} trials no cell is called faster or slower. As many were planned, "
    "and some are pending."
)
FEW_OF_BOTH = (
    "{coverage}. Below {fewest} trials no cell is called faster or slower. As many were planned: "
    "some are pending, others failed (see what did not work)."
)
FROM_ONE = "the speed of {cells} is from one trial, without a range"
FROM_FEW = (
    "the speed of {cells} is from {trials} trials, whose range holds the true median in {coverage} "
    "of runs"
)
SYNC = "sync_ms_per_token"
PLAIN = "petals"
"""The engine that gets a padded model without its padding."""
MOST_NAMED = 3
"""Incomplete cells that are named one by one."""


def caveats_of(
    all_series: Sequence[Series],
    *,
    is_lab: bool,
    has_speed: bool = True,
    pending: int | None = None,
) -> tuple[str, ...]:
    """All caveats of a run, the gravest first.

    Args:
        all_series: every series of the run.
        is_lab: the nodes are virtual and share one machine.
        has_speed: the verdict is about speed over nodes, whose unit is the trial; answers are
            compared over questions.
        pending: trials of the whole run, second arms included; by default those of the series.
    """
    return (
        *_emulated(all_series),
        *_software(all_series),
        *_thrown(all_series),
        *_texts(all_series),
        *((say(LAB),) if is_lab else ()),
        *_quota(all_series),
        *_one_after_another(all_series),
        *_padded(all_series),
        *_pending(_count_pending(all_series) if pending is None else pending),
        *_incomplete(all_series),
        *(_few(all_series) if has_speed else ()),
    )


def _quota(all_series: Sequence[Series]) -> tuple[Sentence, ...]:
    """Say what is wrong with synchronising where nodes are stopped; nothing if none is measured."""
    cells = (cell for series in all_series for cell in series.measured if cell.nodes > 1)
    stopped = [name for cell in cells if cell.by_block(SYNC) for name in cell.on_quota]
    return (say(QUOTA, nodes=listing(list(dict.fromkeys(stopped)))),) if stopped else ()


def _one_after_another(all_series: Sequence[Series]) -> tuple[Sentence, ...]:
    """Name deployments that were to be at work at once, and were not."""
    names = [
        one.words
        for group in divisions_of(all_series)
        for one in group
        if one.one_user and not one.of_all
    ]
    told = listing(list(dict.fromkeys(names)))
    return (say(ONE_AFTER_ANOTHER, divisions=told),) if names else ()


def reservations_of(
    all_series: Sequence[Series],
    *,
    is_lab: bool,
    has_speed: bool = True,
    pending: int | None = None,
) -> tuple[str, ...]:
    """The gravest caveats in a few words each: attempts, texts, gaps, few trials, a lab."""
    measured = [cell for series in all_series for cell in series.measured]
    gaps = sum(not cell.is_complete for cell in measured)
    pending = _count_pending(all_series) if pending is None else pending
    emulated = [cell for cell in measured if cell.emulated]
    software = [cell for cell in measured if cell.software]
    found = (
        say("emulated processors: no speed of {emulated}", emulated=plural(len(emulated), "cell"))
        if emulated
        else "",
        say(
            "software GPU: the speed of {software} is not compared",
            software=plural(len(software), "cell"),
        )
        if software
        else "",
        thrown_away([cell for series in all_series for cell in series.cells]) if measured else "",
        "generated texts differ" if _texts(all_series) else "",
        say("{pending} pending", pending=plural(pending, "trial")) if pending and measured else "",
        say(
            "{gaps} of {measured} incomplete",
            gaps=gaps,
            measured=plural(len(measured), "measured cell"),
        )
        if gaps
        else "",
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
    told = say(
        EMULATED,
        nodes=listing(list(names)),
        cells=cells,
        measured=plural(len(measured), "measured cell"),
    )
    return [told]


def _software(all_series: Sequence[Series]) -> list[Sentence]:
    """What software takes in place of a GPU says nothing about GPUs."""
    measured = [cell for series in all_series for cell in series.measured]
    cells = [cell for cell in measured if cell.software]
    if not cells:
        return []
    used = {name: cell.gpus[name].name for cell in cells for name in cell.software}
    told = say(
        SOFTWARE,
        nodes=listing(list(used)),
        names=listing(list(dict.fromkeys(used.values()))),
        cells=len(cells),
        measured=plural(len(measured), "measured cell"),
    )
    return [told]


def _texts(all_series: Sequence[Series]) -> list[Sentence]:
    """Greedy text must not depend on the number of nodes."""
    sentences = []
    for series in all_series:
        cells = [cell for cell in series.measured if cell.texts()]
        if len(set().union(*(cell.texts() for cell in cells))) > 1:
            advice = CORRECTNESS if series.weights == "f32" else ROUNDED
            about, where = subject(series, all_series), _where(cells)
            differs = say(TEXT_DIFFERS, about=about, where=where)
            sentences.append(together([differs, say(advice)]))
    return sentences


def _padded(all_series: Sequence[Series]) -> list[Sentence]:
    """Zero heads let more nodes share a model; who computes them like all others."""
    sentences = []
    for name, (heads, unpadded, before) in _padded_models(all_series).items():
        without = any(s.model == name and s.engine == PLAIN for s in all_series if s.measured)
        padded = say(PADDED, model=name, unpadded=unpadded, heads=heads, before=before)
        fairness = say(UNPADDED_ALONE, engine=PLAIN) if without else say(ALL_PADDED)
        sentences.append(together([padded, fairness]))
    return sentences


def padded_heads(all_series: Sequence[Series]) -> dict[str, Scalar]:
    """Count the heads of each model that has added ones, and of the same without them."""
    return {
        f"heads of {name}": count
        for padded, (heads, unpadded, before) in _padded_models(all_series).items()
        for name, count in ((padded, heads), (unpadded, before))
    }


def _padded_models(all_series: Sequence[Series]) -> dict[str, tuple[int, str, int]]:
    """Models with added heads: how many heads, the model without them, and how many that has."""
    catalogue, found = load_catalogue(), {}
    for name in dict.fromkeys(series.model for series in all_series if series.measured):
        with suppress(HerdError):  # gone from the catalogue since the run
            spec = catalogue.get(name)
            if (before := spec.unpadded) is not None:
                found[name] = (spec.shape.heads, before.name, before.shape.heads)
    return found


def _where(cells: Sequence[CellResult]) -> str:
    first = cells[0]
    other = [nodes(cell.nodes) for cell in cells[1:] if cell.texts() != first.texts()]
    if len(first.texts()) > 1 or not other:
        return say(FROM_TRIAL_TO_TRIAL)
    return say(ON_NODES, others=listing(other), first=nodes(first.nodes))


def _count_pending(all_series: Sequence[Series]) -> int:
    return sum(cell.counts["pending"] for series in all_series for cell in series.cells)


def _pending(pending: int) -> list[str]:
    if not pending:
        return []
    return [say(PENDING_ONE if pending == 1 else PENDING, trials=plural(pending, "trial"))]


def _incomplete(all_series: Sequence[Series]) -> list[str]:
    measured = [(series, cell) for series in all_series for cell in series.measured]
    # Those that did not end may be the slow ones: what is averaged are the others.
    gaps = [(series, cell) for series, cell in measured if not cell.is_complete]
    if len(gaps) > MOST_NAMED:
        return [say(MANY_INCOMPLETE, gaps=len(gaps), measured=len(measured))]
    told = together((_gap(series, cell, all_series) for series, cell in gaps), "; ")
    return [say(INCOMPLETE, gap=told)] if gaps else []


def _gap(series: Series, cell: CellResult, all_series: Sequence[Series]) -> str:
    gap = say(GAP, nodes=nodes(cell.nodes), about=subject(series, all_series), state=cell.state)
    return say(WITH_REASON, what=gap, reason=bare(cell.reasons[0])) if cell.reasons else gap


def _thrown(all_series: Sequence[Series]) -> list[str]:
    """Warn that a single try may give other figures than the attempts that counted."""
    cells = [cell for series in all_series for cell in series.cells]
    hit = [cell for cell in cells if cell.attempts.thrown]
    if not hit or not any(cell.is_measured for cell in cells):
        return []
    told, several = thrown_away(cells), len(hit) > 1
    where = say(IN_CELLS, what=told, hit=len(hit), cells=len(cells)) if several else told
    return [say(BETTER_TRIES if has_survivors(cells) else NONE_SUCCEEDED, thrown=where)]


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
    timed = (cell for series in all_series for cell in series.measured if cell.by_block(DECODE))
    short = [cell for cell in timed if len(cell.by_block(DECODE)) < FEWEST]
    template = FEW
    if all(cell.planned >= FEWEST for cell in short):
        left = sum(bool(cell.counts["pending"]) for cell in short)
        template = {0: FEW_ARE_LEFT, len(short): FEW_SO_FAR}.get(left, FEW_OF_BOTH)
    return [say(template, coverage=capital(listing(told)), fewest=count(FEWEST))]


def _coverage(n: int, cells: int, of: int) -> str:
    who = say("{cells} of {of} cells", cells=cells, of=of)
    if cells == of:
        who = say("the cell") if of == 1 else say("each cell")
    if n == 1:
        return say(FROM_ONE, cells=who)
    return say(FROM_FEW, cells=who, trials=count(n), coverage=percent(range_coverage(n)))


def _few_in_short(all_series: Sequence[Series]) -> str:
    trials = _timed(all_series)
    few = sum(n < FEWEST for n in trials)
    if not few:
        return ""
    who = (
        "each cell has"
        if few == len(trials)
        else say(
            "{few} of {trials} cells {value}",
            few=few,
            trials=len(trials),
            value="has" if few == 1 else "have",
        )
    )
    return say(
        "{who} fewer than {FEWEST} trials, too few to call one faster",
        who=who,
        FEWEST=count(FEWEST),
    )
