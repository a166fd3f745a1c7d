"""The fits of a run that questions start from, and what they know of its machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

import numpy as np

from analysis.cells.cells import CellResult
from analysis.cells.series import Series
from analysis.model.cost import COEFFICIENTS, Floats, Observation, Setting
from analysis.model.fit import CostFit
from analysis.network.run_fits import GroupFit
from analysis.text.sentence import say
from analysis.text.wording import nodes
from collect.run import RunManifest

ALL_DRAWS, MOST_DRAWS, FEWEST_DRAWS = 600, 400, 100
"""Draws of all fits of a page together, of one fit at most, and of one at least: a page may grow by
100 kB. `fab what-if` computes from the same ones."""
DIGITS = 5
"""Significant ones of a draw. Python computes from these, too."""
STRAY_DIGITS = 4
"""Of a stray, after the point: it is a logarithm."""
MOST_SHOWN = ALL_DRAWS // FEWEST_DRAWS
"""Fits of a page."""


@dataclass(frozen=True, slots=True)
class Basis:
    """Cells of a run that one fit explains, or why it does not.

    Attributes:
        engine: its name.
        label: names what distinguishes the cells from the others of the run.
        fit: of the cells; None where there was nothing to fit.
        refusals: why the fit must not be used, a sentence each; empty if it may.
        measured: the cells.
        nodes: names of the machines that took part, in the run's order.
        slowness: node to its time for the same work relative to the first measured one; empty
            where all are alike or nothing is known.
        memory_mib: memory of each of `nodes`; 0 where it is not known.
        context: tokens that the cells had room for; 0 for the model's own number.
    """

    engine: str
    label: str
    fit: CostFit | None
    refusals: tuple[str, ...]
    measured: tuple[Observation, ...] = ()
    nodes: tuple[str, ...] = ()
    slowness: Mapping[str, float] = field(default_factory=dict)
    memory_mib: tuple[int, ...] = ()
    context: int = 0

    @property
    def usable(self) -> CostFit | None:
        """The fit, if it may be used."""
        return None if self.refusals else self.fit

    @property
    def name(self) -> str:
        """The engine, with what distinguishes the cells."""
        return self.engine if self.label == self.engine else f"{self.engine}, {self.label}"

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that were measured, each once."""
        return tuple(dict.fromkeys(one.model for one in self.measured))

    def best(self, model: str) -> Observation | None:
        """The fastest measured cell of a model; None for one that was not measured."""
        own = [one for one in self.measured if one.model == model]
        return min(own, key=lambda one: one.total_ms, default=None)

    def link_mbit(self, start: Setting) -> float | None:
        """The rate of the links of a measured setting, or of the others if it has none."""
        known = [one.setting.link_mbit for one in self.measured if one.setting.link_mbit]
        return start.link_mbit or max(known, default=None)

    def lineup(self, start: Setting, count: int, root: str | None) -> tuple[str, ...]:
        """The machines that take part: those of a measured setting first, then others of the run.

        Args:
            start: the measured setting.
            count: how many take part. Fewer names mean that the run has no more machines.
            root: who comes first; None for the root of the measured setting.
        """
        first = [name for name in start.names if name in self.nodes]
        own = dict.fromkeys([*([root] if root else []), *first, *self.nodes])
        return tuple(own)[:count]

    def pace_of(self, names: Sequence[str], count: int) -> tuple[float, ...]:
        """The slowness of machines that take part; empty where not each is known.

        Those that the run does not have count as one in the middle of those that it has.
        """
        if not self.slowness or not set(self.nodes) <= self.slowness.keys():
            return ()
        usual = median(self.slowness.values())
        return tuple([self.slowness[name] for name in names] + [usual] * count)[:count]

    def who(self, setting: Setting) -> str:
        """`two nodes`; where machines differ, with the one that is the root: `(root desk)`."""
        said = nodes(setting.nodes)
        if not self.slowness or not setting.names:
            return said
        return say(
            "{said} ({value}{names})",
            said=said,
            value="root " if setting.nodes > 1 else "",
            names=setting.names[0],
        )

    def memory_of(self, setting: Setting) -> tuple[int, ...]:
        """MiB of the machines that take part, the root first; empty where not each is known.

        Those that the run does not have count as the smallest of those that it has.
        """
        known = dict(zip(self.nodes, self.memory_mib, strict=False))
        if not known or not all(known.values()):
            return ()
        names = [name for name in setting.names if name in known] or self.nodes
        smallest = min(known.values())
        return tuple([known[name] for name in names] + [smallest] * setting.nodes)[: setting.nodes]


def bases_of(
    run: RunManifest, on_nodes: Iterable[Series], fits: Sequence[GroupFit]
) -> tuple[Basis, ...]:
    """Make of the fits of a run what questions start from.

    Args:
        run: the run's plan.
        on_nodes: its series on nodes.
        fits: of its cells (`fits_of`).
    """
    results = {cell.record.cell_id: cell for series in on_nodes for cell in series.cells}
    found = [_basis(run, one, results) for one in fits]
    groups = max((one.of for one in fits), default=1)
    draws = max(FEWEST_DRAWS, min(MOST_DRAWS, ALL_DRAWS // max(groups, 1)))
    return tuple(_thinned(basis, draws) for basis in found)


def _basis(run: RunManifest, one: GroupFit, results: Mapping[str, CellResult]) -> Basis:
    group = one.group
    cells = [results[cell_id] for cell_id in group.cell_ids]
    took_part = {name for cell in cells for name in cell.record.nodes}
    names = tuple(name for name in run.nodes if name in took_part)
    contexts = [int(cell.record.params.get("context", 0)) for cell in cells]
    return Basis(
        engine=group.engine,
        label=group.label,
        fit=one.outcome.fit,
        refusals=one.refusals,
        measured=group.observations,
        nodes=names,
        slowness=group.slowness,
        memory_mib=tuple(_memory(run, name) for name in names),
        context=max(contexts, default=0),
    )


def _memory(run: RunManifest, name: str) -> int:
    told = run.nodes.get(name, {}).get("memory_mib")
    return int(told) if isinstance(told, int | float) else 0


def _thinned(basis: Basis, draws: int) -> Basis:
    """The same with fewer draws, of as many digits as a page gets."""
    fit = basis.fit
    if fit is None:
        return basis
    there = len(fit.noise[0])
    kept = [place * there // min(draws, there) for place in range(min(draws, there))]
    fewer = replace(
        fit,
        draws={name: _short(fit.draws[name][kept]) for name in COEFFICIENTS},
        noise=(_short(fit.noise[0][kept]), _short(fit.noise[1][kept])),
        strays=np.round(fit.strays[kept], STRAY_DIGITS),
    )
    return replace(basis, fit=fewer)


def _short(values: Floats) -> Floats:
    """Values with `DIGITS` significant digits."""
    return np.array([[float(f"{value:.{DIGITS}g}") for value in row] for row in values])


def usable(bases: Iterable[Basis]) -> list[tuple[Basis, CostFit]]:
    """The bases with a fit that may be used, each with it."""
    return [(basis, fit) for basis in bases if (fit := basis.usable) is not None]
