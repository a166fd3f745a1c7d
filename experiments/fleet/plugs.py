"""Smart plugs as the inventory declares them: where each is, and what it feeds."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class _Declared:
    """A host as the inventory declares it.

    Attributes:
        variables: name to value.
        places: name of a variable to its file and line, where they are known.
        place: that of the host itself; empty where it is not known.
    """

    name: str
    variables: Mapping[str, Any]
    places: Mapping[str, str] = field(default_factory=dict)
    place: str = ""

    def where(self, variable: str) -> str:
        """Return where a variable is, for the beginning of a message; else where the host is."""
        place = self.places.get(variable) or self.place or next(iter(self.places.values()), "")
        return f"{one_line(place, 300)}: " if place else ""

    def wrong(self, variable: str, value: object, right: str) -> HerdError:
        """Return the error of a value."""
        told = "is missing" if value is None else f"is `{one_line(str(value), 60)}`"
        return HerdError(
            f"{DOING}: {self.where(variable)}{variable} of the plug `{one_line(self.name, 60)}` "
            f"{told}, but it must {right}."
        )


def read_plugs(told: Sequence[Mapping[str, Any]], nodes: Collection[str]) -> tuple[Plug, ...]:
    """Return the plugs of group `smart_plugs`.

    Args:
        told: `name` and `variables` of each, as Ansible has them, and where they are: `place` of
            the plug, `places` of its variables.
        nodes: names of the cluster's nodes.

    Raises:
        HerdError: a variable is wrong, something hangs on two plugs, or two plugs are one meter.
    """
    if len(told) > MOST_PLUGS:
        raise HerdError(
            f"{DOING}: group {PLUGS} has {len(told)} plugs; at most {MOST_PLUGS} are read."
        )
    declared = [_Declared(**one) for one in told]
    plugs = tuple(_plug(one, nodes) for one in declared)
    _refuse_overlap(list(zip(declared, plugs, strict=True)))
    return plugs


def _plug(told: _Declared, nodes: Collection[str]) -> Plug:
    name, variables = told.name, told.variables
    if not is_file_name(name) or "," in name:
        right = "start with a letter or digit, without `/`, `\\` or a comma"
        raise told.wrong("The name", name, right)
    if name in nodes:
        raise HerdError(
            f"{DOING}: {told.where('')}{name} is in group {CLUSTER} and in group {PLUGS}. A "
            f"plug is no node: give it another name in {PLUGS}, and name the node in plug_nodes."
        )
    _refuse_unknown(told)
    feeds, switch = _fed(told, nodes), _truth(told, "plug_switch")
    if not feeds and not switch:
        raise HerdError(
            f"{DOING}: {told.where('plug_nodes')}the plug {name} feeds nothing. Name the nodes "
            "that hang on it (plug_nodes: [pi1]), or say that the switch does (plug_switch: true)."
        )
    password = variables.get("plug_password")
    return Plug(
        name=name,
        kind=_kind(told),
        host=_host(told),
        port=_number(told, "plug_port", HTTP_PORT, range(1, LARGEST_PORT + 1)),
        channel=_number(told, "plug_channel", 0, range(MOST_CHANNELS)),
        nodes=feeds,
        feeds_switch=switch,
        user=_user(told),
        password=Secret(str(password)) if password else None,
    )


def _refuse_unknown(told: _Declared) -> None:
    """See that no variable is misspelt: its default would count. Raises HerdError."""
    for variable in told.variables:
        if variable.startswith(PREFIX) and variable not in VARIABLES:
            near = difflib.get_close_matches(variable[:60], VARIABLES, n=1)
            meant = f"; did you mean {near[0]}?" if near else "."
            raise HerdError(
                f"{DOING}: {told.where(variable)}{one_line(variable, 60)} of the plug "
                f"`{told.name}` is not known{meant} A plug has {', '.join(VARIABLES)}."
            )


def _kind(told: _Declared) -> PlugKind:
    value = told.variables.get("plug_kind")
    if value not in get_args(PlugKind):
        raise told.wrong("plug_kind", value, f"be one of {', '.join(get_args(PlugKind))}")
    return cast("PlugKind", value)


def _host(told: _Declared) -> str:
    value = str(told.variables.get("ansible_host") or told.name)
    if not value.isascii() or not value.isprintable() or set(value) & set("/@?# \\[]"):
        raise told.wrong(
            "ansible_host", value, "be an address or a name, without `http://`, port or path"
        )
    return value


def _user(told: _Declared) -> str:
    value = str(told.variables.get("plug_user") or PLUG_USER)
    if not value.isprintable() or set(value) & set('":\\'):
        raise told.wrong("plug_user", value, "be a name without quotation marks, `:` and `\\`")
    return value


def _fed(told: _Declared, nodes: Collection[str]) -> tuple[str, ...]:
    value = told.variables.get("plug_nodes") or ()
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        raise told.wrong("plug_nodes", value, "be a list of nodes, such as [pi1, pi2]")
    fed = tuple(str(one).strip() for one in names)
    for one in fed:
        if one not in nodes:
            right = f"have nodes of group {CLUSTER}: {', '.join(nodes)}"
            raise told.wrong("plug_nodes", one, right)
    return fed


def _truth(told: _Declared, variable: str) -> bool:
    value = told.variables.get(variable, False)
    known = value if isinstance(value, bool) else _TRUTHS.get(str(value).lower())
    if known is None:
        raise told.wrong(variable, value, "be true or false")
    return known


def _number(told: _Declared, variable: str, default: int, allowed: range) -> int:
    value = told.variables.get(variable, default)
    number = None if isinstance(value, bool) else whole(str(value))
    if number is None or number not in allowed:
        raise told.wrong(variable, value, f"be a number from {allowed[0]} to {allowed[-1]}")
    return number


def _refuse_overlap(declared: Sequence[tuple[_Declared, Plug]]) -> None:
    """See that nothing is counted twice. Raises HerdError."""
    fed: dict[str, str] = {}
    meters: dict[tuple[str, int, int], str] = {}
    for told, plug in declared:
        for thing in (*plug.nodes, *(["the switch"] if plug.feeds_switch else [])):
            if thing in fed:
                other = f"{fed[thing]} and {plug.name}" if fed[thing] != plug.name else plug.name
                raise HerdError(
                    f"{DOING}: {told.where('plug_nodes')}{thing} hangs on {other}, so it would be "
                    "counted twice. Name it in plug_nodes or plug_switch of one plug, once."
                )
            fed[thing] = plug.name
        meter = plug.host.lower(), plug.port, plug.channel
        if meter in meters:
            raise HerdError(
                f"{DOING}: {told.where('ansible_host')}{plug.name} has the address, port and "
                f"channel of {meters[meter]}, so one meter would be counted twice. Give each its "
                "own ansible_host, or plug_channel if one device has several meters, or name all "
                "that hangs on it in one plug."
            )
        meters[meter] = plug.name


def read_electricity(
    variables: Mapping[str, Any], places: Mapping[str, str] | None = None
) -> Electricity | None:
    """Return the price of electricity, from variables of the root; None where none is given.

    Args:
        variables: name to value.
        places: name to file and line, where they are known.

    Raises:
        HerdError: a price without a currency, or no price.
    """
    names = [f"herd_electricity_{what}" for what in ("price", "currency")]
    price, currency = (variables.get(name) for name in names)
    if price is None and currency is None:
        return None
    try:
        return Electricity(per_kwh=price, currency=currency)
    except ValueError:
        known = [place for name in names if (place := (places or {}).get(name))]
        where = f"{one_line(known[0], 300)}: " if known else ""
        told = one_line(f"{price} and {currency}", 80)
        raise HerdError(
            f"{DOING}: {where}herd_electricity_price and herd_electricity_currency are `{told}`, "
            "but they must be a price per kWh and its currency, such as 0.32 and EUR."
        ) from None


def spoken(plug: Plug) -> str:
    """Return what a plug feeds in words: `pi1, pi2 and the switch`."""
    names = [*plug.nodes, *(["the switch"] if plug.feeds_switch else [])]
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last
