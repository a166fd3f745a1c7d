"""Make the figures on top of a report on answers: who is ahead if that is clear, else all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.answers.accuracy import RIGHT, Accuracy
from analysis.answers.asked_pairs import FIRST, RATE, TIMED, WHOLE
from analysis.answers.systems import INTERNET, SystemAnswers
from analysis.blocks import Figure
from analysis.cells.cells import CellResult
from analysis.cells.family import Family, standing
from analysis.text.sentence import say
from analysis.text.wording import DASH, listing, number
from analysis.verdict.scaling_text import thrown_away

MOST_NAMED = 4
"""Systems that a figure names, each with its own."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """A quantity on top: how it is called without a claim and with one, its unit and factor."""

    what: str
    title: str
    best: str
    unit: str
    scale: float = 1.0


SHOWN = (
    _Shown(FIRST, "TTFT", "Shortest TTFT", "s", 1e-3),
    _Shown(WHOLE, "Whole answer", "Fastest whole answer", "s", 1e-3),
    _Shown(RATE, "Tokens/s of an answer", "Most tokens/s of an answer", "tokens/s"),
)


def asked_figures(
    systems: Sequence[SystemAnswers],
    graded: Accuracy | None,
    family: Family,
    scope: str,
    cells: Sequence[CellResult],
) -> tuple[Figure, ...]:
    """Name for each quantity all systems that may be the best; nothing where there is one system.

    Args:
        systems: that answered.
        graded: by the keys; None where no question has one.
        family: the comparisons of the report.
        scope: `these six questions`.
        cells: of the whole run, also those that gave no answer.
    """
    if len(systems) == 1:
        return ()
    found = []
    for shown in SHOWN:
        column, _ = TIMED[shown.what]
        timed = [system for system in systems if system.is_comparable]
        values = {s.name: e.value for s in timed if (e := s.estimate(column, shown.scale))}
        if len(values) > 1:
            found.append(_figure(shown, values, family, scope))
    if graded is not None and graded.may_name:
        found += _most_right(graded, family)
    if thrown := thrown_away(cells):
        good, made = (sum(getattr(c.attempts, name) for c in cells) for name in ("good", "made"))
        found.append(
            Figure("Attempts that count", say("{good} of {made}", good=good, made=made), "", thrown)
        )
    remote = {system.name for system in systems if system.is_remote}
    return tuple(_with_path(figure, remote) for figure in found)


def _figure(shown: _Shown, values: Mapping[str, float], family: Family, scope: str) -> Figure:
    left = _unbeaten(shown.what, list(values), family)
    tried = any(row.is_tried for row in family.rows if row.pair.what == shown.what)
    ordered = sorted(values[name] for name in left)
    value = number(ordered[0])
    if number(ordered[-1]) != value:
        value += f"{DASH}{number(ordered[-1])}"
    if len(left) == len(values):
        why = "not distinguishable" if tried else say("on {scope}", scope=scope)
        return Figure(
            shown.title,
            value,
            shown.unit,
            say("{each}; {why}", each=_each(values, shown.unit), why=why),
        )
    apart = " (not distinguishable)" if len(left) > 1 else ""
    return Figure(
        shown.best, value, shown.unit, say("{left}{apart}", left=listing(left), apart=apart)
    )


def _each(values: Mapping[str, float], unit: str) -> str:
    if len(values) > MOST_NAMED:
        return say("medians of {values} systems", values=len(values))
    return listing(
        [
            say("{name} {number} {unit}", name=name, number=number(value), unit=unit)
            for name, value in values.items()
        ]
    )


def _unbeaten(what: str, names: Sequence[str], family: Family) -> list[str]:
    return [name for name in names if not standing(family, what, name, names)[1]]


def _most_right(graded: Accuracy, family: Family) -> list[Figure]:
    left = _unbeaten(RIGHT, list(graded.grades), family)
    if len(left) == len(graded.grades):
        return []
    hits = sorted(graded.share(name).hits for name in left)
    value = str(hits[0]) if hits[0] == hits[-1] else f"{hits[0]}{DASH}{hits[-1]}"
    apart = " (not distinguishable)" if len(left) > 1 else ""
    unit = say("of {questions}", questions=len(graded.questions))
    return [
        Figure(
            "Most correct answers",
            value,
            unit,
            say("{left}{apart}", left=listing(left), apart=apart),
        )
    ]


def _with_path(figure: Figure, remote: set[str]) -> Figure:
    """What is timed over the Internet says so."""
    named = [name for name in sorted(remote) if name in figure.about]
    if not named or figure.name.startswith(("Most correct", "Attempts")):
        return figure
    whose = (
        ""
        if len(named) == 1 and figure.about == named[0]
        else say("{named} ", named=listing(named))
    )
    return Figure(
        figure.name,
        figure.value,
        figure.unit,
        say("{about}; {whose}{INTERNET}", about=figure.about, whose=whose, INTERNET=INTERNET),
    )
