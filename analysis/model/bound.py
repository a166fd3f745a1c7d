"""What a fit predicts, and where that stops: a token takes no less than its engine computes.

Where an engine reports how long it waits, a faster link saves all of that and no more. A fit that
expects more is wrong about the cell. Everything that predicts asks here: `predict`, the gains that
reports advise, and the page, which gets the same bound (`analysis/what_if/payload.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.model.cost import (
    COMPUTED,
    Features,
    Floats,
    Observation,
    Setting,
    Term,
    features_of,
    features_of_one,
)
from analysis.model.fit import CostFit
from analysis.model.posterior import sum_of

SAME_PACE = ("root_slowness", "lag")
"""Features that are those of the machines that take part."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A measured cell whose engine says how much of its time is computing.

    Attributes:
        cell: it.
        computed: the share of its time that is not waiting, 0 to 1.
    """

    cell: Observation
    computed: float


def anchor_of(fit: CostFit, setting: Setting) -> Anchor | None:
    """Find the fastest measured cell that computes what a setting does, on the same machines.

    Only links, delays, and how fast memory and processors are may differ. None where there is no
    such cell, or its engine does not report how long it waits.
    """
    own = [one for one in fit.observations if one.has_parts and _computes_the_same(one, setting)]
    if not own:
        return None
    cell = min(own, key=lambda one: one.total_ms)
    return Anchor(cell, 1 - (cell.sync_ms or 0.0) / cell.total_ms)


def _computes_the_same(one: Observation, setting: Setting) -> bool:
    measured = one.setting
    alike = (setting.shape, setting.weights, setting.nodes, setting.wire, setting.sends)
    if (measured.shape, measured.weights, measured.nodes, measured.wire, measured.sends) != alike:
        return False
    here, there = features_of_one(measured), features_of_one(setting)
    return all(math.isclose(here[name], there[name], rel_tol=1e-6) for name in SAME_PACE)


def bounded_totals(fit: CostFit, setting: Setting, without: Sequence[Term] = ()) -> Floats:
    """Milliseconds of a token, a draw each, none below what the engine computes.

    Args:
        fit: of measured cells.
        setting: measured or not.
        without: terms that are taken to be 0.
    """
    totals = fit.totals(setting, without)
    anchor = anchor_of(fit, setting)
    return totals if anchor is None else np.maximum(totals, _least(fit, anchor, setting))


def _least(fit: CostFit, anchor: Anchor, setting: Setting) -> Floats:
    """Milliseconds of computing: those of the measured cell, changed as the formula has it."""
    there, here = (_computing(fit, features_of([one])) for one in (anchor.cell.setting, setting))
    least: Floats = fit.totals(anchor.cell.setting) * anchor.computed * here / there
    return least


def _computing(fit: CostFit, of: Features) -> Floats:
    return sum_of(fit.terms(of), COMPUTED)[:, 0]
