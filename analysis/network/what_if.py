"""What a token would take on other nodes, links, memory, weights or another root: `fab what-if`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, get_args

from analysis.cells.cells import cell_results, series_of
from analysis.model.cost import TERMS, Observation, Setting
from analysis.model.fit import CostFit
from analysis.model.predict import LEVERS, Lever, Prediction, predict
from analysis.network.run_fits import GroupFit, fits_of
from analysis.text.sentence import Sentence, say
from analysis.text.wording import DASH, listing, nodes, number, percent, plural
from collect.account import Account
from collect.arms import first_arms
from collect.probe import newest_for
from collect.run import RunManifest
from collect.tables import Tables, tables_of
from core.errors import HerdError
from models.catalogue import load_catalogue
from models.shape import Weights

NO_FIT = (
    "The run {run} has no cell whose speed was measured on three numbers of nodes. A cost model "
    "needs them: run a matrix with an axis such as `nodes: [1, 2, 4]`."
)
NOT_NAMED = (
    "The run {run} has no cells of `{engine}` on three numbers of nodes. --engine takes an engine, "
    "or a series as the section on the cost model of the report calls it."
)
NONE_HOLDS = "No prediction from the run {run}. {why}"
WHICH = "The run {run} has {n} fits. Choose one with --engine: {names}."
ASKED = (
    "{model} ({weights}) with {who} on {nodes}{link}: {ms} ms a token ({low}{dash}{high}, 90 % "
    "interval), {rate} tokens/s."
)
MEASURED = "Measured on {nodes}: {ms} ms."
OVER = ", links of {mbit} Mbit/s"
SPLIT = "Of this: {terms}."
HELPS = "What would help: {levers}."
LEVER = "1 % {name} changes it by {percent} ({low} to {high})"
EVEN = "machines that are all as fast as the root, {percent} ({low} to {high})"
DOUBLE = "twice the nodes, {percent} ({low} to {high})"
BEYOND = "Extrapolation: {what}."
FIT = (
    "The fit: {cells} on {counts} nodes. Predicted from the other numbers of nodes, half of them "
    "are off by less than {error}; {covered} are in their 90 % interval."
)
NO_ROOT = (
    "The speed of {root} is not known next to the others. Measure each node alone with an axis "
    "`on: [each, first]`; measured alone were: {known}."
)
NO_WEIGHTS = "There are no {weights} weights; known are: {known}."
BAD = "{option} must be {kind} above 0, not `{value}`."
LARGEST = 1e9


@dataclass(frozen=True, slots=True)
class Wish:
    """What someone asks for; None: as in the measured cell.

    Attributes:
        engine: its name or the label of the group in the report.
        model: a name of the catalogue.
        nodes: how many take part.
        link_mbit: rate of the links.
        weights: type of the weights.
        root: name of the node that is the root.
        memory: how many times faster the memory is.
    """

    engine: str | None = None
    model: str | None = None
    nodes: int | None = None
    link_mbit: float | None = None
    weights: str | None = None
    root: str | None = None
    memory: float | None = None

    @classmethod
    def read(
        cls, nodes: str | None, link: str | None, memory: str | None, **rest: str | None
    ) -> Self:
        """Take the options of a command line, where each is a text or None.

        Raises:
            HerdError: one is not a number above 0.
        """
        count = _number("--nodes", nodes)
        if count is not None and count != int(count):
            raise HerdError(say(BAD, option="--nodes", value=nodes, kind="a whole number"))
        return cls(
            nodes=None if count is None else int(count),
            link_mbit=_number("--link", link),
            memory=_number("--memory", memory),
            **rest,
        )


def _number(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < LARGEST:
        raise HerdError(say(BAD, option=option, value=text, kind="a number"))
    return value


@dataclass(frozen=True, slots=True)
class Answering:
    """A run and the fit that answers.

    Attributes:
        chosen: the group.
        fit: that of the group.
    """

    chosen: GroupFit
    fit: CostFit


def what_if(folder: Path, wish: Wish) -> Iterator[Sentence]:
    """Answer in sentences.

    Args:
        folder: of the run.
        wish: what is asked for.

    Raises:
        HerdError: the run has no fit that says something about it; the message has the reason.
    """
    account = Account.read(folder)
    run, tables = first_arms(account.manifest, tables_of(account))
    source = _source(run, tables, folder.parent, wish)
    base = _base(source, wish)
    setting = _setting(source, base, wish)
    yield from _answer(source, base, predict(source.fit, setting), wish)


def _source(run: RunManifest, tables: Tables, results: Path, wish: Wish) -> Answering:
    series = series_of(cell_results(run, tables.trials, tables.attempts, tables.nodes))
    probe = newest_for(results, run.nodes, at=run.created_at).record
    on_nodes = [one for one in series if not one.is_remote]
    found = fits_of(run, on_nodes, tables.nodes, probe, wish.engine)
    if not found and wish.engine:
        raise HerdError(say(NOT_NAMED, run=run.run, engine=wish.engine))
    if not found:
        raise HerdError(say(NO_FIT, run=run.run))
    held = [one for one in found if not one.refusals]
    if not held:
        why = " ".join(f"{one.group.label}: {why}" for one in found for why in one.refusals)
        raise HerdError(say(NONE_HOLDS, run=run.run, why=why))
    if len(held) > 1:
        names = listing([one.group.label for one in held], "or")
        raise HerdError(say(WHICH, run=run.run, n=len(held), names=names))
    fit = held[0].outcome.fit
    assert fit is not None  # noqa: S101 - of a group without refusals
    return Answering(held[0], fit)


def _base(source: Answering, wish: Wish) -> Observation:
    """The measured cell that is most like what is asked for."""
    cells = source.fit.observations
    of_model = [one for one in cells if wish.model in (None, one.model)] or list(cells)
    of_weights = [one for one in of_model if wish.weights in (None, one.setting.weights)]
    counts = wish.nodes or max(one.setting.nodes for one in of_model)
    return min(of_weights or of_model, key=lambda one: abs(one.setting.nodes - counts))


def _setting(source: Answering, base: Observation, wish: Wish) -> Setting:
    count = wish.nodes or base.setting.nodes
    setting = replace(base.setting, nodes=count, slowness=_slowness(source, count, wish.root))
    if wish.model and wish.model != base.model:
        setting = replace(setting, shape=load_catalogue().get(wish.model).shape)
    if wish.link_mbit:
        setting = replace(setting, link_mbit=wish.link_mbit)
    if wish.weights:
        setting = replace(setting, weights=_weights(wish.weights), exchanged=None)
    return replace(setting, memory_gain=wish.memory) if wish.memory else setting


def _slowness(source: Answering, count: int, root: str | None) -> tuple[float, ...]:
    """The slowness of so many nodes, the root first; empty where it is not known."""
    known = source.chosen.group.slowness
    if root is not None and root not in known:
        raise HerdError(say(NO_ROOT, root=root, known=listing(list(known)) or "no nodes"))
    order = [*([root] if root else []), *(name for name in known if name != root)]
    return tuple(known[name] for name in order[:count]) if len(order) >= count else ()


def _weights(name: str) -> Weights:
    for known in get_args(Weights):
        if known == name:
            return known  # type: ignore[no-any-return]
    raise HerdError(say(NO_WEIGHTS, weights=name, known=listing(list(get_args(Weights)))))


def _answer(
    source: Answering, base: Observation, found: Prediction, wish: Wish
) -> Iterator[Sentence]:
    setting = found.setting
    link = say(OVER, mbit=number(setting.link_mbit)) if setting.link_mbit else ""
    yield say(
        ASKED, model=wish.model or base.model, weights=setting.weights,
        who=source.chosen.group.label, nodes=nodes(setting.nodes), link=link,
        ms=number(found.total_ms), low=number(found.low_ms), dash=DASH,
        high=number(found.high_ms), rate=number(found.tokens_per_s),
    )  # fmt: skip
    yield say(MEASURED, nodes=nodes(base.setting.nodes), ms=number(base.total_ms))
    terms = [f"{term} {number(found.terms[term])}" for term in TERMS if found.terms[term] > 0]
    yield say(SPLIT, terms=listing(terms))
    if levers := [_lever(one) for one in found.levers]:
        yield say(HELPS, levers="; ".join(levers))
    if found.extrapolates:
        yield say(BEYOND, what="; ".join(found.extrapolates))
    fit = source.fit
    yield say(
        FIT, cells=plural(len(fit.left_out), "cell"), counts=_counts(fit.counts),
        error=percent(fit.median_error), covered=sum(one.is_covered for one in fit.left_out),
    )  # fmt: skip


def _counts(counts: Sequence[int]) -> str:
    return listing([str(count) for count in counts])


def _lever(lever: Lever) -> Sentence:
    """An elasticity in words: of 1 % more, of twice the nodes, of no waiting."""
    if lever.name == "nodes":
        ends = [2**end - 1 for end in (lever.elasticity, lever.low, lever.high)]
        template = DOUBLE
    elif lever.name == "waiting":
        ends = [-end for end in (lever.elasticity, lever.high, lever.low)]
        template = EVEN
    else:
        ends = [end / 100 for end in (lever.elasticity, lever.low, lever.high)]
        template = LEVER
    middle, low, high = (_change(end) for end in ends)
    return say(template, name=LEVERS[lever.name], percent=middle, low=low, high=high)


def _change(share: float) -> str:
    return f"{100 * share:+.2f} %"
