"""The machines as people name them on the command line, and the names that they get as nodes."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from core.errors import HerdError
from core.foreign import one_line
from experiments.nodes.ssh.rules import SSH_PORT

LARGEST_PORT = 65_535
MOST_MACHINES = 1024
RESERVED = frozenset({"all", "cluster", "controller", "localhost", "ungrouped"})
"""Names that have a special meaning for Ansible or in records."""
FORM = (
    "Write [name=][user@]host[:port], such as pi@192.0.2.11, desk=alice@desk.local:2222 or "
    "pi@[2001:db8::1]:22; several at once: pi@192.0.2.[11:14]."
)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@$-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?\.?")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9_])?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_RANGE = re.compile(
    r"(?P<before>.*[^@=/\[\]])\[(?P<first>\d{1,5}):(?P<last>\d{1,5})\](?P<after>.*)"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A machine of the command line.

    Attributes:
        word: as it was written.
        host: name or address, an IPv6 address without brackets.
        user: who logs in; None for whom SSH's configuration names.
        port: of the SSH server; None for that of SSH's configuration.
        name: the node's, where one was given.
    """

    word: str
    host: str
    user: str | None = None
    port: int | None = None
    name: str | None = None


def read_words(words: Sequence[str]) -> list[Asked]:
    """The machines that these words name, in order.

    Raises:
        HerdError: one of them names none, or one is named twice.
    """
    if not words:
        raise HerdError(f"Which machines? {FORM} The first becomes the root of a new fleet.")
    asked = [_machine(one) for word in words for one in _spread(word)]
    if len(asked) > MOST_MACHINES:
        raise HerdError(f"{len(asked)} machines were given; the limit is {MOST_MACHINES} at once.")
    places: dict[tuple[str, int], str] = {}
    names: set[str] = set()
    for one in asked:
        place = (one.host.lower(), one.port or SSH_PORT)
        if place in places:
            raise HerdError(f"{one.word}: this machine is given twice, also as {places[place]}.")
        places[place] = one.word
        if one.name in names:
            raise HerdError(f"{one.word}: two machines cannot have the same name.")
        names |= {one.name} if one.name else set()
    return asked


def _spread(word: str) -> Iterator[str]:
    """The word, or one for each number of its range, as Ansible's inventories have them."""
    found = _RANGE.fullmatch(word)
    if found is None:
        yield word
        return
    first, last = int(found["first"]), int(found["last"])
    if last < first or last - first >= MOST_MACHINES:
        raise _wrong(word, f"[{found['first']}:{found['last']}] is not a range")
    width = len(found["first"]) if found["first"].startswith("0") else 0
    for number in range(first, last + 1):
        yield f"{found['before']}{number:0{width}}{found['after']}"


def _machine(word: str) -> Asked:
    name, equals, rest = word.partition("=") if _is_named(word) else ("", "", word)
    if equals and (not _NAME.fullmatch(name) or name in RESERVED):
        raise _wrong(word, f"`{one_line(name, 40)}` cannot be the name of a node")
    scheme, slashes, after = rest.partition("://")
    if slashes and scheme.lower() != "ssh":
        raise _wrong(word, f"`{one_line(scheme, 20)}` is not SSH")
    rest = after.removesuffix("/") if slashes else rest
    user, at, place = rest.rpartition("@")
    if ":" in user:
        raise HerdError(
            f"{one_line(user.partition(':')[0], 40)}@{one_line(place, 80)}: leave out the "
            "password. SSH logs in with a key; ssh-copy-id copies yours there."
        )
    if at and not _USER.fullmatch(user):
        raise _wrong(word, f"`{one_line(user, 40)}` is not a user name")
    host, port = _place(word, place)
    return Asked(word, host, user or None, port, name or None)


def _is_named(word: str) -> bool:
    """Return whether the word begins with a name: an equals sign before all that belongs to it."""
    return "=" in re.split(r"[@:/\[]", word, maxsplit=1)[0]


def _place(word: str, place: str) -> tuple[str, int | None]:
    if place.startswith("["):
        host, _, port = place[1:].partition("]")
        if "]" not in place or (port and not port.startswith(":")):
            raise _wrong(
                word, "the brackets must contain an address, optionally followed by a port"
            )
        colon, port = port[:1], port[1:]
        if not _is_ipv6(host):
            raise _wrong(word, f"`{one_line(host, 80)}` is not an IPv6 address")
    elif _is_ipv6(place):
        host, colon, port = place, "", ""
    else:
        host, colon, port = place.partition(":")
        if not _HOST.fullmatch(host) or _is_broken_ipv4(host):
            raise _wrong(word, f"`{one_line(host, 80)}` is neither a host name nor an address")
    if colon and (not _PORT.fullmatch(port) or int(port) > LARGEST_PORT):
        raise _wrong(word, f"`{one_line(port, 40)}` is not a port from 1 to {LARGEST_PORT}")
    return host, int(port) if colon else None


def is_ipv4(host: str) -> bool:
    """Whether it is an IPv4 address, which engines need."""
    with suppress(ValueError):
        ipaddress.IPv4Address(host)
        return True
    return False


def is_usable_ipv4(host: str) -> bool:
    """Whether it is an IPv4 address by which another machine can be reached."""
    if not is_ipv4(host):
        return False
    address = ipaddress.IPv4Address(host)
    return not (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
    )


def _is_ipv6(host: str) -> bool:
    address, percent, zone = host.partition("%")
    with suppress(ValueError):
        ipaddress.IPv6Address(address)
        return not percent or _HOST.fullmatch(zone) is not None
    return False


def _is_broken_ipv4(host: str) -> bool:
    return bool(re.fullmatch(r"[0-9.]+", host)) and not is_ipv4(host)


def _wrong(word: str, why: str) -> HerdError:
    return HerdError(f"`{one_line(word, 100)}`: {why}. {FORM}")


def name_nodes(asked: Sequence[Asked], taken: Collection[str]) -> list[str]:
    """A name for each machine, none of them taken: it is known before the machine is asked.

    What was given is taken as it is. `pi3.local` becomes `pi3`; an address gives no name, so those
    nodes are counted: `pi1`, `pi2` … for the user `pi`, `node1` … for others. The machines' own
    names would not do: all that come from one image have the same.

    Raises:
        HerdError: a name that was given is taken.
    """
    used = {*taken, *RESERVED, *(one.name for one in asked if one.name)}
    for one in asked:
        if one.name in taken:
            raise HerdError(f"{one.word}: the inventory already has a {one.name}.")
    names = []
    for one in asked:
        name = one.name or _free(one, used)
        used.add(name)
        names.append(name)
    return names


def _free(one: Asked, used: Collection[str]) -> str:
    label = "" if is_ipv4(one.host) or _is_ipv6(one.host) else one.host.partition(".")[0]
    if _NAME.fullmatch(label) and label not in used:
        return label
    base = label if _NAME.fullmatch(label) else "pi" if one.user == "pi" else "node"
    number = 1
    while f"{base}{number}" in used:
        number += 1
    return f"{base}{number}"
