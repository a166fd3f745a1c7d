"""Several deployments at once: the speed of one user against the tokens/s of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.blocks import File, Prose, Section, Tabled
from analysis.cells.divisions import (
    Division,
    compared_with,
    division_frame,
    divisions_of,
)
from analysis.cells.family import Claim, Compared
from analysis.cells.labels import GROUPS
from analysis.cells.series import engine_named
from analysis.cells.tabulate import frame_table
from analysis.study import Study
from analysis.text.sentence import Sentence, say
from analysis.text.wording import TIMES, interval, percent, ratio, within

TITLE, MENU = "Several at once", "At once"
CAPTION = "The same nodes, divided"
MADE = (
    "For {model} ({weights}) with {who}, {division}: one user gets {one} tokens/s, and all "
    "together {every} tokens/s."
)
MORE = "All together, {one} make {times} times the tokens/s of {other}."
AS_MANY = "All together, {one} make as many tokens/s as {other} within {margin}, {times} times."
UNKNOWN = "It is unclear whether {one} make more tokens/s together than {other}: {times} times."
APART = (
    "With {division}, all generated at the same time in {overlap} of the window; in the rest some "
    "had ended or not begun."
)
HARDLY = (
    "For {model} ({weights}) with {who}, {division}: they hardly generated at the same time "
    "({overlap} of the window), so what they make together was not measured. Let them generate "
    "more tokens."
)
READ = (
    "One user: tokens/s of the median deployment. All: the speeds of all added up, each over the "
    "time in which it generated. Over the window: tokens that all generated, over the window from "
    "the first one's first token to the last one's last; it is less where some end earlier. At "
    "once: the share of the window in which all generated; below 5 % nothing is added up."
)
NOT_KEPT = "Of several deployments at once, the times of single tokens are not in the report."
ENOUGH = 0.8
"""Share of the window from which deployments count as at the same time."""
SHOWN = {
    "model": "Model", "weights": "Weights", "series": "Engine", "groups": "Deployments",
    "trials": "Trials", "one_user": "One user", "slowest": "Slowest", "all": "All",
    "over_window": "Over the window", "overlap": "At once",
}  # fmt: skip


def sections(study: Study) -> Iterator[Section]:
    """Make the section of a run that ran several deployments at once."""
    groups = [g for g in divisions_of(study.on_nodes) if any(one.one_user for one in g)]
    if not groups:
        return
    said = tuple(sentence for group in groups for sentence in _sentences(study, group))
    frame = division_frame(groups, study.on_nodes)
    shown = frame_table(frame, SHOWN, percents=("overlap",))
    table = Tabled(CAPTION, shown, (say(READ), say(NOT_KEPT)), File("several-at-once", frame))
    yield Section("several", say(TITLE), (Prose(said), table), say(MENU))


def _sentences(study: Study, group: Sequence[Division]) -> Iterator[Sentence]:
    measured = [one for one in group if one.one_user]
    for one in measured:
        overlap = one.overlap or 0.0
        named: dict[str, str] = {
            "model": one.series.model,
            "weights": one.series.weights,
            "who": engine_named(one.series, study.on_nodes, without=(GROUPS,)),
            "division": one.words,
        }
        if not one.of_all:
            yield say(HARDLY, **named, overlap=percent(overlap))
            continue
        yield say(
            MADE,
            **named,
            one=interval(one.one_user, brief=True),
            every=interval(one.of_all, brief=True),
        )
        if overlap < ENOUGH:
            yield say(APART, division=one.words, overlap=percent(overlap))
    at_once = [one for one in measured if one.of_all]
    for index, one in enumerate(at_once):
        for other in at_once[index + 1 :]:
            found = compared_with(one, other, study.family)
            if found is not None and found.ratio is not None:
                yield _beside(one, other, found, within(study.family.margin))


def _beside(one: Division, other: Division, found: Compared, margin: str) -> Sentence:
    if found.finding is Claim.SLOWER:
        return _beside(other, one, found.turned(), margin)
    template = {Claim.FASTER: MORE, Claim.SAME: AS_MANY}.get(found.finding, UNKNOWN)
    times = ratio(found.ratio, brief=True) if found.ratio else ""
    return say(template, one=_these(one), other=_these(other), margin=margin, times=times)


def _these(one: Division) -> str:
    number, _, size = str(one.series.params[GROUPS]).partition("x")
    template = "{n} {times} {size} node" if size == "1" else "{n} {times} {size} nodes"
    return say(template, n=number, times=TIMES, size=size)
