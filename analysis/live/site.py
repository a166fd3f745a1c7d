"""The live page as it is served: read-only, and nothing of a run's folder but what it shows."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from analysis.charts.page_font import SERVED, served_font
from analysis.live.follower import Follower
from analysis.live.page import rest, top
from analysis.live.state import LiveState, RunPhase
from analysis.pages import TEMPLATES, Page, render
from core.language.choice import ENGLISH
from core.local_site.answers import (
    CSS,
    HEADERS,
    HTML,
    JAVASCRIPT,
    TRUETYPE,
    Content,
    nothing_here,
)

LINGER_S = 600.0
"""So long a finished run is served to pages that have not seen its end."""
AFTER_S = 3.0
"""Between the moment at which the last page saw the end and the end of the server."""
MOST_CLIENTS = 256
STYLES = {"page.css": ("report.css", "languages.css", "live.css")}
SCRIPTS = {"page.js": ("report.js", "live.js")}
POLICY = "Content-Security-Policy"
FONT = "korean.ttf"
LIVE_HEADERS = {
    **HEADERS,
    POLICY: f"{HEADERS[POLICY]}; style-src-attr 'unsafe-inline'; font-src 'self'",
}
"""Charts carry their colours in attributes, which hold no code."""
_CLIENT = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True, slots=True)
class LivePage(Page):
    """What the template prints.

    Attributes:
        version: of what is below the head.
        client: by what the server knows this page again.
        has_rest: what is below the head is left out, because the client has it.
        is_over: nothing more is to come.
    """

    version: str = ""
    client: str = ""
    has_rest: bool = False
    is_over: bool = False


class LiveSite:
    """What `fab watch` serves.

    Args:
        follower: knows the run.
        language: of the page.
    """

    headers: Mapping[str, str] = LIVE_HEADERS
    trouble = "See the terminal of `fab watch` for the reason."

    def __init__(self, follower: Follower, language: str = ENGLISH) -> None:
        self._follower = follower
        self._language = language
        self._lock = threading.Lock()
        self._clients: dict[str, bool] = {}
        self._over_at: float | None = None
        self._seen_at: float | None = None

    def get(self, path: str, query: str) -> Content:
        """Return the page, its head alone where a client has the rest, or a file of it.

        Raises:
            RefusedError: there is nothing at that path.
        """
        if path in STYLES:
            font = "" if self._language == ENGLISH else served_font(FONT)
            return Content(CSS, f"{_joined(STYLES[path])}{font}".encode())
        if path in SCRIPTS:
            return Content(JAVASCRIPT, _joined(SCRIPTS[path]).encode())
        if path == FONT:
            return Content(TRUETYPE, SERVED.read_bytes())
        if path not in ("", "now", "closed"):
            raise nothing_here()
        asked = parse_qs(query[:1000])
        client = _known(asked.get("client", [""])[0]) or secrets.token_urlsafe(9)
        if path == "closed":
            self._forget(client)
            return Content(HTML, b"")
        self._follower.want()
        state = self._follower.state
        if path == "now":
            self._note(client, state)
        has_rest = path == "now" and asked.get("version") == [_version(state)]
        return Content(HTML, _printed(state, client, self._language, has_rest=has_rest).encode())

    def post(self, path: str, body: bytes) -> Content:  # noqa: ARG002 - as the server calls it
        """Refuse: nothing can be changed here. Raises RefusedError always."""
        raise nothing_here()

    def _note(self, client: str, state: LiveState) -> None:
        """Remember what a page has seen."""
        with self._lock:
            self._clients[client] = state.is_over
            while len(self._clients) > MOST_CLIENTS:
                self._clients.pop(next(iter(self._clients)))
            if state.is_over and all(self._clients.values()):
                self._seen_at = self._seen_at or time.monotonic()
            else:
                self._seen_at = None

    def _forget(self, client: str) -> None:
        """Do not wait for a page that was closed."""
        with self._lock:
            self._clients.pop(client, None)

    def is_done(self) -> bool:
        """Whether the run has ended and every page knows, or has had time to."""
        if self._follower.state.phase is not RunPhase.FINISHED:
            self._over_at = None
            return False
        now = time.monotonic()
        self._over_at = self._over_at or now
        with self._lock:
            seen_at = self._seen_at
        return (seen_at is not None and now - seen_at > AFTER_S) or now - self._over_at > LINGER_S


def _joined(files: Sequence[str]) -> str:
    return "\n".join((TEMPLATES / name).read_text("utf-8") for name in files)


def _known(client: str) -> str | None:
    return client if _CLIENT.fullmatch(client) else None


def _version(state: LiveState) -> str:
    return f"{state.folder.name if state.folder else ''}.{state.version}"


def _printed(state: LiveState, client: str, language: str, *, has_rest: bool) -> str:
    sections = (top(state, time.time()), *(() if has_rest else rest(state)))
    title = state.account.manifest.title if state.account else ""
    page = LivePage(
        title=title,
        run=state.folder.name if state.folder else "",
        sections=sections,
        drawings=state.drawn.drawings if state.drawn else {},
        has_files=False,
        languages=(language,),
        version=_version(state),
        client=client,
        has_rest=has_rest,
        is_over=state.is_over,
    )
    return render(page, "html", "live")
