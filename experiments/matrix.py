"""A matrix: axes and their values, a workload, repeats. Its cells are what can be measured."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from collect.errors import HerdError
from collect.questions import load_questions
from collect.run import Benchmark, Greedy, Questions, Record, Scalar, Workload
from experiments.engines import ENGINES
from experiments.engines.base import Axis, Cell
from experiments.engines.common import PROJECT_FOLDER, model_spec
from models.yaml_file import load_yaml_file

COMMON_AXES: tuple[Axis, ...] = (
    Axis("engine", str, default="llama.cpp", values=tuple(ENGINES)),
    Axis("model", str, default="stories15m"),
    Axis("nodes", int, default=1),
    Axis("weights", str, default="f32", values=("f32", "f16", "q8_0", "q4_0")),
    Axis("workers", str, default="fresh", values=("fresh", "kept")),
)

ZERO_MEANS = {"threads": "the node's cores", "context": "the model's own"}
"""Axes of counts that stand for something of the machine or the model where they are 0."""


def _as_list(value: object) -> object:
    """One value stands for a list of one."""
    return value if isinstance(value, list | tuple) else [value]


def _known(axes: dict[str, tuple[Scalar, ...]]) -> dict[str, tuple[Scalar, ...]]:
    """Axes with values as the engines know them; the error has the place of each mistake."""
    problems = [
        InitErrorDetails(
            # Braces would be taken for placeholders.
            type=PydanticCustomError("axis", text.rstrip(".").replace("{", "(").replace("}", ")")),
            loc=where,
            input=None,
        )
        for where, text in _axis_problems(axes)
    ]
    if problems:
        raise ValidationError.from_exception_data("axes", problems)
    return axes


Values = Annotated[tuple[Scalar, ...], BeforeValidator(_as_list), Field(min_length=1)]
Axes = Annotated[dict[str, Values], AfterValidator(_known)]


class Constraint(Record):
    """Cells that match `when` are kept only if they match `only`, too.

    An axis that a cell does not have matches no `when` and hinders no `only`.
    """

    when: Axes
    only: Axes

    def allows(self, params: Mapping[str, Scalar]) -> bool:
        """Whether a cell of these parameters stays."""
        if not all(axis in params and _among(params[axis], v) for axis, v in self.when.items()):
            return True
        return all(axis not in params or _among(params[axis], v) for axis, v in self.only.items())


class Matrix(Record):
    """What the user asks.

    Attributes:
        axes: axis name to the values to measure.
        repeats: trials of each cell.
        seed: of the order of trials.
        warmup: unmeasured trials of a cell before its first measured one, in each session.
        max_attempts: attempts of a trial before it counts as failed.
        deadline_s: no process of a trial may live longer, in seconds.
        file: where it was read from, for messages and provenance.
    """

    title: str
    workload: Workload = Benchmark()
    axes: Axes = Field(default_factory=dict)
    repeats: int = Field(default=5, ge=1, le=10_000)
    seed: int = 1
    warmup: int = Field(default=1, ge=0, le=100)
    max_attempts: int = Field(default=3, ge=1, le=100)
    deadline_s: float = Field(default=1800.0, ge=1.0, le=86_400.0)
    constraints: tuple[Constraint, ...] = ()
    file: str = Field(default="", exclude=True)

    @model_validator(mode="after")
    def _each_prompt_once(self) -> Self:
        if isinstance(self.workload, Greedy) and self.repeats != self.workload.repeats:
            raise ValueError(
                f"a greedy workload of {len(self.workload.prompts)} prompts has a trial for each "
                f"and one for its text: write `repeats: {self.workload.repeats}`"
            )
        return self

    def override(
        self,
        *,
        nodes: str | Sequence[Scalar] | None = None,
        engine: str | Sequence[Scalar] | None = None,
        model: str | Sequence[Scalar] | None = None,
        axes: Mapping[str, str | Sequence[Scalar]] | None = None,
        repeats: int | str | None = None,
        seed: int | str | None = None,
    ) -> Self:
        """The same matrix with what the command line says instead.

        Args:
            nodes: values of that axis, as text with commas or as a sequence.
            engine: likewise.
            model: likewise.
            axes: any axis by name, likewise.
            repeats: trials of each cell.
            seed: of the order of trials.

        Raises:
            HerdError: an unknown axis or value; the message lists the allowed ones.
        """
        given = {"nodes": nodes, "engine": engine, "model": model, **(axes or {})}
        values = {
            name: _from_flag(name, value) for name, value in given.items() if value is not None
        }
        problems = [
            f"--{str(location[0]).replace('_', '-')}: {problem}"
            for location, problem in _axis_problems(values)
        ]
        if problems:
            raise HerdError("Reading the command line: " + " ".join(problems))
        numbers = {
            name: _number_of_flag(name, value)
            for name, value in (("repeats", repeats), ("seed", seed))
            if value is not None
        }
        if isinstance(self.workload, Greedy) and "repeats" in numbers:
            raise HerdError(
                f"--repeats {numbers['repeats']}: the trials of {self.title} are its prompts and "
                "its text, each once. Leave it out, or name other prompts in the matrix."
            )
        merged = {**self.axes, **{name: tuple(value) for name, value in values.items()}}
        return self.model_copy(update={"axes": merged, **numbers})

    def values(self, axis: Axis) -> tuple[Scalar, ...]:
        """The values asked for on an axis, its default where the matrix does not name it."""
        return tuple(dict.fromkeys(self.axes.get(axis.name, (axis.default,))))

    def cells(self) -> tuple[Cell, ...]:
        """Every combination once, without axes that its engine lacks.

        Raises:
            HerdError: the constraints leave nothing.
        """
        found: dict[tuple[tuple[str, Scalar], ...], Cell] = {}
        for engine in self.values(COMMON_AXES[0]):
            own = sorted(ENGINES[str(engine)].axes, key=lambda axis: axis.name)
            axes = (*COMMON_AXES[1:], *own)
            for combination in itertools.product(*(self.values(axis) for axis in axes)):
                named = zip(axes, combination, strict=True)
                params: dict[str, Scalar] = {"engine": engine}
                params.update((axis.name, value) for axis, value in named)
                if all(constraint.allows(params) for constraint in self.constraints):
                    cell = Cell(params, self.workload, self.deadline_s)
                    found.setdefault(tuple(params.items()), cell)
        if not found:
            raise HerdError(
                f"Reading the matrix {self.file}: its constraints leave no cell. "
                "Loosen `only`, or name more values."
            )
        return tuple(found.values())


def load_matrix(path: Path) -> Matrix:
    """Read a matrix file.

    Raises:
        HerdError: no such file (also of questions), not YAML, an unknown key, axis or value; with
            file and line,
            what is wrong and what would be right.
    """
    matrix = load_yaml_file(path, Matrix, "the matrix")
    workload = matrix.workload
    if isinstance(workload, Questions):
        asked = load_questions(PROJECT_FOLDER / workload.file)
        workload = workload.model_copy(update={"asked": asked})
    return matrix.model_copy(update={"file": str(path), "workload": workload})


def known_axes() -> dict[str, tuple[Axis, ...]]:
    """Every axis that some engine or all have, by name (an axis may differ between engines)."""
    known: dict[str, tuple[Axis, ...]] = {axis.name: (axis,) for axis in COMMON_AXES}
    for engine in ENGINES.values():
        for axis in engine.axes:
            known[axis.name] = (*known.get(axis.name, ()), axis)
    return known


def _among(value: Scalar, allowed: Iterable[Scalar]) -> bool:
    """Whether a value is listed; True is not 1."""
    return any(value == other and type(value) is type(other) for other in allowed)


def _axis_problems(
    axes: Mapping[str, Sequence[Scalar]],
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    known = known_axes()
    for name, values in axes.items():
        if name not in known:
            yield (name,), f"there is no axis {name}{_nearest(name, known)}."
            continue
        for index, value in enumerate(values):
            problem = _value_problem(known[name], value)
            if problem:
                yield (name, index), problem


def _value_problem(axes: tuple[Axis, ...], value: Scalar) -> str | None:
    name = axes[0].name
    if type(value) is not axes[0].kind:
        return f"{value!r} is no value of {name}: {_expected(axes[0])}."
    listed = tuple(other for axis in axes for other in axis.values or ())
    if listed and not _among(value, listed):
        allowed = [_spelled(other) for other in dict.fromkeys(listed)]
        return f"{value!r} is no value of {name}{_nearest(_spelled(value), allowed)}."
    if name == "nodes" and isinstance(value, int) and value < 1:
        return f"{value} is no number of nodes: give 1 or more."
    if name in ZERO_MEANS and isinstance(value, int) and value < 0:
        return f"{value} is no value of {name}: give 1 or more, or 0 for {ZERO_MEANS[name]}."
    if name == "model":
        return _model_problem(str(value))
    return None


def _model_problem(name: str) -> str | None:
    try:
        model_spec(name)
    except HerdError as error:
        return str(error)
    return None


def _spelled(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _expected(axis: Axis) -> str:
    words = {bool: "true or false", int: "a whole number", str: "a word", float: "a number"}
    return f"it takes {words[axis.kind]}"


def _nearest(word: str, allowed: Iterable[str]) -> str:
    names = list(allowed)
    near = difflib.get_close_matches(word, names, n=1)
    meant = f"; did you mean {near[0]}?" if near else "."
    return f"{meant} Allowed are {', '.join(names)}"


def _from_flag(name: str, value: str | Sequence[Scalar]) -> tuple[Scalar, ...]:
    if not isinstance(value, str):
        return tuple(value)
    axes = known_axes().get(name)
    kind = axes[0].kind if axes else str
    return tuple(_scalar(kind, word.strip()) for word in value.split(",") if word.strip())


def _scalar(kind: type, word: str) -> Scalar:
    """A word of the command line in the axis's own type; the word itself if it is none."""
    if kind is bool:
        return {"true": True, "false": False}.get(word.lower(), word)
    if kind is int:
        try:
            return int(word)
        except ValueError:
            return word
    return word


def _number_of_flag(name: str, value: int | str) -> int:
    try:
        number = int(value)
    except ValueError:
        raise HerdError(f"--{name} {value}: give a whole number.") from None
    if name == "repeats" and number < 1:
        raise HerdError(f"--repeats {number}: give 1 or more.")
    return number
