"""The client on the nodes: what it writes down of servers that behave and of those that do not."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CLIENT = Path(__file__).resolve().parents[2] / "roles" / "node_base" / "files" / "herd-ask"
HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = "0000\r\n\r\n"
Behaviour = Callable[[socket.socket], None]


def chunk(data: str | bytes) -> bytes:
    """A chunk of a chunked transfer."""
    raw = data.encode() if isinstance(data, str) else data
    return f"{len(raw):x}\r\n".encode() + raw + b"\r\n"


def delta(text: str | None, end: str = "\n\n", **more: str | int) -> str:
    """An event of chat completions."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None, **more}
    event = {"choices": [choice], "object": "chat.completion.chunk"}
    return f"data: {json.dumps(event)}{end}"


@contextmanager
def serving(behaviour: Behaviour, times: int = 1) -> Iterator[tuple[str, list[bytes]]]:
    """A server of that behaviour: its address, and the requests that it got."""
    requests: list[bytes] = []

    def serve() -> None:
        for _ in range(times):
            peer, _ = listener.accept()
            with peer:
                received = b""
                while b"}}" not in received:
                    received += peer.recv(65536)
                requests.append(received)
                behaviour(peer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1/chat/completions", requests
        thread.join(10)


def asked(url: str, *ids: str, silence_s: float = 5.0) -> tuple[int, list[dict[str, Any]]]:
    """What the client writes: its exit status and its records."""
    questions = [json.dumps({"id": name, "body": {"stream": True, "n": {}}}) for name in ids]
    done = subprocess.run(
        [sys.executable, "-IS", str(CLIENT), url, str(silence_s), *(questions or ["{}"])],
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert b"Traceback" not in done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def one(behaviour: Behaviour, silence_s: float = 5.0) -> dict[str, Any]:
    """The one record of a question to such a server."""
    with serving(behaviour) as (url, _):
        status, records = asked(url, "q1", silence_s=silence_s)
    (record,) = records
    assert status == (0 if record["error"] is None else 1)
    return record


def answering(*chunks: str | bytes, end: str = END) -> Behaviour:
    def behave(peer: socket.socket) -> None:
        peer.sendall(HEAD.encode() + b"".join(map(chunk, chunks)) + end.encode())

    return behave


def test_an_answer_has_its_text_its_pieces_and_its_moments_in_order() -> None:
    def behave(peer: socket.socket) -> None:
        peer.sendall(HEAD.encode() + chunk(delta("")))
        for text in ("Hel", "lo"):
            time.sleep(0.05)
            peer.sendall(chunk(delta(text)))
        time.sleep(0.05)
        usage = {"choices": [], "usage": {"completion_tokens": 2}}
        peer.sendall(chunk(delta(None, finish_reason="length")))
        peer.sendall(chunk(f"data: {json.dumps(usage)}\n\ndata: [DONE]\n\n") + END.encode())

    record = one(behave)

    assert (record["text"], record["status"], record["error"]) == ("Hello", 200, None)
    assert [text for _, text in record["pieces"]] == ["Hel", "lo"]
    assert (record["finish_reason"], record["usage"]) == ("length", {"completion_tokens": 2})
    moments = ["sent_s", "first_byte_s", "first_piece_s", "last_piece_s", "done_s"]
    stamps = [record[moment] for moment in moments]
    assert stamps == sorted(stamps)
    assert record["first_piece_s"] - record["first_byte_s"] > 0.04
    assert record["last_piece_s"] - record["first_piece_s"] == pytest.approx(0.05, abs=0.04)


def test_the_stream_of_dllama_api_is_read_with_its_oddities() -> None:
    """Another object name, garbage for an index, lines that end as on Windows, no last line."""
    oddities = {"index": -1606327712}
    record = one(
        answering(
            delta(" once", "\r\n\r\n", **oddities),
            delta(" upon", "\r\n\r\n", **oddities),
            'data: {"choices":[{"finish_reason":"","index":0}]}\r\n\r\n',
            "data: [DONE]",
        )
    )

    assert (record["text"], record["error"]) == (" once upon", None)
    assert record["finish_reason"] is None
    assert record["usage"] is None


def test_llama_servers_own_stream_has_probabilities_and_times() -> None:
    token = {"id": 5, "token": " a", "logprob": -0.5, "top_logprobs": []}
    first = {"content": " a", "stop": False, "completion_probabilities": [token]}
    last = {"content": "", "stop": True, "stop_type": "limit", "timings": {"predicted_n": 1}}

    record = one(answering(*(f"data: {json.dumps(event)}\n\n" for event in (first, last))))

    assert (record["text"], record["finish_reason"], record["error"]) == (" a", "limit", None)
    assert record["probabilities"] == [token]
    assert record["timings"] == {"predicted_n": 1}


def test_a_character_that_is_split_over_chunks_arrives_whole() -> None:
    event = "data: " + json.dumps(
        {"choices": [{"delta": {"content": "안녕 🦙"}}]}, ensure_ascii=False
    )
    raw = event.encode() + b"\n\n"

    record = one(answering(*(raw[at : at + 1] for at in range(len(raw))), "data: [DONE]\n\n"))

    assert record["text"] == "안녕 🦙"
    assert len(record["pieces"]) == 1


def test_every_question_is_asked_once_with_the_body_as_given() -> None:
    with serving(answering(delta("yes"), "data: [DONE]\n\n"), times=2) as (url, requests):
        status, records = asked(url, "q1", "q2")

    assert status == 0
    assert [record["id"] for record in records] == ["q1", "q2"]
    assert len(requests) == 2
    for request in requests:
        head, _, body = request.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /v1/chat/completions HTTP/1.1")
        assert b"Content-Length: " in head, "dllama-api knows no other spelling"
        assert json.loads(body) == {"stream": True, "n": {}}


def refusing(status: str, body: str) -> Behaviour:
    def behave(peer: socket.socket) -> None:
        head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        peer.sendall((head + body).encode())

    return behave


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (answering(delta("Hel"), end=""), "the stream was cut before the answer ended"),
        (answering(delta("Hel")), "the stream ended before the answer did"),
        (answering(delta("Hel"), "data: {'no'}\n\n"), "a chunk is no JSON: {'no'}"),
        (answering(delta("Hel"), "data: [1]\n\n"), "a chunk is no object: [1]"),
        (answering(delta("Hel"), delta(7)), "a chunk is not as agreed"),  # type: ignore[arg-type]
        (
            answering(delta("Hel"), 'data: {"error": {"message": "no memory"}}\n\n'),
            "the server broke off: no memory",
        ),
    ],
)
def test_an_answer_that_breaks_off_is_kept_as_far_as_it_came(
    behaviour: Behaviour, told: str
) -> None:
    record = one(behaviour)

    assert str(record["error"]).startswith(told)
    assert record["text"] == "Hel"
    assert record["status"] == 200


@pytest.mark.parametrize(
    ("behaviour", "status", "told"),
    [
        (
            refusing("500 Oh", '{"error": {"message": "no slot"}}'),
            500,
            "the server refused with status 500: no slot",
        ),
        (refusing("404 No", "Not Found"), 404, "the server refused with status 404: Not Found"),
    ],
)
def test_a_refusal_is_told_with_the_servers_words(
    behaviour: Behaviour, status: int, told: str
) -> None:
    record = one(behaviour)

    assert (record["status"], record["error"]) == (status, told)
    assert record["text"] == ""
    assert record["first_piece_s"] is None


def test_a_server_that_stalls_is_left_after_the_silence_allowed() -> None:
    def behave(peer: socket.socket) -> None:
        peer.sendall(HEAD.encode() + chunk(delta("Hel")))
        peer.recv(1)  # until the client goes

    begun = time.monotonic()
    record = one(behave, silence_s=0.3)

    assert record["error"] == "the server said nothing for 0.3 s"
    assert record["text"] == "Hel"
    assert time.monotonic() - begun < 5


def test_a_server_that_closes_at_once_is_told_as_a_broken_connection() -> None:
    assert str(one(lambda _: None)["error"]).startswith("the connection broke")


def test_nothing_is_asked_after_a_question_without_an_answer() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1/chat/completions"

        status, records = asked(url, "q1", "q2")

    assert status == 1
    assert [(record["id"], record["status"]) for record in records] == [("q1", None)]
    assert records[0]["error"] == "nothing listens there: the server is gone"


def test_it_runs_on_the_oldest_python_that_nodes_have() -> None:
    """Grammar of 3.9; nothing beside the standard library."""
    import ast  # noqa: PLC0415 - this test alone needs it

    tree = ast.parse(CLIENT.read_text(), feature_version=(3, 9))
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        (node.module or "").split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    }
    assert imported <= set(sys.stdlib_module_names)
