"""What a fit answers to a question: a time with its interval, or why the setting cannot run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analysis.model.bound import bounded_totals
from analysis.model.cost import Floats, Observation, Setting, Term
from analysis.model.fit import TAILS, CostFit
from analysis.model.predict import Prediction, out_of_scope, predict
from analysis.model.wire import is_chain, limit
from analysis.text.sentence import Sentence, say, together
from analysis.text.wording import listing, nodes
from analysis.what_if.basis import Basis
from analysis.what_if.supposed import Supposed, setting_of, starting_cell
from models.dllama_memory import dllama_need
from models.memory import MIB
from models.shape import ALL_WEIGHTS, BLOCK_BYTES, Weights, packed_bytes

TOO_LITTLE = (
    "{nodes} with this memory cannot hold it with room for {context} tokens: "
    "the {which} needs about {need} MiB and has {have} MiB"
)
TOGETHER = (
    "{nodes} with this memory cannot hold it: the weights alone take {need} "
    "MiB, and they have {have} MiB together"
)
NO_WEIGHTS = "the engine has no {asked} weights where these cells were measured ({measured})"
RANGE = "Measured: {nodes}, {weights} weights{links}."
ONE_EACH = (
    "A cell has one trial, so how far trials differ is only seen in how far cells are off the "
    "formula: three trials a cell show it."
)
LINKS = ", links of {rates} Mbit/s"


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a fit says.

    Attributes:
        basis: whose fit it is.
        asked: the question.
        model: name of the model.
        setting: what was asked, in full.
        prediction: None where the setting cannot run.
        reason: why it cannot; empty if it can.
        best: the fastest measured cell of the model; None for a model that was not measured.
        times: how many times as fast as the formula has that cell, with the 90 % interval; None
            without one.
    """

    basis: Basis
    asked: Supposed
    model: str
    setting: Setting
    prediction: Prediction | None
    reason: str
    best: Observation | None
    times: tuple[float, float, float] | None


def answer(basis: Basis, fit: CostFit, asked: Supposed) -> Predicted:
    """Predicted a question.

    Raises:
        HerdError: it asks for what the run does not know.
    """
    model, _, _ = starting_cell(basis, asked.model)
    setting = setting_of(basis, asked)
    best = basis.best(model)
    if reason := cannot(basis, fit, setting):
        return Predicted(basis, asked, model, setting, None, reason, best, None)
    found = predict(fit, setting)
    times = None
    if best is not None:
        before = setting_of(basis, Supposed(model, best.setting.nodes, best.setting.weights))
        times = ends_of(times_as_fast(fit, before, setting))
    return Predicted(basis, asked, model, setting, found, "", best, times)


def times_as_fast(
    fit: CostFit, before: Setting, after: Setting, without: Sequence[Term] = ()
) -> Floats:
    """How many times as fast a token is in one setting as in another, a draw each.

    Both are by the formula: what it leaves of the first is left of the second, too.

    Args:
        fit: that predicts both.
        before: a measured setting.
        after: what is asked.
        without: terms that are taken to be 0 in it.
    """
    times: Floats = bounded_totals(fit, before) / bounded_totals(fit, after, without)
    return times


def ends_of(values: Floats) -> tuple[float, float, float]:
    """The median of draws, and the ends of their 90 % interval."""
    low, middle, high = np.quantile(values, (TAILS[0], 0.5, TAILS[1]))
    return float(middle), float(low), float(high)


def offered(basis: Basis, setting: Setting) -> tuple[Weights, ...]:
    """Types of weights that may be asked for: those measured, and the others that files have.

    Servers of a chain that pass activations on load one type: only what was measured is known.
    """
    own = tuple(dict.fromkeys(one.setting.weights for one in basis.measured))
    if setting.wire == "chain_push":
        return own
    others = [kind for kind in ALL_WEIGHTS if kind not in own]
    alone = [kind for kind in others if limit(setting.wire, setting.shape, kind, 1) is None]
    return (*own, *alone)


def cannot(basis: Basis, fit: CostFit, setting: Setting) -> str:
    """Why a setting cannot run, a clause by the engine's own limits; empty if it can."""
    if reason := limit(setting.wire, setting.shape, setting.weights, setting.nodes):
        return reason
    if setting.wire == "chain_push" and setting.weights not in offered(basis, setting):
        own = listing(list(offered(basis, setting)))
        return say(NO_WEIGHTS, asked=setting.weights, measured=own)
    return too_little(basis, setting) or out_of_scope(fit, setting) or ""


def too_little(basis: Basis, setting: Setting) -> str:
    """Why the memory of the nodes is too small; empty if it is not, or not known.

    Nodes that the run does not have count as the smallest of those that it has.
    """
    have = basis.memory_of(setting)
    if not have or _has_run(basis, setting):
        return ""
    return too_little_of(setting, have, basis.context or setting.shape.context)


def too_little_of(setting: Setting, have: tuple[int, ...], context: int) -> str:
    """Why nodes with so many MiB each cannot hold a model; empty if they can.

    Args:
        setting: the model, its weights and the number of nodes.
        have: MiB of each node, the root first.
        context: tokens that there must be room for.
    """
    if is_chain(setting.wire):
        return _together(setting, have)
    need = dllama_need(setting.shape, setting.weights, setting.nodes, context)
    for which, needed, smallest in (
        ("root", need.root_mib, have[0]),
        ("smallest worker", need.worker_mib, min(have[1:], default=need.worker_mib)),
    ):
        if needed > smallest:
            said = nodes(setting.nodes)
            return say(
                TOO_LITTLE, nodes=said, which=which, need=needed, have=smallest, context=context
            )
    return ""


def _has_run(basis: Basis, setting: Setting) -> bool:
    """Whether no fewer bits of the same model were measured on no more nodes, nor larger ones."""
    have = basis.memory_of(setting)
    return any(
        one.setting.shape == setting.shape
        and one.setting.nodes <= setting.nodes
        and BLOCK_BYTES[one.setting.weights] >= BLOCK_BYTES[setting.weights]
        and _no_larger(basis.memory_of(one.setting), have)
        for one in basis.measured
    )


def _no_larger(measured: tuple[int, ...], have: tuple[int, ...]) -> bool:
    """Whether neither the root nor the smallest of the measured machines has more memory."""
    return measured[0] <= have[0] and min(measured) <= min(have)


def _together(setting: Setting, have: tuple[int, ...]) -> Sentence | str:
    shape = setting.shape
    values = shape.layers * shape.layer_matrix_values + shape.vocab * shape.dim
    need = packed_bytes(values, setting.weights) // MIB
    if need <= sum(have):
        return ""
    return say(TOGETHER, nodes=nodes(setting.nodes), need=need, have=sum(have))


def measured_range(basis: Basis) -> Sentence:
    """From where to where was measured."""
    settings = [one.setting for one in basis.measured]
    counts = sorted({one.nodes for one in settings})
    rates = sorted({one.link_mbit for one in settings if one.link_mbit})
    links = say(LINKS, rates=_ends(rates)) if rates else ""
    kinds = listing(list(dict.fromkeys(one.weights for one in settings)))
    told = say(RANGE, nodes=_counts(counts), weights=kinds, links=links)
    return together([told, say(ONE_EACH)]) if is_of_one_trial(basis) else told


def is_of_one_trial(basis: Basis) -> bool:
    """Whether a fit is based on a cell with one trial."""
    return basis.fit is not None and basis.fit.fewest_trials == 1


def _ends(values: list[float]) -> str:
    ends = dict.fromkeys([f"{values[0]:g}", f"{values[-1]:g}"])
    return together(ends, " to ")


def _counts(counts: list[int]) -> str:
    """`1 to 4 nodes`, `1, 2 and 8 nodes`."""
    if len(counts) > 1 and all(after - before == 1 for before, after in pairwise(counts)):
        return say("{least} to {most} nodes", least=counts[0], most=counts[-1])
    template = "{counts} node" if counts == [1] else "{counts} nodes"
    return say(template, counts=listing([str(count) for count in counts]))
