"""Which name becomes which: the same everywhere in a run, and by the order of its nodes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from collect.sharing.encodings import replaced
from collect.sharing.patterns import (
    ADDRESS_IN_NAME,
    FORMS,
    NAME_ENDS,
    NO_DOMAINS,
    STARTS,
    digits_of,
    git_host,
    holds_password,
    is_private,
    is_public,
)
from collect.sharing.services import (
    SERVICE,
    is_private_service,
    is_with_secret,
    plain_host,
    services_in,
)

HIDDEN = "hidden"
"""Begins what stands for a further word of the user."""
_FORM = {
    "secret": "secret-{n}",
    "fingerprint": "fingerprint-{n}",
    "uuid": "00000000-0000-4000-8000-{n:012x}",
    "mail": "user-{n}@host-{n}.example",
    "ipv6": "2001:db8::{n:x}",
    "path": "/path-{n}{ending}",
    "host": "pc-{n}",
}
"""What stands for the n-th thing of a kind."""
_MORE = r"(?P<domain>(?:\.[A-Za-z0-9-]{1,63}){0,8})"


@dataclass
class Pseudonyms:
    """Names, and what stands for them.

    Attributes:
        names: each name to its pseudonym; capitals do not matter.
        exact: the same for names whose capitals matter, such as a user's.
        hides_forms: also replace what is known by its form (addresses, paths …).
        found: what was replaced so far because of its form, with its pseudonym.
        secrets: how many keys were found.
        used: pseudonyms of names that were somewhere.
        services: hosts of private services with their pseudonyms.
    """

    names: dict[str, str]
    exact: dict[str, str] = field(default_factory=dict)
    hides_forms: bool = True
    found: dict[str, str] = field(default_factory=dict)
    secrets: int = 0
    used: set[str] = field(default_factory=set)
    services: dict[str, str] = field(default_factory=dict)
    _alike: dict[str, str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _patterns: tuple[re.Pattern[str], re.Pattern[str]] | None = None

    def add(self, names: Mapping[str, str], *, exact: bool = False) -> None:
        """Know more names."""
        own = self.exact if exact else self.names
        own.update({name: told for name, told in names.items() if name not in own})
        self._patterns = None

    def number(self, kind: str) -> int:
        """The next number of a kind of pseudonym."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return self._counts[kind]

    def text(self, value: str) -> str:
        """The text with every name replaced."""
        if self.hides_forms:
            value = SERVICE.sub(self._service, value)
        everything, _ = self._compiled()
        return everything.sub(self._replaced, value)

    def _service(self, match: re.Match[str]) -> str:
        """An address of a private service, without who, which and what; others as they are."""
        _, named = self._compiled()
        spelt, whole = match["host"], match[0]
        host = plain_host(spelt)
        is_other = host not in self.services and named.fullmatch(spelt.rstrip(".")) is not None
        if is_other or not is_private_service(spelt):
            return whole
        self.secrets += is_with_secret(match["user"])
        told = self.service(host)
        if host in self.names:
            self.used.add(told)
        else:
            self.found[whole] = told
        ended = "." if spelt.endswith(".") and not match["rest"] else ""
        return f"{match['scheme']}{told}{ended}"

    def service(self, host: str) -> str:
        """What stands for a private service; a host of several labels is a name from now on."""
        if host not in self.services:
            self.services[host] = f"service-{self.number('service')}.example"
            if host in services_in(f"https://{host}"):
                self.add({host: self.services[host]})
        return self.services[host]

    def _compiled(self) -> tuple[re.Pattern[str], re.Pattern[str]]:
        """What finds everything, and what finds names alone."""
        if self._patterns is None:
            named = _pattern_of(self.names, self.exact, hides_forms=False)
            everything = _pattern_of(self.names, self.exact, hides_forms=True)
            self._patterns = (everything if self.hides_forms else named, named)
        return self._patterns

    def data(self, content: bytes) -> bytes:
        """The same of a file of any bytes."""
        return replaced(content, {**self.exact, **self.names}, self.text)

    def _replaced(self, match: re.Match[str]) -> str:
        kind = str(match.lastgroup if match.lastgroup != "domain" else "name")
        whole = match[0]
        if kind in {"name", "exact"}:
            return self._name(match)
        if not is_private(kind, whole):  # `cafe:9998` is no address, and may begin with a name
            _, named = self._compiled()
            return named.sub(self._replaced, whole)
        if kind == "host" and (told := self._named(whole)):
            return told
        if whole not in self.found:
            self.found[whole] = self._made(kind, whole)
        return self.found[whole]

    def _named(self, host: str) -> str | None:
        """What stands for a node whose name looks like a provider's; None for any other host."""
        _, named = self._compiled()
        found = named.fullmatch(host)
        return self._name(found) if found else None

    def _name(self, match: re.Match[str]) -> str:
        if match["exact"] is not None:
            told = self.exact.get(match["exact"]) or _found(self.exact, match["exact"])
            self.used.add(told)
            return told
        name, domain = match["name"], match["domain"] or ""
        told = self.names.get(name) or _found(self.names, name)
        self.used.add(told)
        keeps = domain.rpartition(".")[2].lower() in NO_DOMAINS or not domain
        return told + domain if keeps else told

    def _made(self, kind: str, whole: str) -> str:
        if kind == "mac":
            return self.hardware(digits_of(whole))
        if kind == "host" and (quad := ADDRESS_IN_NAME.search(whole)):
            return self._host(whole, quad)
        n = self.number(kind)
        self.secrets += kind == "secret" or (kind == "repository" and holds_password(whole))
        if kind == "ipv4":
            return example_address(n)
        if kind == "repository":
            return self._repository(n, whole)
        return _FORM[kind].format(n=n, ending=_ending(whole))

    def _repository(self, n: int, whole: str) -> str:
        host = self.source(git_host(whole))
        if "://" not in whole:
            return f"git@{host}:repository-{n}.git"
        scheme = "https" if whole.partition("://")[0].endswith(("http", "https")) else "ssh"
        return f"{scheme}://{host}/repository-{n}.git"

    def _host(self, whole: str, quad: re.Match[str]) -> str:
        """A name made of an address, as one made of what stands for that."""
        address = self.text(quad[0].replace("-", ".")).replace(".", "-")
        kept = whole[quad.end() :] if whole.rpartition(".")[2].lower() in NO_DOMAINS else ""
        return f"ip-{address}{kept}"

    def hardware(self, digits: str) -> str:
        """What stands for a MAC address, in any spelling; it is known without colons, too."""
        if digits not in self._alike:
            n = self.number("mac")
            parts = ("02", "00", *(f"{n:08x}"[at : at + 2] for at in (0, 2, 4, 6)))
            self._alike[digits] = ":".join(parts)
            pointed = ".".join(digits[at : at + 4] for at in (0, 4, 8))
            bare = {} if digits.isdecimal() else {digits: "".join(parts)}  # a number, or a date
            self.add({pointed: self._alike[digits], **bare})
        return self._alike[digits]

    def source(self, host: str) -> str:
        """What stands for a host of repositories, which is a name from now on."""
        if is_public(host):
            return host
        if host not in self.names:
            self.add({host: f"git-{self.number('git')}.example"})
        return self.names[host]


def example_address(n: int) -> str:
    """The n-th address that belongs to no one, from 1."""
    if n < 255:  # noqa: PLR2004 - of 192.0.2.0/24
        return f"192.0.2.{n}"
    return f"198.{18 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"


def _ending(path: str) -> str:
    found = re.search(r"\.[A-Za-z0-9]{1,8}$", path)
    return found[0] if found else ""


def _pattern_of(
    names: Mapping[str, str], exact: Mapping[str, str], *, hides_forms: bool
) -> re.Pattern[str]:
    begin, end = NAME_ENDS
    told = "|".join(_spelt(name) for name in _longest_first(names)) or r"(?!)"
    told_exactly = (
        "|".join(
            _spelt(way)
            for name in _longest_first(exact)
            for way in dict.fromkeys((name, name.upper()))
        )
        or r"(?!)"
    )
    forms = [f"(?P<{kind}>{form})" for kind, form in FORMS.items()] if hides_forms else []
    # A path is longer than the names in it, so forms come first; a host's name ends its domain.
    parts = [
        *forms,
        f"{begin}(?P<exact>{told_exactly}){end}",
        f"{begin}(?P<name>(?i:{told})){end}{_MORE}",
    ]
    return re.compile(f"{STARTS}(?:{'|'.join(parts)})")


def _longest_first(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (-len(name), name))


def _spelt(name: str) -> str:
    """The ways in which a file may spell a name: as it is, in JSON, in an address, on a Mac."""
    forms = (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))
    ways = dict.fromkeys(
        way
        for form in forms
        for way in (
            form,
            form.encode("ascii", "backslashreplace").decode(),
            *_quoted(form),
            *_escaped(form),
        )
    )
    return "|".join(re.escape(way) for way in ways)


def _quoted(name: str) -> tuple[str, str]:
    """The name in an address, with large and with small letters of its numbers."""
    large = quote(name)
    return large, re.sub("%..", lambda match: match[0].lower(), large)


def _escaped(name: str) -> Iterator[str]:
    """A name with blanks as a shell has it, also within JSON."""
    if " " in name:
        yield from (name.replace(" ", "\\ "), name.replace(" ", "\\\\ "))


def _found(names: Mapping[str, str], spelt: str) -> str:
    """What stands for a name that a file spells in another way."""
    plain = _plain(spelt)
    return next(told for name, told in names.items() if _plain(name) == plain)


def _plain(spelt: str) -> str:
    text = unquote(re.sub(r"\\{1,2} ", " ", spelt))
    if "\\u" in text:
        text = text.encode("ascii", "replace").decode("unicode_escape")
    return unicodedata.normalize("NFC", text).casefold()
