"""Cells of a run as the cost model wants them: grouped by engine and by everything it ignores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import get_args

import numpy as np

from analysis.cells.cells import LINK_DELAY, LINK_RATE, CellResult, Rest
from analysis.cells.labels import ON, named_by, varying_axes
from analysis.cells.prompt_lengths import decodes_after_prompt
from analysis.cells.series import Series
from analysis.model.cost import Observation, Setting
from analysis.model.fit import LEVEL, TAILS
from analysis.model.wire import Wire, is_chain, wire_of
from analysis.text.sentence import Sentence, say
from analysis.text.wording import listing
from collect.run import RunManifest
from collect.workloads import DECODE_AXIS, PROMPT_AXES
from core.errors import HerdError
from core.record import Scalar
from core.student import quantile
from models.shape import ModelShape, Weights

DECODE, SYNC = "decode_ms_per_token", "sync_ms_per_token"
GROUPS = "groups"
"""Axis of cells in which several deployments ran at once: their time is no deployment's."""
EXPLAINED = frozenset(
    {"nodes", "model", "weights", LINK_RATE, LINK_DELAY, *PROMPT_AXES, DECODE_AXIS, ON}
)
"""Axes over which one fit goes: the formula has them."""
WIDEST_SHARE = 0.1
"""Width of what rounding hides of syncing's share from which it is not used."""
RESAMPLES = 400
ENOUGH = 6
"""Trials of a cell from which drawing them again shows how far off their median is."""
OF_MEDIAN = 1.25
"""Standard error of a median relative to that of a mean."""
ONE_TRIAL = 0.05
"""Spread of trials where no cell has two of them (docs/cost-model.md has what was simulated)."""

NO_WIRE = "No fit: no formula is known for what {engine} exchanges here."
NO_SHAPE = "No fit: the sizes of {model} are not known."
MIXED = (
    "No fit: the machines differ ({machines}), and not each of them was measured alone. An axis "
    "`on: [each, first]` measures them."
)
SOFT = "No fit: a GPU that is software has the processor's speed."
SAVED = (
    "No fit: a quota gives {nodes} a share of a core on average. In a chain, a node saves its "
    "quota while it waits for its turn and then computes at the core's full speed, so the time of "
    "a token does not follow from its work."
)


@dataclass(frozen=True, slots=True)
class MeasuredGroup:
    """Cells that one fit may explain.

    Attributes:
        engine: its name.
        label: names what distinguishes the group from the others of the run.
        version: of the engine.
        wire: how nodes exchange; None where no formula is known.
        device: what computed: `cpu` or `gpu`.
        kinds: kinds of machines, each once.
        observations: a cell each.
        refusal: why there is nothing to fit; None if there is.
        cell_ids: of the observations, in their order.
        names: nodes of any of the cells.
        counts: numbers of nodes, each once, also where there is nothing to fit.
        slowness: node to its time alone, relative to the first one's; of nodes measured alone.
        on_quota: nodes whose threads want more of the processor than a quota gives them. Such a
            node stops in the middle of a step when it has used its share up, and the others report
            that as synchronising, so only totals are used.
    """

    engine: str
    label: str
    version: str | None
    wire: Wire | None
    device: str
    kinds: tuple[str, ...]
    observations: tuple[Observation, ...]
    refusal: Sentence | None = None
    cell_ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    slowness: Mapping[str, float] = field(default_factory=dict)
    on_quota: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """The machine to which `slowness` refers; empty where machines were not measured alone."""
        return next((name for name, taken in self.slowness.items() if taken == 1.0), "")

    @property
    def fitted(self) -> tuple[Observation, ...]:
        """The observations that a fit may be judged by.

        A machine alone gave its own slowness, so that its time follows from that of the reference
        for the same task, and a fit predicts nothing there. Such cells are left out.
        """
        alone = [one for one in self.observations if one.setting.nodes == 1]
        known = {_task(one) for one in alone if one.setting.names == (self.reference,)}
        return tuple(
            one
            for one in self.observations
            if one.setting.nodes > 1
            or one.setting.names == (self.reference,)
            or not set(one.setting.names) & self.slowness.keys()
            or _task(one) not in known
        )


def _task(one: Observation) -> tuple[object, ...]:
    """What a machine does in a cell, but for the machine itself."""
    setting = one.setting
    return one.model, setting.weights, setting.link_mbit, setting.delay_ms


Shapes = Callable[[str], ModelShape]
"""Find the sizes of a model by its name; raises HerdError for one that is not known."""


@dataclass(frozen=True, slots=True)
class _Run:
    run: RunManifest
    shapes: Shapes
    links: Mapping[str, float]
    slowness: Mapping[str, float] = field(default_factory=dict)
    spread: float = 0.0


def groups_of(
    run: RunManifest, all_series: Iterable[Series], shapes: Shapes, links: Mapping[str, float]
) -> tuple[MeasuredGroup, ...]:
    """Group the cells of a run with a decoding time.

    Args:
        run: the run's plan.
        all_series: those on nodes.
        shapes: sizes of models by name.
        links: cell id to the rate of its slowest link in Mbit/s, where nodes report it.
    """
    cells: dict[Rest, list[CellResult]] = {}
    for series in all_series:
        for cell in series.measured:
            params = cell.record.params
            if cell.by_block(DECODE) and GROUPS not in params:
                rest = sorted((k, v) for k, v in params.items() if k not in EXPLAINED)
                cells.setdefault(tuple(rest), []).append(cell)
    varying = varying_axes([dict(rest) for rest in cells])
    return tuple(
        _group(
            _Run(run, shapes, links, _slowness(members), _spread(members)),
            members,
            dict(rest),
            varying,
        )
        for rest, members in cells.items()
    )


def _group(
    about: _Run, cells: Sequence[CellResult], params: Mapping[str, Scalar], varying: Sequence[str]
) -> MeasuredGroup:
    engine = str(params["engine"])
    version = about.run.engines.get(engine, {}).get("version")
    told = None if version is None else str(version)
    wire = wire_of(engine, told, params)
    names = dict.fromkeys(name for cell in cells for name in cell.record.nodes)
    kinds = _kinds(about.run, cells)
    found: list[tuple[CellResult, Observation]] = []
    refusal = _refusal(about, cells, wire, engine, kinds)
    if refusal is None and wire is not None:
        found = [(cell, _observation(about, cell, wire)) for cell in cells]
    return MeasuredGroup(
        engine=engine,
        label=named_by(params, varying, otherwise=engine),
        version=told,
        wire=wire,
        device="gpu" if any(cell.gpus for cell in cells) else "cpu",
        kinds=kinds,
        observations=tuple(one for _, one in found),
        refusal=refusal,
        cell_ids=tuple(cell.record.cell_id for cell, _ in found),
        names=tuple(names),
        counts=tuple(sorted({cell.nodes for cell in cells})),
        slowness=about.slowness,
        on_quota=_on_quota(cells),
    )


def _refusal(
    about: _Run, cells: Sequence[CellResult], wire: Wire | None, engine: str, kinds: Sequence[str]
) -> Sentence | None:
    if wire is None:
        return say(NO_WIRE, engine=engine)
    if any(cell.software for cell in cells):
        return say(SOFT)
    for model in dict.fromkeys(str(cell.record.params["model"]) for cell in cells):
        try:
            about.shapes(model)
        except HerdError:
            return say(NO_SHAPE, model=model)
    if is_chain(wire) and (limited := _on_quota(cells)):
        return say(SAVED, nodes=listing(list(limited)))
    together = {name for cell in cells for name in cell.record.nodes}
    if len(kinds) > 1 and not together <= about.slowness.keys():
        return say(MIXED, machines=listing(list(kinds)))
    return None


def _observation(about: _Run, cell: CellResult, wire: Wire) -> Observation:
    params = cell.record.params
    model = str(params["model"])
    total = cell.by_block(DECODE)
    names = cell.record.nodes
    known = all(name in about.slowness for name in names)
    shaped = float(params.get(LINK_RATE, 0))
    sync = None if cell.on_quota else _sync(cell)
    setting = Setting(
        shape=about.shapes(model),
        weights=_weights(str(params["weights"])),
        nodes=cell.nodes,
        wire=wire,
        link_mbit=shaped or about.links.get(cell.record.cell_id),
        delay_ms=float(params.get(LINK_DELAY, 0)),
        position=_position(cell),
        slowness=tuple(about.slowness[name] for name in names) if known and names else (),
        shared=about.run.share_machine(names) and not is_chain(wire),
        names=tuple(names),
    )
    return Observation(
        setting=setting,
        total_ms=float(np.median(list(total.values()))),
        sync_ms=sync,
        error=_error(list(total.values()), about.spread),
        label=f"{model}, {cell.nodes}",
        model=model,
        trials=len(total),
    )


def _on_quota(cells: Iterable[CellResult]) -> tuple[str, ...]:
    """Return the nodes of cells that a quota stops, each once."""
    return tuple(dict.fromkeys(name for cell in cells for name in cell.on_quota))


def _weights(name: str) -> Weights:
    return next(known for known in get_args(Weights) if known == name)


def _sync(cell: CellResult) -> float | None:
    """Median time for synchronising, where whole milliseconds do not hide it."""
    values = list(cell.by_block(SYNC).values())
    low, high = cell.by_block("sync_share_low"), cell.by_block("sync_share_high")
    widths = [high[block] - low[block] for block in low if block in high]
    if not values or (widths and float(np.median(widths)) > WIDEST_SHARE):
        return None
    return float(np.median(values))


def _position(cell: CellResult) -> float:
    """How many tokens the KV cache has while tokens are decoded, on average."""
    read, made = (cell.by_block(name) for name in ("prompt_tokens", "generated_tokens"))
    before = 1.0 if decodes_after_prompt(cell.record.params) else 0.0
    tokens = [before * read[block] + made.get(block, 0.0) / 2 for block in read]
    return float(np.median(tokens)) if tokens else 0.0


def _error(values: Sequence[float], spread: float) -> float:
    """Standard error of the logarithm of a cell's median.

    Its trials are drawn again. Drawing a few again shows less than they differ, so these have the
    spread of all cells.
    """
    if len(values) < ENOUGH:
        of_median = OF_MEDIAN if len(values) > 2 else 1.0  # noqa: PLR2004 - two have their mean
        return of_median * spread / math.sqrt(len(values))
    drawn = np.random.default_rng(1).choice(np.log(values), size=(RESAMPLES, len(values)))
    return float(np.std(np.median(drawn, axis=1)))


def _spread(cells: Iterable[CellResult]) -> float:
    """How far trials of one cell differ: standard deviation of a logarithm, from all cells.

    Few trials may agree by luck: it is larger as far as Student's t is wider than a normal
    distribution. Where no cell has two trials nothing shows it: then it is `ONE_TRIAL`.
    """
    logs = [np.log(list(cell.by_block(DECODE).values())) for cell in cells]
    freedom = sum(len(one) - 1 for one in logs)
    if freedom < 1:
        return ONE_TRIAL
    squares = sum(float(np.sum((one - one.mean()) ** 2)) for one in logs)
    wider = quantile(LEVEL, freedom) / NormalDist().inv_cdf(TAILS[1])
    return wider * math.sqrt(squares / freedom)


def _kinds(run: RunManifest, cells: Iterable[CellResult]) -> tuple[str, ...]:
    """The kinds of machines, each once: by board, else by processor, with the GPU that computed."""
    found: dict[str, None] = {}
    for cell in cells:
        for name in cell.record.nodes:
            facts = run.nodes.get(name, {})
            machine = facts.get("board") or facts.get("cpu_model") or "a machine without a name"
            found[f"{machine}{' (GPU)' if name in cell.gpus else ''}"] = None
    return tuple(found)


def _slowness(cells: Sequence[CellResult]) -> dict[str, float]:
    """Node to its time relative to the first node's, where several were measured alone."""
    alone: dict[tuple[Scalar, ...], dict[str, float]] = {}
    for cell in cells:
        if cell.nodes == 1 and len(cell.record.nodes) == 1:
            rest = sorted((k, v) for k, v in cell.record.params.items() if k != ON)
            times = alone.setdefault(tuple(value for _, value in rest), {})
            times[cell.record.nodes[0]] = float(np.median(list(cell.by_block(DECODE).values())))
    return _relative([times for times in alone.values() if len(times) > 1])


def _relative(by_task: Sequence[Mapping[str, float]]) -> dict[str, float]:
    if not by_task:
        return {}
    first = next(iter(by_task[0]))
    ratios: dict[str, list[float]] = {}
    for times in by_task:
        if first in times:
            for name, taken in times.items():
                ratios.setdefault(name, []).append(math.log(taken / times[first]))
    return {name: math.exp(float(np.median(found))) for name, found in ratios.items()}
