"""A question about a setting, as a person writes it, and the setting that it means."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import get_args

from analysis.model.cost import USUAL_LINK_MBIT, Observation, Setting
from analysis.model.predict import MOST_GAIN
from analysis.text.sentence import say
from analysis.what_if.basis import Basis
from core.errors import HerdError
from core.foreign import one_line
from models.catalogue import load_catalogue
from models.shape import ModelShape, Weights

MOST_NODES = 64
LEAST_GAIN = 1 / MOST_GAIN
"""Of memory and processor: the class of machine in which a fit holds."""
LEAST_RATE, MOST_RATE = 1.0, 400_000.0
LEAST_TIMES, MOST_TIMES = 0.01, 100.0
"""Of links and latency."""
MOST_QUESTIONS = 100
NUMBER = r"[0-9]+(?:\.[0-9]+)?"
BETWEEN = r",(?!\s*[a-z_]+=)"
"""A comma between two values; one before `layers=` is within the name of a synthetic model."""


@dataclass(frozen=True, slots=True)
class Link:
    """The rate of links: `mbit` in Mbit/s, or `times` that of now."""

    mbit: float | None = None
    times: float = 1.0


@dataclass(frozen=True, slots=True)
class Supposed:
    """What is to change; None for as it was in the fastest measured cell.

    Attributes:
        model: name of the model.
        nodes: how many.
        weights: their type.
        link: rate of the links.
        root: name of the machine that is the root.
        latency: how long a step waits, as a multiple of now.
        memory: how many times faster the memory is.
        processor: the same for arithmetic and the cost of layers.
    """

    model: str | None = None
    nodes: int | None = None
    weights: Weights | None = None
    link: Link | None = None
    root: str | None = None
    latency: float = 1.0
    memory: float = 1.0
    processor: float = 1.0


def supposed_of(given: Mapping[str, str | None]) -> tuple[Supposed, ...]:
    """Read flags, each with one value or several with commas; every combination is a question.

    Args:
        given: `model`, `nodes`, `weights`, `link`, `root`, `latency`, `memory`, `processor` to what
            was written; None for a flag that was not given.

    Raises:
        HerdError: a value is none; the message has the flag and what would be right.
    """
    values = {name: list(_values(name, text)) for name, text in given.items() if text is not None}
    names = list(values)
    combined = list(itertools.islice(itertools.product(*values.values()), MOST_QUESTIONS + 1))
    if len(combined) > MOST_QUESTIONS:
        raise HerdError(
            f"That is more than {MOST_QUESTIONS} settings at once: give fewer values to "
            f"{' and '.join(f'--{name}' for name in names)}."
        )
    return tuple(Supposed(**dict(zip(names, one, strict=True))) for one in combined)  # type: ignore[arg-type]


def _values(name: str, text: str) -> Iterator[object]:
    parts = [part.strip() for part in re.split(BETWEEN, text)]
    if not all(parts):
        raise HerdError(
            f"--{name} {one_line(text)}: a value is empty. Write `--{name} {HELP[name]}`."
        )
    for part in dict.fromkeys(parts):
        yield _value(name, part)


HELP = {
    "model": "llama3.2-1b-instruct",
    "nodes": "2,4,8",
    "weights": "q4_0",
    "link": "2500",
    "root": "desk",
    "latency": "0.5",
    "memory": "1.5",
    "processor": "1.5",
}
"""A right value of each flag."""


def _value(name: str, text: str) -> object:
    if name in ("model", "root"):
        return text
    if name == "weights":
        return _weights(text)
    if name == "link":
        return _link(text)
    if name == "nodes":
        return _nodes(text)
    if name == "latency":
        what = "how long a step waits, as a multiple of now: 0.5 is half as long"
        return _factor(name, text, LEAST_TIMES, MOST_TIMES, what)
    thing = "the memory" if name == "memory" else "the processor"
    what = say(
        "how many times faster {thing} is; beyond that it is another class of machine", thing=thing
    )
    return _factor(name, text, LEAST_GAIN, MOST_GAIN, what)


def _weights(text: str) -> Weights:
    known: tuple[Weights, ...] = get_args(Weights)
    for weights in known:
        if text == weights:
            return weights
    raise HerdError(f"--weights {one_line(text)}: it must be one of {', '.join(known)}.")


def _nodes(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,4}", text) and 1 <= int(text) <= MOST_NODES:
        return int(text)
    raise HerdError(
        f"--nodes {one_line(text)}: it must be a whole number from 1 to {MOST_NODES}, or several "
        "such as 2,4,8."
    )


def _link(text: str) -> Link:
    if found := re.fullmatch(rf"({NUMBER})(x?)", text):
        value = float(found[1])
        if found[2] and LEAST_TIMES <= value <= MOST_TIMES:
            return Link(times=value)
        if not found[2] and LEAST_RATE <= value <= MOST_RATE:
            return Link(mbit=value)
    raise HerdError(
        f"--link {one_line(text)}: it must be a rate in Mbit/s from {LEAST_RATE:g} to "
        f"{MOST_RATE:g}, such as 2500, or how many times faster than now, such as 10x."
    )


def _factor(name: str, text: str, least: float, most: float, what: str) -> float:
    if re.fullmatch(NUMBER, text) and least <= float(text) <= most:
        return float(text)
    raise HerdError(
        f"--{name} {one_line(text)}: it must be a number from {least:g} to {most:g}: {what}."
    )


def starting_cell(basis: Basis, model: str | None) -> tuple[str, Observation, ModelShape]:
    """The model that is meant, the measured cell from which to start, and the model's sizes.

    Raises:
        HerdError: no such model.
    """
    fastest = min(basis.measured, key=lambda one: one.total_ms)
    name = model or fastest.model
    if (own := basis.best(name)) is not None:
        return name, own, own.setting.shape
    return name, fastest, load_catalogue().get(name).shape


def setting_of(basis: Basis, asked: Supposed) -> Setting:
    """The setting that a question means.

    Raises:
        HerdError: the run does not know the root's speed, or the links' rate.
    """
    _, start, shape = starting_cell(basis, asked.model)
    usual = start.setting
    nodes = asked.nodes or usual.nodes
    if asked.root:
        _check_root(basis, asked.root)
    weights = asked.weights or usual.weights
    names = basis.lineup(usual, nodes, asked.root)
    return replace(
        usual,
        shape=shape,
        weights=weights,
        exchanged=usual.exchanged if weights == usual.weights else None,
        nodes=nodes,
        link_mbit=_rate(basis, usual, asked.link),
        slowness=basis.pace_of(names, nodes),
        names=names,
        shared=any(one.setting.shared for one in basis.measured),
        memory_gain=asked.memory,
        compute_gain=asked.processor,
        latency_gain=1 / asked.latency,
    )


def _rate(basis: Basis, usual: Setting, link: Link | None) -> float | None:
    known = basis.link_mbit(usual)
    if link is None or link == Link():
        return known
    if link.mbit is None:
        return (known or USUAL_LINK_MBIT) * link.times
    if known is None:
        raise HerdError(
            f"--link {link.mbit:g}: the run does not record how fast its links are. Ask for a "
            "multiple instead, such as --link 10x."
        )
    return link.mbit


def _check_root(basis: Basis, root: str) -> None:
    if root not in basis.nodes:
        raise HerdError(
            f"--root {one_line(root)}: no such machine took part. It must be one of "
            f"{', '.join(map(one_line, basis.nodes))}."
        )
    if not basis.pace_of([root], 1):
        raise HerdError(
            f"--root {one_line(root)}: how fast each machine is alone was not measured. A matrix "
            "with `on: [each, first]` measures it."
        )
