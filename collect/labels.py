"""Cells in a few words; needs nothing that takes time to load."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from collect.workloads import DECODE_AXIS, FROM_EMPTY
from core.record import Scalar

PLACED_AXES = (
    "system", "engine", "model", "nodes", "group", "on", "threads", "context", "adapter", "arm",
    "groups",
)  # fmt: skip
"""Axes whose words a label has at a fixed place."""
PROMPTS = {"prompt_tokens": "a prompt of {} tokens", "generate_tokens": "{} generated tokens"}
"""Axes of the numbers of tokens of a benchmark, and how they are labelled."""
LINK = ("link_mbit", "link_delay_ms")
"""Axes of links, which are labelled by their units."""


def cell_label(params: Mapping[str, Scalar], gpus: Iterable[str] = ()) -> str:
    """A cell in a few words.

    Args:
        params: axis name to value.
        gpus: the nodes that compute on their GPU, where they are known.
    """
    where = " and ".join(gpus)
    names = {True: "on", False: "off"}
    system = f"{params['system']}: " if "system" in params else ""
    words = [f"{system}{params['engine']}", str(params["model"])]
    if not params["nodes"]:  # an API: what is left to say is whether it is asked
        return " ".join((*words, str(params.get("answers", ""))))
    words.append(_machines(params))
    skipped = (*PLACED_AXES, *LINK, *PROMPTS, DECODE_AXIS)
    for name, value in params.items():
        if name not in skipped:
            words.append(f"{name} {names[value]}" if isinstance(value, bool) else str(value))
        if name == "device" and where:
            words.append(f"on {where}")
    if "adapter" in params:
        adapter = params["adapter"]
        words.append("without an adapter" if adapter == "none" else f"with the adapter {adapter}")
    words += [told.format(params[axis]) for axis, told in PROMPTS.items() if axis in params]
    words += ["decode from an empty context"] * (params.get(DECODE_AXIS) == FROM_EMPTY)
    words += _link_words(params)
    if params.get("context"):
        words.append(f"context {params['context']}")
    if params.get("threads"):
        words.append(f"{params['threads']} threads")
    if "arm" in params:
        words.append(f"arm {params['arm']}")
    return " ".join(words)


def _machines(params: Mapping[str, Scalar]) -> str:
    """`2 nodes of pis`, `the first node`, `2 nodes (desk+pi1)`."""
    on, count = params.get("on"), params["nodes"]
    thing = "node" if count == 1 else "nodes"
    number = "" if on == "first" and count == 1 else f"{count} "
    first = "the first " if on == "first" else ""
    group = f" of {params['group']}" if "group" in params else ""
    names = f" ({on})" if on not in (None, "first") else ""
    several = f", {deployments(str(params['groups']))}" if "groups" in params else ""
    return f"{first}{number}{thing}{group}{names}{several}"


def deployments(groups: str) -> str:
    """`4 at once, each of 1 node`, of a value of the axis `groups`."""
    number, _, size = groups.partition("x")
    nodes = "1 node" if size == "1" else f"{size} nodes"
    return f"1 deployment of {nodes}" if number == "1" else f"{number} at once, each of {nodes}"


def _link_words(params: Mapping[str, Scalar]) -> list[str]:
    """The link of a cell, where it is not the nodes' own."""
    rate, delay = (params.get(axis) for axis in LINK)
    return [f"{rate} Mbit/s"] * bool(rate) + [f"+{delay} ms round trip"] * bool(delay)
