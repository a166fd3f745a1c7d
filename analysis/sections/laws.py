"""Scaling laws: what of a token's time is divided among nodes, and when one more does not pay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from analysis.blocks import Block, File, Prose, Section, Tabled, cited
from analysis.cells.scaling import SPEED
from analysis.cells.series import thing
from analysis.cells.tabulate import Table, frame_table
from analysis.charted import charted
from analysis.charts.laws import law_chart
from analysis.model.laws import Fit, Interval, Law, Miss
from analysis.model.of_series import LawsOf, laws_of
from analysis.study import Study
from analysis.text.sentence import Sentence, say, together
from analysis.text.wording import (
    DASH,
    bare_percent,
    listing,
    nodes,
    percent,
    share_with_ends,
    with_ends,
)

TITLE, MENU = "Scaling laws", "Scaling laws"
AMDAHL = (
    "{who}: by Amdahl's law {a} ms of a token are never divided, and {b} ms are divided among the "
    "nodes. So {serial} of the time on one node is serial."
)
USL = (
    "{who}: by the universal scalability law {a} ms of a token are never divided, {b} ms are "
    "divided among the nodes, and each further node adds {c} ms. So {serial} of the time on one "
    "node is serial."
)
NOT_REACHED = (
    "The number of nodes after which one more does not pay is not reached within the measured "
    "numbers: up to {most} each further node makes a token at least {margin} faster by this law."
)
UNSURE = (
    "By this law each further node makes a token at least {margin} faster up to {most}, the most "
    "that were measured, but its interval begins at {low}."
)
REACHED = (
    "One more does not pay after {nodes} ({interval}): by this law it makes a token less than "
    "{margin} faster."
)
BETWEEN = "90 % interval: {low} to {high}"
ALONE = "the 90 % interval has no other number"
OR_MORE = "{nodes} or more"
OFF = (
    "{law} does not describe {who}: on {nodes} it is {error} away from the measured time, and "
    "noise explains at most {noise}."
)
LEFT_OUT = (
    "{law} does not describe {who}: predicted from the other numbers of nodes, the time on "
    "{nodes} is wrong by {error}, and noise explains at most {noise}."
)
NONE = "{who}: {why}"
THIN = "A number of nodes counts from six trials on; these have fewer: {nodes}."
READ = (
    "Amdahl's law: T(n) = a + b/n. The universal scalability law: T(n) = a + b/n + c (n-1). T is "
    "the time of a token in ms, n the number of nodes. 90 % intervals, from other draws of the "
    "blocks. Left out: the largest error of a number of nodes that is predicted from the others."
)
PAYS = (
    "“Pays up to”: the number of nodes after which one more makes a token less than {margin} "
    "faster."
)
MORE = "{n} more series"
MOST_NAMED = 5
COLUMNS = {
    "series": "Series", "law": "Law", "a": "a, ms", "b": "b, ms", "c": "c, ms",
    "serial": "Serial", "left_out": "Left out", "pays": "Pays up to", "state": "Describes it",
}  # fmt: skip
NAMES = ("a", "b", "c")


def sections(study: Study) -> Iterator[Section]:
    """Make the section of a run that measured a speed on several numbers of nodes."""
    margin = _margin(study)
    found = laws_of(study.scalings, margin)
    if not found:
        return
    told = _sentences(found, study)
    blocks: list[Block] = [Prose((sentence,)) for sentence in told]
    if chart := law_chart(found):
        blocks += charted([chart])
        notes = (say(READ), say(PAYS, margin=bare_percent(margin)))
        file = File("scaling-laws", law_frame(found, margin))
        blocks.append(Tabled(TITLE, _table(found, margin), notes, file))
    fits = [law for laws in found for law in laws.fits]
    blocks += cited(
        ("Amdahl's law", "amdahl1967") if Law.AMDAHL in fits else None,
        ("Universal scalability law", "gunther2007") if Law.USL in fits else None,
        ("Bootstrap over blocks", ("efron1979", "davison1997")) if fits else None,
    )
    yield Section("laws", say(TITLE), tuple(blocks), say(MENU))


def _margin(study: Study) -> float:
    """Below which two speeds are the same: the matrix's margin, or the noise floor if larger."""
    floor = study.noise.floors.get(SPEED) if study.noise else None
    return max(study.family.margin, round(floor.ratio - 1, 3) if floor else 0.0)


def _sentences(found: Sequence[LawsOf], study: Study) -> list[Sentence]:
    """Say for each series what its laws are, then for all others why they have none."""
    margin, told = _margin(study), []
    why: dict[str, list[str]] = {}
    for laws in found:
        who = thing(laws.scaling.series, study.on_nodes)
        if laws.fits:
            told.append(together([*_of_fits(laws, who, margin), _lacks_universal(laws)]))
            continue
        reason = together([*list(laws.lacking.values())[:1], _thin(laws)])
        why.setdefault(reason, []).append(who)
    told += [say(NONE, who=_listed(who), why=reason) for reason, who in why.items()]
    return told


def _listed(who: Sequence[str]) -> str:
    """Name some series; of many only the first."""
    rest = len(who) - MOST_NAMED
    if rest <= 0:
        return listing(list(who))
    return listing([*who[:MOST_NAMED], say(MORE, n=rest)])


def _of_fits(laws: LawsOf, who: str, margin: float) -> Iterator[Sentence]:
    if best := laws.best:
        yield _parts(best, who)
        yield _pays(best, margin)
    for fit in laws.fits.values():
        if fit.misses:
            yield _refusal(fit, who)


def _lacks_universal(laws: LawsOf) -> str:
    return together([laws.lacking.get(Law.USL, ""), _thin(laws)])


def _thin(laws: LawsOf) -> str:
    if not laws.thin:
        return ""
    return say(THIN, nodes=listing([nodes(n) for n in laws.thin]))


def _parts(fit: Fit, who: str) -> Sentence:
    told = {name: _ends(part) for name, part in zip(NAMES, fit.intervals, strict=False)}
    serial = share_with_ends(fit.serial.value, fit.serial.low, fit.serial.high)
    return say(AMDAHL if fit.law is Law.AMDAHL else USL, who=who, serial=serial, **told)


def _ends(found: Interval) -> str:
    return with_ends(found.value, found.low, found.high)


def _pays(fit: Fit, margin: float) -> Sentence:
    found, most = fit.last_that_pays(margin), fit.times.nodes[-1]
    if found is None:
        return say(NOT_REACHED, most=nodes(most), margin=bare_percent(margin))
    low = nodes(int(found.low))
    if found.value == most:
        return say(UNSURE, margin=bare_percent(margin), most=nodes(most), low=low)
    high = nodes(int(found.high))
    high = say(OR_MORE, nodes=high) if found.high == most else high
    between = say(ALONE if found.low == found.high else BETWEEN, low=low, high=high)
    told = nodes(int(found.value))
    return say(REACHED, nodes=told, interval=between, margin=bare_percent(margin))


def _bare(margin: float) -> str:
    return bare_percent(margin)


def _refusal(fit: Fit, who: str) -> Sentence:
    miss = fit.misses[0]
    return say(
        OFF if miss is fit.residual else LEFT_OUT,
        law=fit.law,
        who=who,
        nodes=nodes(miss.nodes),
        error=percent(miss.error),
        noise=percent(miss.noise),
    )


def law_frame(found: Sequence[LawsOf], margin: float) -> pd.DataFrame:
    """Make `scaling-laws.csv`: a row a series and law, those without a fit, too."""
    return pd.DataFrame([_row(laws, law, margin) for laws in found for law in Law])


def _row(laws: LawsOf, law: Law, margin: float) -> dict[str, Any]:
    series, fit = laws.scaling.series, laws.fits.get(law)
    row: dict[str, Any] = {
        "model": series.model,
        "series": series.panel_label,
        "law": str(law),
        "measured_nodes": ", ".join(map(str, laws.counted)),
        "too_few_trials": ", ".join(map(str, laws.thin)),
        "state": "fitted" if fit else "too few",
    }
    if fit is None:
        return row
    row["state"] = "does not describe it" if fit.misses else "describes it"
    for name, part in zip(NAMES, fit.intervals, strict=False):
        row |= _columns(f"{name}_ms", part)
    row |= _columns("serial", fit.serial) | _missed("residual", fit.residual)
    row |= _missed("left_out", fit.left_out) | {"most_nodes": fit.times.nodes[-1]}
    pays = fit.last_that_pays(margin)
    return row | (_columns("pays_up_to", pays) if pays else {}) | {"margin": margin}


def _columns(name: str, found: Interval) -> dict[str, float]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _missed(name: str, miss: Miss) -> dict[str, float]:
    return {
        name: miss.error,
        f"{name}_nodes": miss.nodes,
        f"{name}_noise": miss.noise,
        f"{name}_allowed": miss.allowed,
    }


def _table(found: Sequence[LawsOf], margin: float) -> Table:
    rows = [
        {
            "series": laws.scaling.series.label,
            "law": str(law),
            **dict.fromkeys(NAMES, ""),
            **{name: _ends(part) for name, part in zip(NAMES, fit.intervals, strict=False)},
            "serial": share_with_ends(fit.serial.value, fit.serial.low, fit.serial.high),
            "left_out": percent(fit.left_out.error),
            "pays": _pays_briefly(fit, margin),
            "state": "no" if fit.misses else "yes",
        }
        for laws in found
        for law, fit in laws.fits.items()
    ]
    return frame_table(pd.DataFrame(rows), COLUMNS)


def _pays_briefly(fit: Fit, margin: float) -> str:
    found, most = fit.last_that_pays(margin), fit.times.nodes[-1]
    if fit.misses or found is None:
        return "" if fit.misses else "not reached"
    value, low, high = (str(int(end)) for end in (found.value, found.low, found.high))
    more = "+" if found.high == most else ""
    return say(
        "{value} ({low}{DASH}{high}{more})",
        value="not reached" if found.value == most else value,
        low=low,
        DASH=DASH,
        high=high,
        more=more,
    )
