"""A matrix: axes and their values, a workload, repeats. Its cells are what can be measured."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from collect.questions import load_questions
from collect.run import EQUIVALENCE_MARGIN, Margin
from collect.workloads import Benchmark, Documents, Questions, Workload
from core.errors import HerdError
from core.foreign import LARGEST_COUNT
from core.paths import PROJECT_FOLDER
from core.record import Record, Scalar
from core.yaml_file import line_of, load_yaml_file
from experiments.engines import ENGINES
from experiments.engines.base import Axis, Cell, Endpoint
from experiments.fleet.cluster import Cluster
from experiments.planning.arms import noise_problem, with_arms
from experiments.planning.axes import (
    COMMON_AXES,
    PART,
    PLACE_AXES,
    SYSTEM,
    Axes,
    among,
    axis_problems,
    exclusion_problems,
    from_flag,
)
from experiments.planning.documents import repeats_of_documents, with_documents
from experiments.planning.flags import (
    FLAGS_ONLY,
    MOST_REPEATS,
    flag_of,
    number_of_flag,
    refuse_repeats,
)
from experiments.planning.named import where_named
from experiments.planning.parts import (
    PartOfMatrix,
    PartsOfMatrix,
    Place,
    name_problems,
    part_problems,
    question_problem,
    repeats_problem,
)
from experiments.planning.places import each_place_once, number_problem, placed
from experiments.planning.prompt_axes import AXES as PROMPTS
from experiments.planning.prompt_axes import each_length, other_workload_problems
from experiments.planning.systems import load_systems


class Constraint(Record):
    """Cells that match `when` are kept only if they match `only`, too.

    An axis that a cell does not have matches no `when` and blocks no `only`. A cell on `each` node
    matches this word and the name of its node.
    """

    when: Axes
    only: Axes

    def allows(self, *params: Mapping[str, Scalar]) -> bool:
        """Whether a cell stays, given its parameters: as written, and with words spelled out."""
        if not all(_matches(axis, v, params) for axis, v in self.when.items()):
            return True
        return all(
            axis not in params[0] or _matches(axis, v, params) for axis, v in self.only.items()
        )


def _matches(axis: str, values: Iterable[Scalar], params: Iterable[Mapping[str, Scalar]]) -> bool:
    """Whether some of these parameters have one of the values of an axis."""
    return any(axis in one and among(one[axis], values) for one in params)


class Matrix(Record):
    """What the user asks.

    Attributes:
        workload: what every cell does; None where each part has its own.
        parts: name to part; empty where there is one workload. Cells of a matrix with parts have
            the axis `part`.
        axes: axis name to the values to measure.
        repeats: trials of each cell; parts have their own.
        seed: of the order of trials.
        warmup: unmeasured trials of a cell before its first measured one, in each session.
        max_attempts: attempts of a trial before it counts as failed.
        noise: measure each cell as two identical arms, where its workload has a speed and it runs
            on nodes.
        equivalence_margin: relative difference below which two speeds count as the same.
        deadline_s: no process of a trial may live longer, in seconds.
        systems_file: what the values of the axis `system` are, relative to the project.
        file: where it was read from, for messages and provenance.
        flags: with which a command line named it, for commands that are printed; None where it
            was made otherwise.
    """

    title: str
    workload: Workload | None = None
    parts: PartsOfMatrix = Field(default_factory=dict)
    axes: Axes = Field(default_factory=dict)
    repeats: int = Field(default=6, ge=1, le=MOST_REPEATS)
    seed: int = Field(default=1, ge=-LARGEST_COUNT, le=LARGEST_COUNT)
    warmup: int = Field(default=1, ge=0, le=100)
    max_attempts: int = Field(default=3, ge=1, le=100)
    noise: bool = False
    equivalence_margin: Margin = EQUIVALENCE_MARGIN
    deadline_s: float = Field(default=1800.0, ge=1.0, le=86_400.0)
    constraints: tuple[Constraint, ...] = ()
    systems_file: str = "experiments/systems.yml"
    file: str = Field(default="", exclude=True)
    flags: tuple[str, ...] | None = Field(default=None, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _usual_workload(cls, given: object) -> object:
        if isinstance(given, Mapping) and (flags := [name for name in FLAGS_ONLY if name in given]):
            told = PydanticCustomError("matrix", FLAGS_ONLY[flags[0]])
            error = InitErrorDetails(type=told, loc=(flags[0],), input=None)
            raise ValidationError.from_exception_data("matrix", [error])
        if isinstance(given, Mapping) and not {"workload", "parts"} & given.keys():
            return {**given, "workload": Benchmark()}
        return given

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        problems = [
            InitErrorDetails(type=PydanticCustomError("matrix", _plain(text)), loc=at, input=None)
            for at, text in self._problems()
        ]
        if problems:
            raise ValidationError.from_exception_data("matrix", problems)
        if problem := repeats_problem(self.workload, self.repeats):
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[tuple[Place, str]]:
        """What is wrong with parts and their names: place and sentence of each."""
        if (self.workload is None) != bool(self.parts):
            yield (
                ("parts",),
                "a matrix has either one `workload`, or `parts` that have a workload each",
            )
        if self.parts and "repeats" in self.model_fields_set:
            yield ("repeats",), "each part has its own `repeats`: write it there"
        yield from part_problems(self.parts)
        if self.noise and (problem := noise_problem(self.workloads)):
            yield ("noise",), problem
        named: list[tuple[Place, Mapping[str, Sequence[Scalar]]]] = [(("axes",), self.axes)]
        for index, one in enumerate(self.constraints):
            at: Place = ("constraints", index)
            named += [((*at, "when"), one.when), ((*at, "only"), one.only)]
        for place, axes in named:
            for where, text in name_problems(axes, self.parts):
                yield (*place, *where), text
        for where, text in other_workload_problems(self.axes, self.workloads):
            yield ("axes", *where), text

    @property
    def in_turn(self) -> bool:
        """Whether blocks have turned orders instead of shuffled ones (`order_trials`)."""
        return False

    def override(
        self,
        *,
        nodes: str | Sequence[Scalar] | None = None,
        engine: str | Sequence[Scalar] | None = None,
        model: str | Sequence[Scalar] | None = None,
        axes: Mapping[str, str | Sequence[Scalar]] | None = None,
        repeats: int | str | None = None,
        seed: int | str | None = None,
        noise: bool = False,
    ) -> Self:
        """The same matrix with what the command line says instead.

        Args:
            nodes: values of that axis, as text with commas or as a sequence.
            engine: the same for engines.
            model: the same for models.
            axes: the same for any axis, by name.
            repeats: trials of each cell.
            seed: of the order of trials.
            noise: measure each cell as two arms, also if the matrix does not say so.

        Raises:
            HerdError: an unknown axis or value; the message lists the allowed ones.
        """
        given = {"nodes": nodes, "engine": engine, "model": model, **(axes or {})}
        values = {
            name: from_flag(name, value) for name, value in given.items() if value is not None
        }
        problems = [
            f"{flag_of(str(location[0]))}: {problem}" for location, problem in axis_problems(values)
        ]
        if problems:
            raise HerdError("Reading the command line: " + " ".join(problems))
        numbers = {
            name: number_of_flag(name, value)
            for name, value in (("repeats", repeats), ("seed", seed))
            if value is not None
        }
        if "repeats" in numbers:
            refuse_repeats(numbers["repeats"], self.title, self.workload)
        merged = {**self.axes, **{name: tuple(value) for name, value in values.items()}}
        for _, problem in (
            *exclusion_problems(merged),
            *name_problems(merged, self.parts),
            *other_workload_problems(merged, self.workloads),
        ):
            raise HerdError(f"Reading the command line: {problem}.")
        made = self.model_copy(update={"axes": merged, **numbers, "noise": self.noise or noise})
        if made.noise and (refusal := noise_problem(made.workloads)):
            raise HerdError(f"Reading the command line: --noise: {refusal}.")
        return made

    def values(self, axis: Axis) -> tuple[Scalar, ...]:
        """The values asked for on an axis, its default where the matrix does not name it."""
        return tuple(dict.fromkeys(self.axes.get(axis.name, (axis.default,))))

    @property
    def chosen_parts(self) -> dict[str, PartOfMatrix]:
        """The parts to measure: all, or those that the axis `part` names."""
        names = self.axes.get(PART.name, tuple(self.parts))
        return {name: part for name, part in self.parts.items() if name in names}

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """Every workload to measure."""
        if self.workload is not None:
            return (self.workload,)
        return tuple(part.workload for part in self.chosen_parts.values())

    def repeats_of(self, cell: Cell) -> int:
        """Trials of a cell."""
        part = self.parts.get(str(cell.params.get(PART.name)))
        return self.repeats if part is None else part.repeats

    def _tasks(self) -> Iterator[tuple[dict[str, Scalar], Workload]]:
        """What is to be done with each combination, and what that adds to its parameters."""
        if self.workload is not None:
            yield from each_length(self.workload, self.axes)
        for name, part in self.chosen_parts.items():
            for lengths, workload in each_length(part.workload, self.axes):
                yield {PART.name: name, **lengths}, workload

    def cells(self, cluster: Cluster | None = None) -> tuple[Cell, ...]:
        """Every combination once, without axes that its engine lacks.

        Args:
            cluster: the nodes whose names stand for `each` on the axis `on`; without it, such a
                cell keeps the word.

        Raises:
            HerdError: the constraints leave nothing, or a system is on another number of nodes.
        """
        found: dict[tuple[tuple[str, Scalar], ...], Cell] = {}
        for fixed, endpoint in self._beginnings():
            own = sorted(ENGINES[str(fixed["engine"])].axes, key=lambda axis: axis.name)
            place = [axis for axis in PLACE_AXES if axis.name in self.axes and endpoint is None]
            usual = [axis for axis in own if self._has(axis)]
            axes = [axis for axis in (*COMMON_AXES, *place, *usual) if axis.name not in fixed]
            combinations = itertools.product(*(self.values(axis) for axis in axes))
            for combination, (part, workload) in itertools.product(combinations, self._tasks()):
                values = zip(axes, combination, strict=True)
                chosen = {one.name: value for one, value in values if self._stays(one, part)}
                written = _in_order({**fixed, **chosen, **part}, own)
                for params in placed(written, cluster):
                    if all(one.allows(params, written) for one in self.constraints):
                        if cluster and (problem := number_problem(params, fixed)):
                            raise self._wrong(*problem, written)
                        cell = Cell(params, workload, self.deadline_s, endpoint=endpoint)
                        found.setdefault(tuple(params.items()), cell)
        if not found:
            raise HerdError(
                f"Reading the matrix {self.file}: its constraints leave no cell. Relax `only`, "
                "or name more values."
            )
        cells = each_place_once(found.values(), cluster) if cluster else tuple(found.values())
        return with_arms(cells, self.file) if self.noise else cells

    def _has(self, axis: Axis) -> bool:
        """Whether cells have an axis of their engine."""
        if axis.goes_with:
            return bool({axis.name, axis.goes_with} & self.axes.keys())
        return axis.name in self.axes or not axis.is_rare

    def _stays(self, axis: Axis, part: Mapping[str, Scalar]) -> bool:
        """Whether cells of a part keep an axis: not one that goes with another that it lacks."""
        return not axis.goes_with or axis.goes_with in part or axis.name in self.axes

    def _wrong(self, axis: Axis, told: str, params: Mapping[str, Scalar]) -> HerdError:
        where = where_named(self.file, self.systems_file, self.axes, axis.name, params)
        return HerdError(f"{where}: {told}")

    def _beginnings(self) -> Iterator[tuple[dict[str, Scalar], Endpoint | None]]:
        """What cells begin with: a system and what it fixes, or an engine."""
        if SYSTEM.name not in self.axes:
            for engine in self.values(COMMON_AXES[0]):
                yield {"engine": engine}, None
            return
        systems = load_systems(PROJECT_FOLDER / self.systems_file)
        for name in self.values(SYSTEM):
            system = systems.get(str(name))
            yield {SYSTEM.name: name, **system.params()}, system.endpoint()


def _in_order(params: Mapping[str, Scalar], own: Sequence[Axis]) -> dict[str, Scalar]:
    """Axes in the order in which all cells have them: common ones first."""
    names = [axis.name for axis in (SYSTEM, *COMMON_AXES, PART, *PROMPTS, *PLACE_AXES, *own)]
    return {name: params[name] for name in names if name in params}


def load_matrix(path: Path) -> Matrix:
    """Read a matrix file.

    Raises:
        HerdError: no such file (also of questions or documents), not YAML, an unknown key, axis or
            value; with file and line, what is wrong and what would be right.
    """
    matrix = load_yaml_file(path, Matrix, "the matrix")
    ascii_only = _scores_only_ascii(matrix)
    parts = {
        name: part.model_copy(update=_from_files(part, path, only_ascii=ascii_only))
        for name, part in matrix.parts.items()
    }
    if found := question_problem(parts):
        at, file, problem = found
        raise HerdError(f"{path}, line {line_of(path, at, file)}: {problem}.")
    return matrix.model_copy(
        update={
            "file": str(path),
            **_from_files(matrix, path, only_ascii=ascii_only),
            "parts": parts,
        }
    )


def _scores_only_ascii(matrix: Matrix) -> bool:
    """Whether an engine of a matrix scores ASCII alone; of systems it is assumed."""
    names = [str(name) for name in matrix.values(COMMON_AXES[0])]
    return SYSTEM.name in matrix.axes or any(ENGINES[name].scores_only_ascii for name in names)


def _from_files(one: Matrix | PartOfMatrix, path: Path, *, only_ascii: bool) -> dict[str, object]:
    """Read what a workload names in files: questions, or documents, which give the repeats."""
    workload = one.workload
    if isinstance(workload, Questions):
        asked = load_questions(PROJECT_FOLDER / workload.file)
        return {"workload": workload.model_copy(update={"asked": asked})}
    if isinstance(workload, Documents):
        given = one.repeats if "repeats" in one.model_fields_set else None
        found = with_documents(workload, only_ascii=only_ascii)
        return {"workload": found, "repeats": repeats_of_documents(found, given, path)}
    return {}


def _plain(text: str) -> str:
    """Text without braces, which pydantic would take for placeholders."""
    return text.replace("{", "(").replace("}", ")")
