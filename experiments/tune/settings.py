"""The settings that a search tries: what may be tuned, with which values, and what is left out."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from collect.search import Setting
from collect.workloads import Benchmark
from core.errors import HerdError
from core.record import Scalar
from experiments.engines import APIS, ENGINES
from experiments.engines.base import EACH, EACH_ROOT, ON_AXIS, PLUS, Axis, Cell
from experiments.engines.common import taking_part
from experiments.engines.engine import NodeEngine
from experiments.fleet.cluster import Cluster, Node
from experiments.planning.axes import COMMON_AXES, SYSTEM, as_typed
from experiments.planning.identity import canonical
from experiments.planning.matrix import Matrix
from experiments.planning.places import placed

MOST_COMBINATIONS = 4096
PAIR = 2


class SettingsMatrix(Matrix):
    """A matrix whose cells have some of its settings, each of several axes together.

    Attributes:
        settings: axis to value; other axes are those of the matrix.
    """

    settings: tuple[dict[str, Scalar], ...] = Field(default=(), exclude=True)

    @property
    def in_turn(self) -> bool:
        """Two settings are measured in turn: neither follows the other more often than itself."""
        return len(self.settings) == PAIR

    def cells(self, cluster: Cluster | None = None) -> tuple[Cell, ...]:
        """The cells of each setting, in their order, each once."""
        found: dict[str, Cell] = {}
        for setting in self.settings:
            own = {name: (value,) for name, value in setting.items()}
            one = self.model_copy(update={"axes": {**self.axes, **own}})
            for cell in Matrix.cells(one, cluster):
                found.setdefault(key_of(cell.params), cell)
        return tuple(found.values())

    def cell_of(self, setting: Setting) -> Cell:
        """The cell of one setting."""
        [cell] = self.model_copy(update={"settings": (dict(setting),)}).cells()
        return cell


def key_of(params: Mapping[str, Scalar]) -> str:
    """What is equal for equal cells."""
    return json.dumps(canonical(params))


@dataclass(frozen=True, slots=True)
class Space:
    """What may be tuned.

    Attributes:
        base: the matrix of the default cell; an axis that is not tuned has its value there.
        axes: the axes that are tuned, with their values; the default is the first.
    """

    base: Matrix
    axes: Mapping[str, tuple[Scalar, ...]]

    @property
    def default(self) -> dict[str, Scalar]:
        """The setting with the default of each axis."""
        return {name: values[0] for name, values in self.axes.items()}

    def combinations(self) -> list[dict[str, Scalar]]:
        """Every setting, the default first.

        Raises:
            HerdError: they are too many.
        """
        number = math.prod(len(values) for values in self.axes.values())
        if number > MOST_COMBINATIONS:
            raise HerdError(
                f"Tuning: these values make {number} settings, and at most {MOST_COMBINATIONS} "
                "are looked at. Give fewer values with --set AXIS=VALUE,VALUE."
            )
        return [
            dict(zip(self.axes, values, strict=True))
            for values in itertools.product(*self.axes.values())
        ]


def default_matrix(matrix: Matrix) -> Matrix:
    """The matrix of the default cell: of each axis with several values, its default alone.

    Raises:
        HerdError: something has several values that no search can choose between, or the matrix
            measures no speed.
    """
    if matrix.parts or not isinstance(matrix.workload, Benchmark):
        kind = "it has `parts`" if matrix.parts else f"its workload is {_kind(matrix)}"
        raise HerdError(
            f"Tuning {matrix.file}: {kind}, and settings are compared by the speed of the "
            "workload `benchmark`. Name a matrix with that workload, or none for the usual one."
        )
    if matrix.noise:
        raise HerdError(
            f"Tuning {matrix.file}: `noise: true` makes two cells of each setting, and the pairs "
            "of the confirmation show the noise. Leave it out."
        )
    for name in (SYSTEM.name, *(axis.name for axis in COMMON_AXES)):
        if name == SYSTEM.name and name in matrix.axes:
            raise HerdError(
                "Tuning: axis system names what is fixed. Name an engine, a model, weights and a "
                "number of nodes instead, as in --engine llama.cpp --model stories15m."
            )
        if len(set(matrix.axes.get(name, ()))) > 1:
            told = ", ".join(map(str, matrix.axes[name]))
            raise HerdError(
                f"Tuning: axis {name} has several values ({told}), and settings are searched for "
                f"one. Give one with {_flag(name)}."
            )
    tuned = {axis.name: axis for axis in _axes_to_tune(matrix)}
    changed = {}
    for name, values in matrix.axes.items():
        if _are_several(values):
            if name not in tuned:
                raise HerdError(
                    f"Tuning: axis {name} has several values, and it can only be fixed. Give one "
                    f"value with --set {name}=VALUE. Axes that can be tuned: {', '.join(tuned)}."
                )
            changed[name] = (tuned[name].default,)
    return matrix.model_copy(update={"axes": {**matrix.axes, **changed}})


def _are_several(values: Sequence[Scalar]) -> bool:
    """Whether these are several values, or a word that stands for several."""
    return len(set(values)) > 1 or bool({EACH, EACH_ROOT} & set(values))


def _kind(matrix: Matrix) -> str:
    return "none" if matrix.workload is None else matrix.workload.kind


def _flag(name: str) -> str:
    return f"--set {name}=VALUE" if name == "workers" else f"--{name}"


def _axes_to_tune(matrix: Matrix) -> list[Axis]:
    engine = ENGINES[str(matrix.values(COMMON_AXES[0])[0])]
    return [*engine.axes, ON_AXIS]


def default_cell(base: Matrix) -> Cell:
    """The cell with the defaults.

    Raises:
        HerdError: the matrix has several, or one of an API.
    """
    cells = base.cells()
    if len(cells) > 1 or cells[0].engine in APIS:
        raise HerdError(
            f"Tuning {base.file}: it makes {len(cells)} cells of nodes, and settings are searched "
            "for one. Give one value for each axis that is fixed."
        )
    return cells[0]


def space_of(matrix: Matrix, cluster: Cluster) -> Space:
    """What may be tuned on these nodes, which were asked for their facts.

    An axis that the matrix names has these values; with one it is fixed. Of the others the engine
    says what makes sense here.

    Raises:
        HerdError: nothing is left to choose between, or a matrix cannot be tuned.
    """
    base = default_matrix(matrix)
    cell = default_cell(base)
    engine, nodes = ENGINES[cell.engine], taking_part(cell, cluster)
    proposed: dict[str, Sequence[Scalar]] = {}
    if isinstance(engine, NodeEngine):
        proposed = dict(engine.candidates(cell, nodes))
    proposed[ON_AXIS.name] = _roots(nodes)
    axes = {}
    for axis in _axes_to_tune(matrix):
        given = matrix.axes.get(axis.name, ())
        if given and not _are_several(given):
            continue
        values = given or proposed.get(axis.name, ())
        if axis is ON_AXIS:
            values = _named(values, cell, cluster)
        unique = tuple(dict.fromkeys((axis.default, *values)))
        if len(unique) > 1:
            axes[axis.name] = unique
    if not axes:
        raise HerdError(
            f"Tuning {cell.engine} on {len(nodes)} nodes: no axis has a second value to try. Give "
            "values with --set AXIS=VALUE,VALUE."
        )
    return Space(base, axes)


def _named(values: Iterable[Scalar], cell: Cell, cluster: Cluster) -> list[Scalar]:
    """Values of the axis `on` with the names that a word stands for."""
    found = (placed({**cell.params, ON_AXIS.name: value}, cluster) for value in values)
    return [params.get(ON_AXIS.name, ON_AXIS.default) for params in itertools.chain(*found)]


def _roots(nodes: Sequence[Node]) -> list[str]:
    """The same nodes with another one as the root: the first of each kind of machine."""
    kinds: dict[tuple[Scalar | None, ...], Node] = {}
    for node in nodes:
        kinds.setdefault(_kind_of_machine(node), node)
    names = [node.name for node in nodes]
    return [
        PLUS.join((root.name, *(name for name in names if name != root.name)))
        for root in list(kinds.values())[1:]
    ]


def _kind_of_machine(node: Node) -> tuple[Scalar | None, ...]:
    facts = (node.facts.get(name) for name in ("board", "cpu_model", "gpu_0_name"))
    return (*facts, node.cores, round(node.memory_mib / 1024))


def sample(settings: Sequence[Setting], most: int, seed: int) -> list[dict[str, Scalar]]:
    """At most so many settings: the default, those that change one axis, then drawn ones.

    So each value is tried at least once where the number allows.
    """
    if len(settings) <= most:
        return [dict(one) for one in settings]
    places = range(1, len(settings))
    changes = [sum(one[name] != value for name, value in settings[0].items()) for one in settings]
    single = [place for place in places if changes[place] == 1]
    others = [place for place in places if changes[place] > 1]
    shuffler = random.Random(seed)  # noqa: S311 - a choice that can be repeated, not a secret
    shuffler.shuffle(single)
    shuffler.shuffle(others)
    return [dict(settings[place]) for place in sorted([0, *single, *others][:most])]


def words_of(setting: Setting) -> str:
    """A setting as the command line has it: `net_turbo=false, threads=2`."""
    return ", ".join(f"{name}={as_typed(value)}" for name, value in setting.items())


def without_doubles(
    matrix: SettingsMatrix, settings: Iterable[Setting], cluster: Cluster
) -> list[Setting]:
    """The settings that make different cells, also where one names the nodes that another takes."""
    found: dict[tuple[str, tuple[str, ...]], Setting] = {}
    for setting in settings:
        cell = matrix.cell_of(setting)
        rest = {name: v for name, v in cell.params.items() if name not in (ON_AXIS.name, "nodes")}
        names = tuple(node.name for node in taking_part(cell, cluster))
        found.setdefault((key_of(rest), names), setting)
    return list(found.values())
