"""The client as a program: its arguments, further tries, and how it ends."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import sys
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from herd_ask.answer import Answer
from herd_ask.asking import ask, failure_of
from herd_ask.cassettes import keep, replayed
from herd_ask.ground import HOPELESS, UNUSABLE, AnswerError
from herd_ask.server import Server

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
LONGEST_RETRY_AFTER_S = 300.0


def main() -> int:
    """Ask all questions, or up to the first that is not answered."""
    given = arguments()
    try:
        place = urlsplit(given.url)
        is_address = place.scheme in ("http", "https") and place.hostname and place.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        sys.stderr.write(
            f"error: {given.url!r} is no address of the form https://HOST[:PORT]/...\n"
        )
        return HOPELESS
    if given.with_parent:
        threading.Thread(target=end_with_parent, daemon=True).start()
    server = Server(given.url, given.silence_s, given.key_env)
    ends = 0
    for text in given.questions:
        question = json.loads(text)
        if given.replay:
            answer, status = replayed(server, question)
        else:
            answer, status = answered(server, question, given.retries)
        sys.stdout.write(json.dumps(answer.record) + "\n")
        sys.stdout.flush()
        if given.keep and not given.replay and status == 0:
            try:
                keep(server, question, answer)
            except OSError as error:  # it is written above: nothing that was paid for is lost
                sys.stderr.write(f"warning: an answer could not be kept: {error}\n")
        if status != 0:
            sys.stderr.write(f"error: question {answer.record['id']}: {answer.record['error']}\n")
            ends = status
        if status not in (0, UNUSABLE):
            return status
    return ends


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="herd-ask", allow_abbrev=False)
    parser.add_argument("--key-env")
    parser.add_argument("--retries", type=int, default=0)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--replay", action="store_true")
    parser.add_argument("--with-parent", action="store_true")
    parser.add_argument("url")
    parser.add_argument("silence_s", type=float)
    parser.add_argument("questions", nargs="+")
    return parser.parse_args()


def answered(server: Server, question: dict[str, Any], retries: int) -> tuple[Answer, int]:
    """The answer to a question, whole or not, and the status to end with: 0 if it can be used."""
    earlier: list[dict[str, Any]] = []
    while True:
        answer = Answer(question["id"], server)
        failure = None
        try:
            ask(answer, server, question["body"])
        except (AnswerError, OSError, http.client.HTTPException, UnicodeError) as error:
            failure = failure_of(error, server)
            answer.record["error"] = str(failure)
        answer.record["earlier"] = earlier
        begun, uncounted = answer.begun, answer.uncounted() if failure is None else None
        if uncounted is not None:
            answer.record["error"] = uncounted
        answer.close()
        if failure is None:
            return answer, UNUSABLE if uncounted else 0
        if not failure.again or begun or len(earlier) == retries:
            return answer, HOPELESS if failure.hopeless else 1
        pause_s = wait_s(failure, len(earlier))
        if pause_s > LONGEST_RETRY_AFTER_S:
            answer.record["error"] += f" (it asks to wait {failure.after_s:.0f} s)"
            return answer, 1
        known = ("status", "error", "connect_s", "done_s")
        earlier.append({**{name: answer.record[name] for name in known}, "wait_s": pause_s})
        time.sleep(pause_s)


def wait_s(failure: AnswerError, tries: int) -> float:
    """How long to wait after so many tries.

    At random, so that many clients do not come back at once: full jitter, or up to a second more
    than the server asks for.
    """
    if failure.after_s is not None:
        return failure.after_s + random.uniform(0.0, 1.0)  # noqa: S311 - no secret
    bound_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**tries)
    return random.uniform(0.0, bound_s)  # noqa: S311 - no secret


def end_with_parent() -> None:
    """End this process when no other process holds the other end of standard input."""
    while os.read(0, 1):  # buffered input would be locked when the interpreter ends
        pass
    os._exit(1)
