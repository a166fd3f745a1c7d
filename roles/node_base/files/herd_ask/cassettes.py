"""Answers that are kept as files, and given again."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from herd_ask.answer import Answer
from herd_ask.ground import HOPELESS, parsed
from herd_ask.server import Server


def cassette(url: str, body: object) -> Path:
    """The file that keeps the answer to a request: named by what is sent, the key apart."""
    sent = json.dumps([url, body], sort_keys=True).encode()
    return Path(os.environ["HERD_CASSETTES"]) / f"{hashlib.sha256(sent).hexdigest()}.json"


def replayed(server: Server, question: dict[str, Any]) -> tuple[Answer, int]:
    """The answer that was kept, and the status to end with: 0 if there is one."""
    answer = Answer(question["id"], server)
    try:
        kept = parsed(cassette(server.url, question["body"]).read_bytes())["record"]
        known = {name: kept[name] for name in answer.record if name in kept}
    except (OSError, ValueError, LookupError, TypeError):
        answer.record["error"] = "no answer to this question was kept: ask it without a replay"
        return answer, HOPELESS
    answer.record.update(known, id=question["id"], replayed=True)
    return answer, 0


def keep(server: Server, question: dict[str, Any], answer: Answer) -> None:
    """Keep an answer, whole or not at all."""
    path = cassette(server.url, question["body"])
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    content = {"body": question["body"], "record": answer.record}
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(path)
