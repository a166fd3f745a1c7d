"""The axes that a matrix may name, and what is a value of each."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from core.errors import HerdError
from core.foreign import LARGEST_COUNT, one_line
from core.record import Scalar
from core.yaml_file import LONGEST_SHOWN, MOST_MISTAKES, UNQUOTED
from experiments.engines import APIS, DEFAULT, ENGINES, ON_NODES
from experiments.engines.base import (
    ARM_AXIS,
    DEVICE_AXIS,
    GROUP_AXIS,
    GROUPS_AXIS,
    ON_AXIS,
    PLUS,
    Axis,
)
from experiments.engines.common import model_spec
from experiments.engines.parts import incomplete
from experiments.engines.petals_prompts import ADAPTER
from experiments.links.links import LINK_AXES, MOST
from experiments.planning.prompt_axes import AXES as PROMPTS
from experiments.planning.prompt_axes import count_problem
from experiments.planning.recipes import not_made_yet
from models.shape import Weights

SYSTEM = Axis("system", str, default="")
"""Stands for the axes that a system of `experiments/systems.yml` fixes; not among a cell's own."""
FIXED_BY_SYSTEMS = ("engine", "model", "nodes", "weights")
COMMON_AXES: tuple[Axis, ...] = (
    Axis("engine", str, default=DEFAULT, values=tuple(ON_NODES)),
    Axis("model", str, default="stories15m"),
    Axis("nodes", int, default=1),
    Axis("weights", str, default="f32", values=get_args(Weights)),
    Axis("workers", str, default="fresh", values=("fresh", "kept")),
)
PART = Axis("part", str, default="")
"""Which part of a matrix with several workloads; cells of others do not have it."""
PLACE_AXES: tuple[Axis, ...] = (DEVICE_AXIS, GROUP_AXIS, ON_AXIS, GROUPS_AXIS, *LINK_AXES)
"""Where a cell runs. All engines have them; cells only where the matrix names them."""

LONGEST_VALUE = 1000
"""Characters of a value, except names of machines, which have another limit."""
LONGEST_NAMES = 4000
"""Characters of a value with names of machines: what a run keeps of one."""
ZERO_MEANS = {"threads": "the node's cores", "context": "the model's own"}
"""Axes of counts that stand for something of the machine or the model where they are 0."""


NO_VALUE = "each value of an axis must be a word or a number: `[first, second]`"


def _as_list(value: object) -> object:
    """One value is a list of one. Raises ValueError where one is none that a run can keep."""
    values = value if isinstance(value, list | tuple) else [value]
    for one in values:
        if not isinstance(one, bool | int | float | str):
            raise ValueError(NO_VALUE)  # noqa: TRY004 - for pydantic
        if isinstance(one, int) and abs(one) > LARGEST_COUNT:
            raise ValueError(f"{one} is too large: give a number up to {LARGEST_COUNT}")
        if isinstance(one, str) and len(one) > LONGEST_NAMES:
            raise ValueError(
                f"a value has {len(one)} characters: give at most {LONGEST_NAMES} of names of "
                f"machines, and {LONGEST_VALUE} of anything else"
            )
    return values


def _known(given: dict[str, tuple[Scalar, ...]]) -> dict[str, tuple[Scalar, ...]]:
    """Axes with values as the engines know them; the error has the place of each mistake."""
    axes = _with_words(given)
    problems = [
        InitErrorDetails(
            # Braces would be taken for placeholders.
            type=PydanticCustomError("axis", text.rstrip(".").replace("{", "(").replace("}", ")")),
            loc=where,
            input=None,
        )
        for where, text in itertools.islice(
            itertools.chain(axis_problems(axes), exclusion_problems(axes)), MOST_MISTAKES
        )
    ]
    if problems:
        raise ValidationError.from_exception_data("axes", problems)
    return axes


Values = Annotated[tuple[Scalar, ...], BeforeValidator(_as_list), Field(min_length=1)]
Axes = Annotated[dict[str, Values], AfterValidator(_known)]


def _with_words(axes: Mapping[str, tuple[Scalar, ...]]) -> dict[str, tuple[Scalar, ...]]:
    """Axes whose words may be numbers have them as words, as on the command line."""
    known = known_axes()
    spelled = {name for name, same in known.items() if any(a.form and a.kind is str for a in same)}
    return {
        name: tuple(str(v) if type(v) is int else v for v in values) if name in spelled else values
        for name, values in axes.items()
    }


def known_axes() -> dict[str, tuple[Axis, ...]]:
    """Every axis that some engine or all have, by name (an axis may differ between engines)."""
    known: dict[str, tuple[Axis, ...]] = {axis.name: (axis,) for axis in (SYSTEM, *COMMON_AXES)}
    known |= {axis.name: (axis,) for axis in (PART, *PLACE_AXES, *PROMPTS)}
    for engine in ENGINES.values():
        for axis in engine.axes:
            known[axis.name] = (*known.get(axis.name, ()), axis)
    return known


def exclusion_problems(
    axes: Mapping[str, Sequence[Scalar]],
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Find axes given with `system` although systems fix them: place and sentence of each."""
    for name in FIXED_BY_SYSTEMS:
        if SYSTEM.name in axes and name in axes:
            yield (name,), f"a system defines its own {name}: use either axis system or axis {name}"


def among(value: Scalar, allowed: Iterable[Scalar]) -> bool:
    """Whether a value is listed; True is not 1."""
    return any(value == other and type(value) is type(other) for other in allowed)


def axis_problems(
    axes: Mapping[str, Sequence[Scalar]],
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Axes and values that do not exist: place and sentence of each."""
    known = known_axes()
    for name, values in axes.items():
        if name == ARM_AXIS.name:
            yield (name,), "arm is no axis that a matrix names: write `noise: true` instead."
            continue
        if name not in known:
            nearest = _nearest(name, known, "Known axes")
            yield (name,), f"unknown axis {one_line(name, LONGEST_SHOWN)}{nearest}."
            continue
        for index, value in enumerate(values):
            problem = _value_problem(known[name], value)
            if problem:
                yield (name, index), problem


def _value_problem(axes: tuple[Axis, ...], value: Scalar) -> str | None:
    name = axes[0].name
    if type(value) is not axes[0].kind:
        quoted = f" {UNQUOTED}" if type(value) is bool and axes[0].kind is str else ""
        return f"invalid value {_shown(value)} for axis {name}: {_expected(axes[0])}.{quoted}"
    if problem := _size_problem(axes[0], value):
        return problem
    listed = tuple(other for axis in axes for other in axis.values or ())
    if name == "engine" and value in APIS:
        return (
            f"{value} can only be asked as a system: on axis system, name one from "
            "experiments/systems.yml."
        )
    forms = [axis.form for axis in axes if axis.form]
    of_a_form = any(re.fullmatch(pattern, str(value)) for pattern, _ in forms)
    if listed and not among(value, listed) and not of_a_form:
        allowed = [as_typed(other) for other in dict.fromkeys(listed)]
        allowed += [spelled for _, spelled in forms]
        return f"invalid value {_shown(value)} for axis {name}{_nearest(as_typed(value), allowed)}."
    own = _OF_WORDS.get(name)
    return own(str(value)) if own else _count_problem(name, value)


def _size_problem(axis: Axis, value: Scalar) -> str | None:
    """Say that a run cannot keep a value, for its size; None if it can."""
    limit = None
    if isinstance(value, str) and axis.name != ON_AXIS.name and len(value) > LONGEST_VALUE:
        limit = f"give at most {LONGEST_VALUE} characters"
    if isinstance(value, int) and abs(value) > LARGEST_COUNT:
        limit = f"give a number up to {LARGEST_COUNT}"
    return f"invalid value {_shown(value)} for axis {axis.name}: {limit}." if limit else None


def _unfinished(engine: str) -> str | None:
    return incomplete(ENGINES[engine])


def _repeated(names: str) -> str | None:
    """Say that a node is named twice; None if none is."""
    seen: set[str] = set()
    for name in names.split(PLUS):
        if name in seen:
            return (
                f"invalid value {_shown(names)} for axis {ON_AXIS.name}: it names the node "
                f"{one_line(name, LONGEST_SHOWN)} twice."
            )
        seen.add(name)
    return None


def _count_problem(name: str, value: Scalar) -> str | None:
    if name == "nodes" and isinstance(value, int) and value < 1:
        return f"invalid value {value} for axis nodes: it must be at least 1."
    if name in ZERO_MEANS and isinstance(value, int) and value < 0:
        return (
            f"invalid value {value} for axis {name}: give 1 or more, or 0 for {ZERO_MEANS[name]}."
        )
    if name in MOST and isinstance(value, int):
        most, unit = MOST[name]
        if not 0 <= value <= most:
            return (
                f"invalid value {value} for axis {name}: give 1 to {most} {unit}, or 0 for the "
                "lab's own."
            )
    return count_problem(name, value)


def _model_problem(name: str) -> str | None:
    try:
        model_spec(name)
    except HerdError as error:
        return not_made_yet(name) or str(error)
    return None


_OF_WORDS: Mapping[str, Callable[[str], str | None]] = {
    "engine": _unfinished,
    "model": _model_problem,
    ADAPTER.name: not_made_yet,
    ON_AXIS.name: _repeated,
}
"""What else may be wrong with a value of these axes: a sentence, or None."""


def as_typed(value: Scalar) -> str:
    """A value of an axis as matrices and command lines have it: `true`, not `True`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(value: Scalar) -> str:
    return one_line(repr(value), LONGEST_SHOWN)


def _expected(axis: Axis) -> str:
    words = {bool: "true or false", int: "a whole number", str: "a word", float: "a number"}
    return f"give {words[axis.kind]}"


def _nearest(word: str, allowed: Iterable[str], title: str = "Allowed values") -> str:
    names = list(allowed)
    near = difflib.get_close_matches(word[:LONGEST_SHOWN], names, n=1)
    meant = f"; did you mean {near[0]}?" if near else "."
    return f"{meant} {title}: {', '.join(names)}"


def from_flag(name: str, value: str | Sequence[Scalar]) -> tuple[Scalar, ...]:
    """Values as the command line writes them, in the axis's own type where that is possible."""
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
