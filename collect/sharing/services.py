"""Private services in addresses such as `https://wiki.lan/x`, in any spelling that a URL may have.

A service is private where no one outside can reach it: its host has one label, or an end that no
public name has, or is a number in a spelling that only URLs take. Plain IP addresses, nodes and
hosts of source code are found by their own forms.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

from collect.sharing.patterns import KEY, NAME_ENDS

ENDS = (
    "local", "localdomain", "lan", "internal", "intranet", "corp", "home", "home.arpa", "private",
)  # fmt: skip
"""What names end in that are valid inside a private network only (RFC 6762, RFC 8375, ICANN)."""
_COLON = r"(?::|\\{1,2}u003[aA]|%3[aA])"
_SLASH = r"(?:\\{0,2}/|\\{1,2}u002[fF]|%2[fF])"
_IN_JSON = r"\\{1,2}u(?:002[dDeE]|003[0-9]|00[5-7][0-9A-Fa-f]|004[1-9A-Fa-f]|(?!00)[0-9A-Fa-f]{4})"
_IN_URL = r"%(?!2[fF0-3]|3[aAcCeEfF]|40)[0-9A-Fa-f]{2}"
_USER = r"(?:(?:[^\s/\\\"'<>@?#%]|%(?!2[fF]|40)[0-9A-Fa-f]{2}){1,200}(?:@|%40))?"
_HOST = rf"(?:[^\W_]|[._~-]|。|{_IN_URL}|{_IN_JSON}){{1,255}}"
_REST = (
    rf"(?:{_COLON}[0-9]{{1,5}})?"
    rf"(?:(?:{_SLASH}|[?#])(?:[^\s\\\"'<>()\[\]{{}}|`,;]|\\{{1,2}}/){{0,2000}})?"
)
SERVICE = re.compile(
    rf"{NAME_ENDS[0]}(?P<scheme>(?i:https?|wss?|ftps?){_COLON}{_SLASH}{{2}})"
    rf"(?P<user>{_USER})(?P<host>{_HOST})(?P<rest>{_REST})"
)
_OURS = re.compile(
    r"(?:(?:other-)?node|service|pc|plug|hidden|machine|serial|secret|user-of|rater|ip)-[0-9-]{1,40}"
)
"""What stands for a host of one label."""
_NUMBER = re.compile(r"(?:0x[0-9a-f]{0,255}|[0-9]{1,255})")


def plain_host(spelt: str) -> str:
    """The name of a host in small letters, without escapes and the point at its end."""
    shown = re.sub(r"\\{1,2}u([0-9A-Fa-f]{4})", lambda one: chr(int(one[1], 16)), unquote(spelt))
    return unicodedata.normalize("NFKC", shown).replace("。", ".").rstrip(".").casefold()


def is_private_service(spelt: str) -> bool:
    """Whether the host of an address is in a private network, or hides that it may be."""
    host = plain_host(spelt)
    labels = host.split(".")
    if not all(labels) or labels[-1] == "localhost" or _OURS.fullmatch(host):
        return False
    if _is_address(host):
        return host != spelt.rstrip(".").casefold()
    is_number = _NUMBER.fullmatch(labels[-1]) is not None
    return len(labels) == 1 or is_number or host.endswith(tuple(f".{end}" for end in ENDS))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def services_in(text: str) -> Iterator[str]:
    """The hosts of private services in a text that are names everywhere: those with several labels.

    A name of one label is an ordinary word outside an address.
    """
    for found in SERVICE.finditer(text):
        host = plain_host(found["host"])
        is_name = "." in host and not _NUMBER.fullmatch(host.rpartition(".")[2])
        if is_name and is_private_service(found["host"]):
            yield host


def is_with_secret(user: str) -> bool:
    """Whether what is before the `@` of an address has a password or a key in it."""
    return ":" in user or "%3a" in user.casefold() or re.search(KEY, user) is not None
