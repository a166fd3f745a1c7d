"""Cells by name: the values of their axes in words."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from analysis.text.sentence import say, together
from analysis.text.wording import plural
from collect.labels import deployments
from collect.workloads import DECODE_AXIS, FROM_EMPTY
from core.record import Scalar

DEVICE, GROUP, ON, GROUPS = "device", "group", "on", "groups"
"""Axes: on what a cell computes, which machines it takes its nodes from, which it names, and how it
divides them among deployments at once."""
FIRST_NODES = "first"
"""The value of `ON` for a cell that takes the first nodes of its group; others name them."""
ON_GPU = "gpu"
"""The value of `DEVICE` for a cell that computes on GPUs."""


def users_at_once(params: Mapping[str, Scalar]) -> int:
    """How many deployments of a cell run at once; one without the axis `groups`."""
    return int(str(params.get(GROUPS, "1x1")).partition("x")[0])


def varying_axes(all_params: Iterable[Mapping[str, Scalar]]) -> tuple[str, ...]:
    """Axes with more than one value; an axis that only some engines have may still not vary."""
    values: dict[str, set[Scalar]] = {}
    for params in all_params:
        for axis, value in params.items():
            values.setdefault(axis, set()).add(value)
    first = ("engine", "model", "weights")
    names = [axis for axis in first if axis in values]
    names += sorted(values.keys() - set(first))
    return tuple(axis for axis in names if len(values[axis]) > 1)


def in_words(axis: str, value: Scalar) -> str:
    """A value of an axis as a legend names it."""
    switch = "on" if value is True else "off" if value is False else str(value)
    spelled = {
        "engine": str(value),
        "model": str(value),
        "weights": str(value),
        "system": str(value),
        "workers": say("workers {value}", value=value),
        "threads": "all cores"
        if value == 0
        else plural(int(value), "thread")
        if axis == "threads"
        else "",
        "context": "the model's context"
        if value == 0
        else say("a context of {value} tokens", value=value),
        "prompt_tokens": say("a prompt of {value} tokens", value=value),
        "generate_tokens": say("{value} generated tokens", value=value),
        "link_mbit": say("{value} Mbit/s", value=value) if value else "the lab's link",
        "link_delay_ms": say("+{value} ms round trip", value=value) if value else "no delay",
        "net_turbo": say("net-turbo {switch}", switch=switch),
        "split_mode": say("split by {value}", value=value),
        ON: _named(str(value)),
        GROUPS: _divided(str(value)),
        DECODE_AXIS: "decode from an empty context"
        if value == FROM_EMPTY
        else "decode after the prompt",
        DEVICE: "GPU" if value == ON_GPU else str(value).upper(),
    }
    return spelled.get(
        axis, say("{replace} {switch}", replace=axis.replace("_", " "), switch=switch)
    )


def _named(machines: str) -> str:
    """The value of `ON` in words."""
    if machines == FIRST_NODES:
        return "the first nodes"
    return machines if "+" in machines else say("{machines} alone", machines=machines)


def _divided(groups: str) -> str:
    """A value of `GROUPS` in words: figures of such a cell are those of one user."""
    told = deployments(groups)
    return told if groups.startswith("1x") else say("one user of {shown}", shown=told)


def named_by(
    params: Mapping[str, Scalar],
    axes: Collection[str],
    *,
    otherwise: str = "",
    software: str = "",
    is_whole: bool = False,
) -> str:
    """Name some cells by the values of some axes.

    Args:
        params: axis to value.
        axes: those that distinguish them.
        otherwise: what they are called where no axis does.
        software: how their GPU is called where it is software: part of every name.
        is_whole: figures are those of all deployments at once, not of one user.
    """
    words = [
        software
        if software and axis == DEVICE
        else deployments(str(params[axis]))
        if is_whole and axis == GROUPS
        else in_words(axis, params[axis])
        for axis in axes
        if axis in params
    ] or [otherwise]
    if software and software not in words:
        words.append(software)
    return together(filter(None, words), ", ")


def link_in_words(mbit: int, delay_ms: int) -> str:
    """`100 Mbit/s, +100 ms round trip`."""
    return say(
        "{in_words}, {in_words_2}",
        in_words=in_words("link_mbit", mbit),
        in_words_2=in_words("link_delay_ms", delay_ms),
    )
