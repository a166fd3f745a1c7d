"""The cost model of a run: a fit for each group of its cells, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from analysis.cells.series import Series
from analysis.model.measured import DECODE, MeasuredGroup, groups_of
from analysis.model.probed import priors_from
from analysis.model.scope import FEWEST_COUNTS, FitOutcome, fit_judged
from analysis.network.network import link_speeds
from analysis.text.sentence import say
from analysis.text.wording import plural
from collect.probe import ProbeRecord
from collect.run import RunManifest
from models.catalogue import load_catalogue

MOST_FITS = 12
"""A fit takes about a second."""
NOT_FITTED = (
    "No fit: this is the first of {groups} of cells beyond the {most} that a report fits. "
    "`fab what-if --engine` fits any of them."
)


@dataclass(frozen=True, slots=True)
class GroupFit:
    """A group of cells, and what the cost model makes of it.

    Attributes:
        group: the cells.
        outcome: the fit and why it must not be used.
        of: how many groups of the run may have a fit, also where not all of them were asked for.
    """

    group: MeasuredGroup
    outcome: FitOutcome
    of: int = 1

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why there is no fit to use, a sentence each; empty if there is."""
        own = (self.group.refusal,) if self.group.refusal else ()
        return (*own, *self.outcome.refusals)


def fits_of(
    run: RunManifest,
    on_nodes: Iterable[Series],
    nodes: pd.DataFrame,
    probe: ProbeRecord | None = None,
    named: str | None = None,
) -> tuple[GroupFit, ...]:
    """Fit the cost model to the cells of a run.

    Args:
        run: the run's plan.
        on_nodes: its series on nodes.
        nodes: the nodes table.
        probe: what was measured of its machines by themselves.
        named: only groups of this engine or with this label; None: all.

    Returns:
        A fit for each group with three numbers of nodes, of many only for the first `MOST_FITS`;
        a group with fewer numbers is not in it.
    """
    series = [one for one in on_nodes if len(_counts(one)) > 0]
    # The link of a virtual node is memory; what its interface reports is not a speed.
    links = {} if run.share_machine(run.nodes) else link_speeds(series, nodes)
    catalogue = load_catalogue()
    groups = groups_of(run, series, lambda name: catalogue.get(name).shape, links)
    enough = [group for group in groups if len(group.counts) >= FEWEST_COUNTS]
    wanted = [group for group in enough if named in (None, group.engine, group.label)]
    of = sum(group.refusal is None for group in enough)
    rest = len(wanted) - MOST_FITS
    return tuple(
        GroupFit(group, _fit(group, probe) if place < MOST_FITS else _not_fitted(rest), of)
        for place, group in enumerate(wanted[: MOST_FITS + 1])
    )


def _not_fitted(rest: int) -> FitOutcome:
    return FitOutcome(None, (say(NOT_FITTED, groups=plural(rest, "group"), most=MOST_FITS),))


def _counts(series: Series) -> set[int]:
    return {cell.nodes for cell in series.measured if cell.by_block(DECODE)}


def _fit(group: MeasuredGroup, probe: ProbeRecord | None) -> FitOutcome:
    if group.refusal is not None:
        return FitOutcome(None, ())
    priors = priors_from(probe, group.names) if probe else {}
    return fit_judged(group.fitted, group.version, priors, group.device)
