"""What a local page answers: content, or one sentence that says why not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

JSON = "application/json"
HTML = "text/html; charset=utf-8"
CSS = "text/css; charset=utf-8"
JAVASCRIPT = "text/javascript; charset=utf-8"
TRUETYPE = "font/ttf"

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer. Nothing is loaded from elsewhere, and no other page may embed or read this."""


@dataclass(frozen=True, slots=True)
class Content:
    """Content with its media type."""

    kind: str
    content: bytes


class RefusedError(Exception):
    """A request that is not answered: status and one sentence."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Site(Protocol):
    """What is behind the address."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of every answer."""

    @property
    def trouble(self) -> str:
        """What the page shows where `get` or `post` raises HerdError.

        The error's own words go to the terminal alone.
        """

    def get(self, path: str, query: str) -> Content:
        """Return what is at a path. Raises RefusedError, HerdError."""

    def post(self, path: str, body: bytes) -> Content:
        """Do what the page asks. Raises RefusedError, HerdError."""


def as_json(content: object) -> bytes:
    """The content as JSON."""
    return json.dumps(content, ensure_ascii=False).encode()


def nothing_here() -> RefusedError:
    """The refusal of a path that does not exist."""
    return RefusedError(HTTPStatus.NOT_FOUND, "There is nothing here.")
