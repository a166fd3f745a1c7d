"""The local page on which a rater judges answers.

It listens on the loopback address alone. Other programs and pages of the same machine are kept out
by a random token in the path; web pages that point a name of theirs at this address, by the Host
header; pages that post blindly, by the content type and the Origin header. No answer of this server
names a system, a run or a node.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from collect.ratings import HIGHEST, LOWEST, RUBRICS, Judgement, Score
from core.errors import HerdError
from experiments.rating.sheet import Sheet
from experiments.rating.store import Store

PAGE = Path(__file__).with_name("page")
LOOPBACK = "127.0.0.1"
JSON = "application/json"
LONGEST_REQUEST_BYTES = 64 * 1024
_LENGTH = re.compile(r"[0-9]{1,9}")
FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "rate.css": ("rate.css", "text/css; charset=utf-8"),
    "rate.js": ("rate.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
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


class _Posted(BaseModel):
    """A judgement as the page sends it: all that is known of an answer."""

    model_config = ConfigDict(extra="forbid")

    question: str
    label: str
    scores: dict[str, Score]
    comment: Annotated[str, Field(max_length=4000)] = ""


class _RefusedError(Exception):
    """A request that is not answered: status and one sentence."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


@dataclass(frozen=True)
class Rating:
    """A sheet being judged: what the requests share."""

    sheet: Sheet
    store: Store
    lock: threading.Lock = field(default_factory=threading.Lock)

    def judged(self) -> int:
        """How many answers of the sheet are judged completely."""
        with self.lock:
            kept = [
                self.store.get(asked.question.id, shown.answer)
                for asked in self.sheet.asked
                for shown in asked.answers
            ]
        return sum(one is not None and one.is_whole for one in kept)

    def shown(self) -> dict[str, object]:
        """What the page shows, with what was judged before."""
        with self.lock:
            return {
                "rubrics": [{"name": name, "about": about} for name, about in RUBRICS.items()],
                "scores": list(range(LOWEST, HIGHEST + 1)),
                "questions": [
                    {
                        "id": asked.question.id,
                        "text": asked.question.text,
                        "rubric": asked.question.rubric,
                        "answers": [
                            {"label": one.label, "text": one.text}
                            | _kept(self.store.get(asked.question.id, one.answer))
                            for one in asked.answers
                        ],
                    }
                    for asked in self.sheet.asked
                ],
            }

    def judge(self, body: bytes) -> None:
        """Store what the page posted.

        Raises:
            _RefusedError: it is no judgement of this sheet.
            HerdError: it cannot be stored.
        """
        try:
            posted = _Posted.model_validate_json(body)
        except ValidationError:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "This is not a valid rating.") from None
        asked = self.sheet.question(posted.question)
        shown = asked.labelled(posted.label) if asked else None
        if shown is None or not posted.scores.keys() <= RUBRICS.keys():
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "There is no such answer or rubric.")
        judgement = Judgement(
            at=time.time(),
            question=posted.question,
            answer=shown.answer,
            comment=posted.comment,
            **posted.scores,
        )
        with self.lock:
            self.store.add(judgement)


def _kept(judgement: Judgement | None) -> dict[str, object]:
    if judgement is None:
        return {"scores": {}, "comment": ""}
    return {"scores": judgement.scores, "comment": judgement.comment}


class RatingServer(ThreadingHTTPServer):
    """Serves one rating at a random port and under a random path."""

    daemon_threads = True

    def __init__(self, rating: Rating, say: Callable[[str], None]) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.rating = rating
        self.say = say
        self.token = secrets.token_urlsafe(24)

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser may break off a request whenever it likes; anything else is a mistake here."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{LOOPBACK}:{self.server_port}/{self.token}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        """How a browser may name this server."""
        return (f"{LOOPBACK}:{self.server_port}", f"localhost:{self.server_port}")


class _Handler(BaseHTTPRequestHandler):
    server: RatingServer
    timeout = 30

    def version_string(self) -> str:
        return "llama-herd"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing: the path holds the token."""

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, method: Callable[[str], tuple[str, bytes]]) -> None:
        try:
            kind, content = method(self._path())
            status = HTTPStatus.OK
        except _RefusedError as refusal:
            kind, content, status = JSON, _as_json({"error": refusal.why}), refusal.status
        except HerdError as error:
            # Not to the page: the message may hold the name of the run.
            self.server.say(str(error))
            told = {
                "error": "It could not be stored. See the terminal of `fab rate` for the reason."
            }
            kind, content, status = JSON, _as_json(told), HTTPStatus.INTERNAL_SERVER_ERROR
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _path(self) -> str:
        """The path below the token."""
        if self.headers.get_all("Host") not in [[host] for host in self.server.hosts]:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "This is not the address of this page.")
        token, slash, path = self.path.removeprefix("/").partition("/")
        if not slash or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            raise _RefusedError(HTTPStatus.NOT_FOUND, "There is nothing here.")
        return path

    def _get(self, path: str) -> tuple[str, bytes]:
        if path == "sheet":
            return JSON, _as_json(self.server.rating.shown())
        if path not in FILES:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "There is nothing here.")
        name, kind = FILES[path]
        return kind, PAGE.joinpath(name).read_bytes()

    def _post(self, path: str) -> tuple[str, bytes]:
        if path != "judgement":
            raise _RefusedError(HTTPStatus.NOT_FOUND, "There is nothing here.")
        length = self.headers.get("Content-Length", "")
        if not _LENGTH.fullmatch(length) or int(length) > LONGEST_REQUEST_BYTES:
            raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "This is too long.")
        body = self.rfile.read(int(length))
        # A page elsewhere cannot send this type without asking first, which is refused.
        is_ours = self.headers.get("Origin") in {f"http://{host}" for host in self.server.hosts}
        if not is_ours or self.headers.get("Content-Type") != JSON:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "Only the page itself may store ratings.")
        self.server.rating.judge(body)
        return JSON, _as_json({"stored": True})


def _as_json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()
