"""Smart plugs as the inventory declares them: where each is, and what it feeds."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, cast, get_args

from collect.plugs import Electricity
from core.errors import HerdError
from core.foreign import is_file_name, one_line, whole
from experiments.fleet.cluster import CLUSTER, HTTP_PORT, PLUG_USER, Plug, PlugKind, Secret

PLUGS = "smart_plugs"
"""The inventory's group of plugs; none of them is a node."""
PREFIX = "plug_"
VARIABLES = tuple(
    f"{PREFIX}{word}" for word in ("kind", "nodes", "switch", "channel", "port", "user", "password")
)
MOST_PLUGS = 64
MOST_CHANNELS = 16
LARGEST_PORT = 65_535
DOING = "Reading the inventory"
_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}
"""An inventory in INI form has texts."""


def read_plugs(told: Sequence[Mapping[str, Any]], nodes: Collection[str]) -> tuple[Plug, ...]:
    """Return the plugs of group `smart_plugs`.

    Args:
        told: `name` and `variables` of each, as Ansible has them.
        nodes: names of the cluster's nodes.

    Raises:
        HerdError: a variable is wrong, or something hangs on two plugs.
    """
    if len(told) > MOST_PLUGS:
        raise HerdError(
            f"{DOING}: group {PLUGS} has {len(told)} plugs; at most {MOST_PLUGS} are read."
        )
    plugs = tuple(_plug(one["name"], one["variables"], nodes) for one in told)
    _refuse_overlap(plugs)
    return plugs


def _plug(name: str, variables: Mapping[str, Any], nodes: Collection[str]) -> Plug:
    if not is_file_name(name) or "," in name:
        right = "start with a letter or digit, without `/`, `\\` or a comma"
        raise _wrong(name, "The name", name, right)
    _refuse_unknown(name, variables)
    feeds, switch = _fed(name, variables, nodes), _truth(name, "plug_switch", variables)
    if not feeds and not switch:
        raise HerdError(
            f"{DOING}: the plug {name} feeds nothing. Name the nodes that hang on it "
            "(plug_nodes: [pi1]), or say that the switch does (plug_switch: true)."
        )
    password = variables.get("plug_password")
    return Plug(
        name=name,
        kind=_kind(name, variables),
        host=_host(name, variables),
        port=_number(name, "plug_port", variables, HTTP_PORT, range(1, LARGEST_PORT + 1)),
        channel=_number(name, "plug_channel", variables, 0, range(MOST_CHANNELS)),
        nodes=feeds,
        feeds_switch=switch,
        user=_user(name, variables),
        password=Secret(str(password)) if password else None,
    )


def _refuse_unknown(name: str, variables: Mapping[str, Any]) -> None:
    """See that no variable is misspelt: its default would count. Raises HerdError."""
    for variable in variables:
        if variable.startswith(PREFIX) and variable not in VARIABLES:
            near = difflib.get_close_matches(variable[:60], VARIABLES, n=1)
            meant = f"; did you mean {near[0]}?" if near else "."
            raise HerdError(
                f"{DOING}: {one_line(variable, 60)} of the plug `{name}` is not known{meant} "
                f"A plug has {', '.join(VARIABLES)}."
            )


def _kind(name: str, variables: Mapping[str, Any]) -> PlugKind:
    value = variables.get("plug_kind")
    if value not in get_args(PlugKind):
        raise _wrong(name, "plug_kind", value, f"be one of {', '.join(get_args(PlugKind))}")
    return cast("PlugKind", value)


def _host(name: str, variables: Mapping[str, Any]) -> str:
    value = str(variables.get("ansible_host") or name)
    if not value.isascii() or not value.isprintable() or set(value) & set("/@?# \\[]"):
        raise _wrong(
            name, "ansible_host", value, "be an address or a name, without `http://`, port or path"
        )
    return value


def _user(name: str, variables: Mapping[str, Any]) -> str:
    value = str(variables.get("plug_user") or PLUG_USER)
    if not value.isprintable() or set(value) & set('":\\'):
        raise _wrong(name, "plug_user", value, "be a name without quotation marks, `:` and `\\`")
    return value


def _fed(name: str, variables: Mapping[str, Any], nodes: Collection[str]) -> tuple[str, ...]:
    value = variables.get("plug_nodes") or ()
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        raise _wrong(name, "plug_nodes", value, "be a list of nodes, such as [pi1, pi2]")
    fed = tuple(str(one).strip() for one in names)
    for one in fed:
        if one not in nodes:
            raise _wrong(
                name, "plug_nodes", one, f"have nodes of group {CLUSTER}: {', '.join(nodes)}"
            )
    return fed


def _truth(name: str, variable: str, variables: Mapping[str, Any]) -> bool:
    value = variables.get(variable, False)
    known = value if isinstance(value, bool) else _TRUTHS.get(str(value).lower())
    if known is None:
        raise _wrong(name, variable, value, "be true or false")
    return known


def _number(
    name: str, variable: str, variables: Mapping[str, Any], default: int, allowed: range
) -> int:
    value = variables.get(variable, default)
    number = None if isinstance(value, bool) else whole(str(value))
    if number is None or number not in allowed:
        raise _wrong(name, variable, value, f"be a number from {allowed[0]} to {allowed[-1]}")
    return number


def _wrong(name: str, variable: str, value: object, right: str) -> HerdError:
    told = "is missing" if value is None else f"is `{one_line(str(value), 60)}`"
    where = f"the plug `{one_line(name, 60)}`"
    return HerdError(f"{DOING}: {variable} of {where} {told}, but it must {right}.")


def _refuse_overlap(plugs: Sequence[Plug]) -> None:
    """See that nothing is counted twice. Raises HerdError."""
    fed: dict[str, str] = {}
    for plug in plugs:
        for thing in (*plug.nodes, *(["the switch"] if plug.feeds_switch else [])):
            if thing in fed:
                other = f"{fed[thing]} and {plug.name}" if fed[thing] != plug.name else plug.name
                raise HerdError(
                    f"{DOING}: {thing} hangs on {other}, so it would be counted twice. Name it in "
                    "plug_nodes or plug_switch of one plug, once."
                )
            fed[thing] = plug.name


def read_electricity(variables: Mapping[str, Any]) -> Electricity | None:
    """Return the price of electricity, from variables of the root; None where none is given.

    Raises:
        HerdError: a price without a currency, or no price.
    """
    price, currency = (variables.get(f"herd_electricity_{what}") for what in ("price", "currency"))
    if price is None and currency is None:
        return None
    try:
        return Electricity(per_kwh=price, currency=currency)
    except ValueError:
        told = one_line(f"{price} and {currency}", 80)
        raise HerdError(
            f"{DOING}: herd_electricity_price and herd_electricity_currency are `{told}`, but they "
            "must be a price per kWh and its currency, such as 0.32 and EUR."
        ) from None


def spoken(plug: Plug) -> str:
    """Return what a plug feeds in words: `pi1, pi2 and the switch`."""
    return and_the_switch(plug.nodes, plug.feeds_switch)


def and_the_switch(nodes: Iterable[str], switch: bool) -> str:  # noqa: FBT001 - as it is declared
    """Return names with `the switch` at their end, where it is fed."""
    names = [*nodes, *(["the switch"] if switch else [])]
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last
