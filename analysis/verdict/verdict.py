"""What a run found, in plain words with numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.agreement.correctness import perplexity_sentences, same_text
from analysis.cells.family import Family
from analysis.cells.scaling import Scaling, speed_pairs
from analysis.cells.series import Series, subject
from analysis.text.sentence import Sentence, capital, say, together
from analysis.text.wording import bare, listing, plural, within
from analysis.verdict.caveats import caveats_of, reservations_of
from analysis.verdict.fastest import Fastest, fastest_clauses, fastest_of, rival_sentences
from analysis.verdict.scaling_text import leaves_out, scaling_clause, thrown_away

THROWN = "{thrown}, in no figure"
MEASURED = "the speeds of {series} series were measured"
TOO_FEW = "there are too few trials to say in which of {series} series more nodes help"
NO_GAIN = "more nodes were found faster in none of {series} series"
GAINS = "more nodes are faster in {gaining} of {series} series, {times} times"
EMULATED = "No speed was measured: an emulated processor took part in every trial that is done."
ON_SOFTWARE = (
    "No speed was compared: every cell whose speed was measured computed on a software GPU."
)
NO_SPEED = "The requests were answered; no engine's speed on nodes was measured."
NOTHING = "Nothing was measured: no trial was planned."
NOTHING_YET = "Nothing was measured: none of {planned} is done ({states})."
FIRST_CAUSE = "The first reason: {cause}."
RESERVED = "{headline} ({reservations}.)"
MOST_IN_HEADLINE = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """The findings of a run.

    Attributes:
        headline: the answer, one sentence.
        details: further findings, a sentence each.
        caveats: what a reader must know before quoting the headline.
        reservations: the gravest of them in a few words each.
    """

    headline: str
    details: tuple[str, ...]
    caveats: tuple[str, ...]
    reservations: tuple[str, ...]

    @property
    def spoken(self) -> str:
        """Return the headline with the gravest reservations that it lacks, for use by itself."""
        untold = [told for told in self.reservations if told not in self.headline]
        if not untold:
            return self.headline
        return say(RESERVED, headline=self.headline, reservations=capital(together(untold, "; ")))


def verdict_of(
    all_series: Sequence[Series],
    scalings: Sequence[Scaling],
    counts: Mapping[str, int],
    *,
    is_lab: bool,
    family: Family | None = None,
    has_speed: bool = True,
) -> Verdict:
    """The findings of a run.

    Args:
        all_series: every series of the run.
        scalings: those of them whose speed was measured.
        counts: trials by state.
        is_lab: the nodes are virtual and share one machine.
        family: the comparisons of the report, from which `scalings` were made; by default those
            of these speeds.
        has_speed: the verdict is about speed; otherwise few trials need no warning.
    """
    on_nodes = [series for series in all_series if not series.is_remote]
    family = family or Family(speed_pairs(on_nodes))
    margin = within(family.margin)
    perplexities = perplexity_sentences(all_series)
    fastest = fastest_of(scalings, family)
    pending = counts.get("pending")
    if not scalings and not perplexities:
        headline, details = _no_speed(all_series, counts), _first_cause(all_series)
    elif not scalings:
        headline, details = perplexities[0], list(perplexities[1:])
    elif len(scalings) <= MOST_IN_HEADLINE:
        headline = _clauses(scalings, all_series, margin)
        left_out = [scaling for scaling in scalings if leaves_out(scaling)]
        details = [*_each(left_out, all_series, margin), *perplexities]
        if len(scalings) > 1:
            details += [_sentence(clause) for clause in fastest_clauses(fastest, all_series)]
    else:
        headline, rest = _summary(scalings, fastest, all_series)
        details = [*rest, *_each(scalings, all_series, margin), *perplexities]
    return Verdict(
        headline=headline,
        details=(
            *details,
            *rival_sentences(scalings, all_series, family, margin),
            *same_text(all_series),
        ),
        caveats=caveats_of(all_series, is_lab=is_lab, has_speed=has_speed, pending=pending),
        reservations=tuple(
            told
            for told in reservations_of(
                all_series, is_lab=is_lab, has_speed=has_speed, pending=pending
            )
            if not _is_of_each_series(told, headline, all_series)
        ),
    )


def _is_of_each_series(told: str, headline: str, all_series: Sequence[Series]) -> bool:
    """Whether a headline has what was thrown away of each series, and not of all together."""
    each = [thrown for series in all_series if (thrown := thrown_away(series.cells))]
    if not each or told in headline:
        return False
    every = thrown_away([cell for series in all_series for cell in series.cells])
    return told == every and all(thrown in headline for thrown in each)


def _sentence(clause: str) -> Sentence:
    return say("{clause}.", clause=capital(clause))


def _clauses(scalings: Sequence[Scaling], all_series: Sequence[Series], margin: str) -> str:
    """The findings on a few series as one sentence; a model is named once."""
    named: set[tuple[str, str]] = set()
    parts = []
    for scaling in scalings:
        what = (scaling.series.model, scaling.series.weights)
        about = subject(scaling.series, all_series, with_model=what not in named)
        parts.append(scaling_clause(scaling, about, margin, brief=True))
        named.add(what)
    return _sentence(together(parts, "; "))


def _each(scalings: Sequence[Scaling], all_series: Sequence[Series], margin: str) -> list[str]:
    """A sentence on each series, with all that was measured of it."""
    return [
        _sentence(scaling_clause(scaling, subject(scaling.series, all_series), margin))
        for scaling in scalings
    ]


def _summary(
    scalings: Sequence[Scaling], fastest: Sequence[Fastest], all_series: Sequence[Series]
) -> tuple[Sentence, Sequence[str]]:
    """One sentence over many series: how many gain from nodes, and which cells are fastest.

    Returns:
        The sentence, and what it has no room for.
    """
    told = fastest_clauses(fastest, all_series)
    rest = [_sentence(clause) for clause in told]
    in_headline = told if len(told) <= MOST_IN_HEADLINE else []
    clauses = [*_gains(scalings), *in_headline]
    thrown = thrown_away([cell for series in all_series for cell in series.cells])
    if thrown:
        clauses.append(say(THROWN, thrown=thrown))
    if not clauses:
        clauses = [say(MEASURED, series=len(scalings))]
    return _sentence(together(clauses, "; ")), [] if in_headline else rest


def _gains(scalings: Sequence[Scaling]) -> list[str]:
    """Say in how many series more nodes are faster, and in how many it is unclear."""
    scaled = [scaling for scaling in scalings if len(scaling.points) > 1]
    if not scaled:
        return []
    if not any(scaling.is_known for scaling in scaled):
        return [say(TOO_FEW, series=len(scaled))]
    gains = [s.best.speed_up.value for s in scaled if s.best is not s.points[0]]
    if not gains:
        return [say(NO_GAIN, series=len(scaled))]
    ends = list(dict.fromkeys(f"{gain:.2f}" for gain in (min(gains), max(gains))))
    by = together(ends, " to ")
    return [say(GAINS, gaining=len(gains), series=len(scaled), times=by)]


def _no_speed(all_series: Sequence[Series], counts: Mapping[str, int]) -> str:
    measured = [cell for series in all_series for cell in series.measured]
    if any(cell.emulated for cell in measured):
        return say(EMULATED)
    if any(cell.software for cell in measured):
        return say(ON_SOFTWARE)
    if measured:
        return say(NO_SPEED)
    return _nothing(counts)


def _nothing(counts: Mapping[str, int]) -> str:
    rest = [
        say("{n} {state}", n=n, state=state) for state, n in counts.items() if n and state != "done"
    ]
    planned = plural(sum(counts.values()), "planned trial")
    return say(NOTHING_YET, planned=planned, states=listing(rest)) if rest else say(NOTHING)


def _first_cause(all_series: Sequence[Series]) -> list[str]:
    causes = [reason for series in all_series for cell in series.cells for reason in cell.reasons]
    return [say(FIRST_CAUSE, cause=bare(causes[0]))] if causes else []
