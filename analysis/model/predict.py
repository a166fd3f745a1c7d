"""What a fit says about a setting that was not measured, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from analysis.model.bound import bounded_totals
from analysis.model.cost import TERMS, Floats, Setting, Term, features_of
from analysis.model.fit import TAILS, CostFit
from analysis.model.wire import limit
from analysis.text.sentence import Sentence, say
from analysis.text.wording import listing, nodes, number
from core.errors import HerdError

MOST_GAIN = 4.0
"""How many times faster or slower a machine may be and still count as the same class."""
NEAR = 2.0
"""How far beyond what was measured a size or a rate may be without counting as extrapolation."""

OTHER_WIRE = (
    "The fit is of the way in which {fitted} exchanges ({wire}); this release or engine has "
    "another one ({other}). Measure a run with it."
)
OTHER_VERSION = (
    "The fit is of version {fitted}, and {asked} may compute differently. Measure a run with it."
)
OTHER_CLASS = (
    "A machine {gain} times as fast is outside the class of those that were measured (at most "
    "{most} times). On 17 boards a prediction from memory and arithmetic was off by 14 % in its "
    "class, and by up to 92 % outside it."
)
OTHER_DEVICE = "The fit is of cells that computed on a {fitted}; it does not apply to a {asked}."
CANNOT = "{nodes} cannot take part: {reason}."
MORE_NODES = "{asked} were not measured ({least} to {most} were)"
OTHER_LINK = "links of {asked} Mbit/s were not measured"
NO_LINK = "the rate of the links that were measured is not recorded"
OTHER_WEIGHTS = "{asked} weights were not measured ({measured} were), so arithmetic is a guess"
OTHER_MODEL = "a model with layers of this size was not measured"
FASTER = "machines of another speed were not measured"
OTHER_LATENCY = "steps of another latency were not measured"
LONGER = "so long a text was not measured"
HARDLY = 0.01
"""Relative change of a time from which it counts as changed."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The time of a decoded token in a setting.

    Attributes:
        setting: it.
        total_ms: median.
        low_ms: lower end of the 90 % interval of what would be measured.
        high_ms: upper end.
        terms: term to its median, in ms.
        extrapolates: what of the setting is beyond the measured cells, a clause each.
        formula_ms: median and ends of what the formula alone gives, where some of that saves more
            than all the waiting that the engine reports: there the times above stop. None
            elsewhere.
    """

    setting: Setting
    total_ms: float
    low_ms: float
    high_ms: float
    terms: Mapping[Term, float]
    extrapolates: tuple[Sentence, ...]
    formula_ms: tuple[float, float, float] | None = None

    @property
    def tokens_per_s(self) -> float:
        """The same as a rate."""
        return 1000 / self.total_ms


def predict(
    fit: CostFit, setting: Setting, *, version: str | None = None, device: str | None = None
) -> Prediction:
    """Predict the time of a decoded token.

    Args:
        fit: of cells with the same engine on the same kind of machine.
        setting: more nodes, another link, model, type of weights, root or speed.
        version: of the engine; None for that of the fit.
        device: `cpu` or `gpu`; None for that of the fit.

    Raises:
        HerdError: the fit says nothing about it; the message has the reason.
    """
    if (refused := out_of_scope(fit, setting, version=version, device=device)) is not None:
        raise HerdError(refused)
    terms = fit.terms(features_of([setting]))
    alone, told = (_ends(totals) for totals in (fit.totals(setting), bounded_totals(fit, setting)))
    middle, low, high = told
    is_held = any(new > old * (1 + HARDLY) for old, new in zip(alone, told, strict=True))
    return Prediction(
        setting=setting,
        total_ms=middle,
        low_ms=low,
        high_ms=high,
        terms={name: float(np.median(terms[name])) for name in TERMS},
        extrapolates=tuple(beyond(fit, setting)),
        formula_ms=alone if is_held else None,
    )


def _ends(totals: Floats) -> tuple[float, float, float]:
    """Median, lower end and upper end."""
    low, middle, high = np.quantile(totals, (TAILS[0], 0.5, TAILS[1]))
    return float(middle), float(low), float(high)


def out_of_scope(
    fit: CostFit, setting: Setting, *, version: str | None = None, device: str | None = None
) -> Sentence | None:
    """Why a fit says nothing about a setting; None if it does."""
    fitted = fit.observations[0].setting
    if setting.wire != fitted.wire:
        name = fit.version or "the fitted release"
        return say(OTHER_WIRE, fitted=name, wire=fitted.wire, other=setting.wire)
    if version is not None and fit.version is not None and version != fit.version:
        return say(OTHER_VERSION, fitted=fit.version, asked=version)
    if device is not None and fit.device is not None and device != fit.device:
        return say(OTHER_DEVICE, fitted=fit.device.upper(), asked=device.upper())
    for gain in (setting.memory_gain, setting.compute_gain):
        if not 1 / MOST_GAIN <= gain <= MOST_GAIN:
            return say(OTHER_CLASS, gain=number(gain), most=number(MOST_GAIN))
    reason = limit(setting.wire, setting.shape, setting.weights, setting.nodes)
    return None if reason is None else say(CANNOT, nodes=nodes(setting.nodes), reason=reason)


def beyond(fit: CostFit, setting: Setting) -> Iterator[Sentence]:
    """Yield what of a setting is beyond the cells of a fit."""
    measured = [one.setting for one in fit.observations]
    counts = fit.counts
    if not counts[0] <= setting.nodes <= counts[-1]:
        asked = nodes(setting.nodes)
        yield say(MORE_NODES, asked=asked, least=counts[0], most=counts[-1])
    if setting.nodes > 1:
        yield from _beyond_links(measured, setting)
    types: list[str] = list(dict.fromkeys(one.weights for one in measured))
    if setting.weights not in types:
        yield say(OTHER_WEIGHTS, asked=setting.weights, measured=listing(types))
    sizes = [one.shape.layer_matrix_values for one in measured]
    if not _near(setting.shape.layer_matrix_values, sizes):
        yield say(OTHER_MODEL)
    if (setting.memory_gain, setting.compute_gain) != (1.0, 1.0):
        yield say(FASTER)
    if setting.position > max(NEAR * max(one.position for one in measured), 64):
        yield say(LONGER)


def _beyond_links(measured: list[Setting], setting: Setting) -> Iterator[Sentence]:
    yield from _beyond_rates(measured, setting)
    if setting.latency_gain != 1.0:
        yield say(OTHER_LATENCY)


def _beyond_rates(measured: list[Setting], setting: Setting) -> Iterator[Sentence]:
    known = [one.link_mbit for one in measured if one.link_mbit]
    if setting.link_mbit is None:
        return
    if not known:
        yield say(NO_LINK)
    elif not min(known) / 1.05 <= setting.link_mbit <= max(known) * 1.05:
        yield say(OTHER_LINK, asked=number(setting.link_mbit))


def _near(value: float, measured: list[int]) -> bool:
    return min(measured) / NEAR <= value <= NEAR * max(measured)
