"""What doi.org and arXiv say about a work: over https alone, with an end to bytes and seconds.

What comes back is foreign: it is read as BibTeX or as XML without a document type, and only known
fields of it are kept, as plain text (`collect.citing.works.cleaned`).
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast
from urllib.parse import quote, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from urllib3.exceptions import HTTPError

from collect.citing.works import PEOPLE, Work
from core.bibtex import plain_people, read_bibtex
from core.errors import HerdError
from core.foreign import one_line

MOST_BYTES = 1 << 20
MOST_REDIRECTS = 6
SECONDS = 20.0
SECONDS_OF_SILENCE = 8.0
T = TypeVar("T")
ATOM = "{http://www.w3.org/2005/Atom}"
ARXIV = "{http://arxiv.org/schemas/atom}"
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""By these a network that has IPv6 alone reaches addresses of IPv4, its own ones included."""
GONE = frozenset({404, 410})
"""Statuses of HTTP that say so; any other may be a server that refuses programs."""
_AGENT = "llama-herd (fab cite)"
BY_HAND = (
    'Without a network, give the fields yourself: fab cite add {name} --title "…" --author '
    '"Family, Given and Family, Given" --year 2024'
)


@dataclass(frozen=True, slots=True)
class Registries:
    """Where works are looked up.

    Attributes:
        doi: answers DOIs.
        arxiv: answers numbers of arXiv.
        trust: file of certificates to trust instead of the system's; None for these.
    """

    doi: str = "https://doi.org"
    arxiv: str = "https://export.arxiv.org"
    trust: str | None = None


@dataclass(frozen=True, slots=True)
class FoundWork:
    """What a registry says.

    Attributes:
        kind: of entry, in its words.
        fields: name to text without LaTeX.
    """

    kind: str
    fields: dict[str, str]


class _NoAnswerError(Exception):
    """Why a registry gave nothing, half a sentence."""


def look_up(
    work: Work, registries: Registries | None = None, seconds: float = SECONDS
) -> FoundWork:
    """Ask a registry about a work.

    Args:
        work: a DOI or a number of arXiv.
        registries: where to ask.
        seconds: how long it may take in all.

    Raises:
        HerdError: it cannot be reached, does not know the work, or answers something else.
    """
    places = registries or Registries()
    try:
        return _within(seconds, lambda: _looked_up(work, places, seconds))
    except _NoAnswerError as error:
        raise HerdError(
            f"Looking up {one_line(work.name, 200)}: {error}. Nothing was added. "
            + BY_HAND.format(name=one_line(work.name, 200))
        ) from None


def _looked_up(work: Work, places: Registries, seconds: float) -> FoundWork:
    if work.kind == "doi":
        address = f"{places.doi}/{quote(work.name, safe='/():;.-_')}"
        return _of_bibtex(_get(address, "application/x-bibtex", places, seconds))
    address = f"{places.arxiv}/api/query?id_list={quote(work.name)}&max_results=1"
    return _of_atom(_get(address, "application/atom+xml", places, seconds))


def _within(seconds: float, work: Callable[[], T]) -> T:
    """Do something that has an end: a server that sends a byte at a time keeps a socket busy.

    Raises:
        _NoAnswerError: it takes longer; the thread that waits is left behind.
    """
    results: SimpleQueue[tuple[T | None, Exception | None]] = SimpleQueue()

    def run() -> None:
        try:
            results.put((work(), None))
        except Exception as error:  # noqa: BLE001 - it is raised where the result is waited for
            results.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = results.get(timeout=seconds)
    except Empty:
        raise _NoAnswerError("the registry took too long") from None
    if error is not None:
        raise error
    return cast("T", result)


def is_gone(address: str, registries: Registries | None = None, seconds: float = SECONDS) -> bool:
    """Whether an address, or a registry of a DOI, answers that there is nothing.

    Args:
        address: of a reference.
        registries: where DOIs are asked.
        seconds: how long it may take in all.

    Raises:
        OSError: it could not be asked, which says nothing about it.
    """
    places = registries or Registries()
    try:
        return _within(seconds, lambda: _is_gone(address, places, seconds))
    except _NoAnswerError as error:
        raise OSError(None, str(error)) from None


def _is_gone(address: str, places: Registries, seconds: float) -> bool:
    until = time.monotonic() + seconds
    own = {urlsplit(places.doi).hostname, urlsplit(places.arxiv).hostname}
    with requests.Session() as session:
        for _ in range(MOST_REDIRECTS):
            answer = _ask(session, _place_of(address, own), "*/*", places, until)
            answer.close()
            if not answer.is_redirect or address.startswith(f"{places.doi}/"):
                return answer.status_code in GONE
            address = urljoin(address, answer.headers.get("location", ""))
    return False


def _get(address: str, accept: str, places: Registries, seconds: float) -> str:
    """What is at an address, after redirects that were each looked at."""
    until = time.monotonic() + seconds
    own = {urlsplit(places.doi).hostname, urlsplit(places.arxiv).hostname}
    with requests.Session() as session:
        for _ in range(MOST_REDIRECTS):
            answer = _ask(session, _place_of(address, own), accept, places, until)
            if answer.is_redirect or answer.is_permanent_redirect:
                address = urljoin(address, answer.headers.get("location", ""))
                answer.close()
                continue
            if answer.status_code == requests.codes.not_found:
                raise _NoAnswerError("the registry does not know it")
            if answer.status_code != requests.codes.ok:
                raise _NoAnswerError(f"the registry answers with status {answer.status_code}")
            return _content(answer, until)
    raise _NoAnswerError(f"the registry redirects more than {MOST_REDIRECTS} times")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a request goes.

    Attributes:
        address: that is asked for.
        hosts: addresses of its host, of the one answer that was looked at; empty where a proxy or
            this machine's own configuration finds the host.
    """

    address: str
    hosts: tuple[str, ...] = ()


def _place_of(address: str, own: set[str | None]) -> _Place:
    """Look where an address or a redirect leads, before it is followed."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    if parts.scheme != "https" or parts.username or not host:
        raise _NoAnswerError(f"it leads to {one_line(address, 120)}, which is not https")
    if host in own:
        return _Place(address)
    try:
        found = socket.getaddrinfo(host, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, ValueError):
        raise _NoAnswerError(
            f"{one_line(host, 80)} cannot be reached: its name is not known"
        ) from None
    hosts = tuple(dict.fromkeys(str(place[0]) for *_, place in found))
    for one in hosts:
        if not _is_public(one.partition("%")[0]):
            raise _NoAnswerError(f"it leads to {one_line(host, 80)}, which is not on the Internet")
    return _Place(address, () if select_proxy(address, get_environ_proxies(address)) else hosts)


def _is_public(host: str) -> bool:
    """Whether an address is on the Internet, and so is the IPv4 address that it may stand for."""
    address = ipaddress.ip_address(host)
    inner: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        inner += [one for one in (address.ipv4_mapped, address.sixtofour) if one]
        inner += [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)] if address in _NAT64 else []
    return all(one.is_global for one in inner)


class _OneHost(HTTPAdapter):
    """Connects to an address by number, and demands the certificate of the name that was asked."""

    def __init__(self, name: str) -> None:
        self._name = name
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as its base
        super().init_poolmanager(*args, **options, server_hostname=self._name)


def _ask(
    session: requests.Session, place: _Place, accept: str, places: Registries, until: float
) -> requests.Response:
    """Ask the first host that can be reached; no name is looked up again for it."""
    parts = urlsplit(place.address)
    name, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    for at, host in enumerate(place.hosts, start=1):
        session.mount("https://", _OneHost(name))
        shown = f"[{host}]" if ":" in host else host
        address = parts._replace(netloc=f"{shown}{port}", fragment="").geturl()
        try:
            return _asked(session, address, {"Accept": accept, "Host": f"{name}{port}"}, places,
                          until)  # fmt: skip
        except requests.ConnectionError as error:
            if at == len(place.hosts) or isinstance(error, requests.exceptions.SSLError):
                raise _unreachable(name, error) from None
    try:
        return _asked(session, place.address, {"Accept": accept}, places, until)
    except requests.ConnectionError as error:
        raise _unreachable(name, error) from None


def _unreachable(name: str, error: Exception) -> _NoAnswerError:
    if isinstance(error, requests.Timeout):
        return _NoAnswerError("the registry took too long")
    return _NoAnswerError(f"{name} cannot be reached ({type(error).__name__})")


def _asked(
    session: requests.Session,
    address: str,
    headers: Mapping[str, str],
    places: Registries,
    until: float,
) -> requests.Response:
    left_s = until - time.monotonic()
    if left_s <= 0:
        raise _NoAnswerError("the registry took too long")
    try:
        return session.get(
            address,
            headers={"Accept-Encoding": "identity", "User-Agent": _AGENT, **headers},
            timeout=min(left_s, SECONDS_OF_SILENCE),
            allow_redirects=False,
            stream=True,
            verify=places.trust or True,
            proxies={"no_proxy": "*"} if "Host" in headers else None,
        )
    except requests.ConnectionError:
        raise
    except (requests.RequestException, ValueError) as error:
        raise _unreachable(urlsplit(address).hostname or "", error) from None


def _content(answer: requests.Response, until: float) -> str:
    parts, size = [], 0
    try:
        while part := answer.raw.read1(1 << 14):
            size += len(part)
            if size > MOST_BYTES:
                raise _NoAnswerError(f"the registry sends more than {MOST_BYTES >> 10} KiB")
            if time.monotonic() > until:
                raise _NoAnswerError("the registry took too long")
            parts.append(part)
    except (requests.RequestException, HTTPError, OSError):
        raise _NoAnswerError("the answer broke off") from None
    finally:
        answer.close()
    try:
        return b"".join(parts).decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise _NoAnswerError("the answer is not UTF-8") from None


def _of_bibtex(text: str) -> FoundWork:
    found = read_bibtex(text)
    is_page = not text.lstrip().startswith(("@", "%"))  # a page may show an entry of another work
    if is_page or len(found.entries) != 1 or found.faults:
        raise _NoAnswerError("the registry does not answer with one entry of BibTeX")
    entry = found.entries[0]
    people = {name: plain_people(entry.fields[name]) for name in PEOPLE if name in entry.fields}
    fields = {**entry.plain, **people}
    return FoundWork(entry.kind, {name: value for name, value in fields.items() if value})


def _of_atom(text: str) -> FoundWork:
    if "<!" in text.replace("<![CDATA[", ""):
        raise _NoAnswerError("arXiv answers with a document type, which it never has")
    try:
        entry = ET.fromstring(text).find(f"{ATOM}entry")  # noqa: S314 - no document type is in it
    except ET.ParseError:
        raise _NoAnswerError("arXiv does not answer with XML") from None
    if entry is None or not _text(entry, f"{ATOM}author/{ATOM}name"):
        raise _NoAnswerError("arXiv does not know it")
    names = [_joined(one.text) for one in entry.iterfind(f"{ATOM}author/{ATOM}name")]
    names = [f"{{{name}}}" if " and " in name else name for name in names]  # one, not two people
    year = re.match(r"\d{4}", _text(entry, f"{ATOM}published"))
    category = entry.find(f"{ARXIV}primary_category")
    fields = {
        "author": " and ".join(names),
        "title": _text(entry, f"{ATOM}title"),
        "year": year[0] if year else "",
        "primaryclass": category.get("term", "") if category is not None else "",
        "doi": _text(entry, f"{ARXIV}doi"),
    }
    return FoundWork("misc", {name: value for name, value in fields.items() if value})


def _text(entry: ET.Element, path: str) -> str:
    found = entry.find(path)
    return _joined(found.text) if found is not None else ""


def _joined(text: str | None) -> str:
    return " ".join((text or "").split())
