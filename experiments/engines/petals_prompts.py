"""Trained prompts in a cell of Petals: the axis `adapter`.

Prompts are a few kilobytes, and only the client reads them. So they travel on its command line, and
the attempt holds them with their hash, as the client says it.
"""

from __future__ import annotations

from functools import cache

from collect.workloads import Greedy
from core.errors import HerdError
from core.foreign import is_file_name
from experiments.engines import common
from experiments.engines.base import Axis, Cell
from models.tuned_prompts import TunedPrompts, pieces, read_prompts

NO_ADAPTER = "none"
ADAPTER = Axis("adapter", str, default=NO_ADAPTER, born_as=NO_ADAPTER, is_rare=True)


def adapter_of(cell: Cell) -> TunedPrompts | None:
    """The prompts of a cell; None for the model as it is.

    Raises:
        HerdError: there are none of that name.
    """
    name = _asked(cell)
    return None if name == NO_ADAPTER else _read(name)


def prompt_tokens(cell: Cell) -> int:
    """Positions of the context that a cell's prompts take; 0 where they cannot be read."""
    try:
        found = adapter_of(cell)
    except HerdError:
        return 0
    return found.count if found else 0


def unadaptable(cell: Cell) -> str | None:
    """Why the model cannot be read with these prompts, one sentence; None if it can."""
    try:
        found = adapter_of(cell)
        is_of_model = found is None or plain_name(found.base) == plain_name(cell.model)
    except HerdError as error:
        return str(error).rstrip(".")
    if found is None:
        return None
    if not is_of_model:
        return f"the prompts {_asked(cell)} were trained on {found.base}, not on {cell.model}"
    if isinstance(cell.workload, Greedy):
        return "the reference implementation does not compute with trained prompts"
    return None


def adapter_arguments(cell: Cell) -> tuple[str, ...]:
    """The prompts as a client is given them."""
    found = adapter_of(cell)
    told = pieces(found.content) if found else ()
    return tuple(word for piece in told for word in ("--adapter", piece))


def adapter_identity(cell: Cell) -> dict[str, str]:
    """The hash of a cell's prompts, for its id; nothing for the model as it is."""
    try:
        found = adapter_of(cell)
    except HerdError:
        return {"adapter": ""}
    return {} if found is None else {"adapter": found.sha256}


def plain_name(model: str) -> str:
    """The name of a model as Petals reads it, without heads that another engine needs."""
    spec = common.model_spec(model)
    return (spec.unpadded or spec).name


def _asked(cell: Cell) -> str:
    return str(cell.params.get(ADAPTER.name, NO_ADAPTER))


@cache
def _read(name: str) -> TunedPrompts:
    if not is_file_name(name):
        raise HerdError(f"{name!r} cannot be a name of prompts.")
    return read_prompts(name)
