"""The local page on which a rater judges answers.

`core.local_site` keeps other pages, programs and machines out. No answer of this server names a
system, a run or a node.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from collect.ratings import HIGHEST, LOWEST, RUBRICS, Judgement, Score
from core.local_site.answers import (
    CSS,
    HEADERS,
    HTML,
    JAVASCRIPT,
    JSON,
    Content,
    RefusedError,
    as_json,
    nothing_here,
)
from core.local_site.server import LocalServer
from experiments.rating.sheet import Sheet
from experiments.rating.store import Store

PAGE = Path(__file__).with_name("page")
FILES = {
    "": ("index.html", HTML),
    "rate.css": ("rate.css", CSS),
    "rate.js": ("rate.js", JAVASCRIPT),
}


class _Posted(BaseModel):
    """A judgement as the page sends it: all that is known of an answer."""

    model_config = ConfigDict(extra="forbid")

    question: str
    label: str
    scores: dict[str, Score]
    comment: Annotated[str, Field(max_length=4000)] = ""


@dataclass(frozen=True)
class Rating:
    """A sheet being judged: what the requests share."""

    headers: ClassVar[Mapping[str, str]] = HEADERS
    trouble: ClassVar[str] = (
        "It could not be stored. See the terminal of `fab rate` for the reason."
    )
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

    def get(self, path: str, query: str) -> Content:  # noqa: ARG002 - no path of it has a query
        """Return the page, what belongs to it, or the sheet."""
        if path == "sheet":
            return Content(JSON, as_json(self.shown()))
        if path not in FILES:
            raise nothing_here()
        name, kind = FILES[path]
        return Content(kind, PAGE.joinpath(name).read_bytes())

    def post(self, path: str, body: bytes) -> Content:
        """Store a judgement."""
        if path != "judgement":
            raise nothing_here()
        self.judge(body)
        return Content(JSON, as_json({"stored": True}))

    def judge(self, body: bytes) -> None:
        """Store what the page posted.

        Raises:
            RefusedError: it is no judgement of this sheet.
            HerdError: it cannot be stored.
        """
        try:
            posted = _Posted.model_validate_json(body)
        except ValidationError:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "This is not a valid rating.") from None
        asked = self.sheet.question(posted.question)
        shown = asked.labelled(posted.label) if asked else None
        if shown is None or not posted.scores.keys() <= RUBRICS.keys():
            raise RefusedError(HTTPStatus.BAD_REQUEST, "There is no such answer or rubric.")
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


class RatingServer(LocalServer):
    """Serves one rating at a random port and under a random path."""

    def __init__(self, rating: Rating, say: Callable[[str], None]) -> None:
        super().__init__(rating, say)
        self.rating = rating
