"""The double of dllama-api answers and dies as the recorded one does."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.dllama_double import HOST, Started, anonymous, build
from tests.doubles.recorded_logs import DATA

TRANSCRIPT = (DATA / "api_n2" / "client.txt").read_text(encoding="utf-8")
MODEL = "/models/tiny.m"
HI = {"messages": [{"role": "user", "content": "hi"}]}
CHAT = "POST /v1/chat/completions"
ABORTED = -6
Serve = Callable[..., Started]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("double"))


@pytest.fixture
def serve(programs: Path, tmp_path: Path) -> Iterator[Serve]:
    """Starts dllama-api with further options; it takes questions then."""
    started: list[Started] = []

    def start(*options: str) -> Started:
        command = [str(programs / "dllama-api"), "--host", HOST, "--model", MODEL, *options]
        server = Started(command, tmp_path / f"server{len(started)}")
        started.append(server)
        return server

    yield start
    for server in started:
        server.end()


@pytest.fixture
def server(serve: Serve) -> Started:
    ready = serve("--chat-template", "llama3")
    ready.wait_for("Server URL: ")
    return ready


def asked(request: str, body: str) -> bytes:
    """A request as it goes over the wire."""
    return f"{request} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def exchange(server: Started, request: str, body: str = "") -> str:
    """What comes back on a connection of its own, until it is closed; chunks put together."""
    with socket.create_connection((HOST, server.port), timeout=10) as peer:
        peer.sendall(asked(request, body))
        said = b"".join(iter(lambda: peer.recv(65536), b"")).decode()
    top, _, content = said.partition("\r\n\r\n")
    if "chunked" in top:
        content = "".join(re.findall(r"(?s)[0-9a-f]+\r\n(data: .*?)\r\n(?=[0-9a-f]+\r\n)", content))
    return f"{top}\r\n\r\n{content}"


def completion(server: Started, **fields: object) -> dict[str, Any]:
    said = exchange(server, CHAT, json.dumps({**HI, **fields}))
    answer: dict[str, Any] = json.loads(said.partition("\r\n\r\n")[2])
    return answer


def text_of(server: Started, **fields: object) -> str:
    return str(completion(server, max_tokens=8, **fields)["choices"][0]["message"]["content"])


def recorded(name: str) -> str:
    """What the real one said to the request of that name."""
    return TRANSCRIPT.partition(f"### {name}: ")[2].partition("\n")[2].partition("\ncurl_rc=")[0]


def shape(said: str) -> list[str]:
    """An answer without what differs from time to time: words, moments, counts, lengths."""
    plain = re.sub(r'("content":)"[^"]*"', r'\1"…"', said)
    plain = re.sub(r'("(?:created|index|\w+_tokens)":)-?\d+|(Content-Length: )\d+', r"\1\2N", plain)
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    return list(dict.fromkeys(lines))


@pytest.mark.parametrize(
    ("name", "request_line", "body"),
    [
        ("models", "GET /v1/models", ""),
        ("completions", CHAT, json.dumps({**HI, "max_tokens": 5})),
        ("stream", CHAT, json.dumps({**HI, "max_tokens": 4, "stream": True})),
        ("notfound", "GET /v1/completions", ""),
        ("health", "GET /health", ""),
        ("options", "OPTIONS /v1/chat/completions", ""),
        ("embeddings", "POST /v1/embeddings", '{"input":"x"}'),
        ("models_q", "GET /v1/models?x=1", ""),
    ],
)
def test_every_route_is_answered_as_recorded(
    server: Started, name: str, request_line: str, body: str
) -> None:
    assert shape(exchange(server, request_line, body)) == shape(recorded(name))


def test_a_stream_has_no_usage_and_no_reason_but_stop(server: Started) -> None:
    said = exchange(server, CHAT, json.dumps({**HI, "max_tokens": 3, "stream": True}))
    assert said.count('"delta"') == 3
    assert "usage" not in said
    assert set(re.findall(r'"finish_reason":"(\w+)"', said)) == {"stop"}
    assert "usage" in exchange(server, CHAT, json.dumps({**HI, "max_tokens": 3}))


def test_the_temperature_is_that_of_the_start_whatever_a_request_says(serve: Serve) -> None:
    warm = serve("--chat-template", "llama3")
    cold = serve("--chat-template", "llama3", "--temperature", "0")
    for one in (warm, cold):
        one.wait_for("Server URL: ")
    assert text_of(warm, temperature=0, seed=1) != text_of(warm, temperature=0, seed=2)
    assert text_of(warm, temperature=0, seed=1) == text_of(warm, temperature=1, seed=1)
    assert text_of(cold, temperature=1, seed=1) == text_of(cold, temperature=1, seed=2)


def test_a_connection_without_a_request_ends_it(server: Started) -> None:
    socket.create_connection((HOST, server.port)).close()
    assert server.process.wait(timeout=10) == ABORTED
    assert "Error while reading headers from socket" in server.err.read_text()


def test_a_content_in_parts_ends_it_with_the_recorded_words(server: Started) -> None:
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}
    assert exchange(server, CHAT, json.dumps(parts)).strip() == ""
    assert server.process.wait(timeout=10) == ABORTED
    last = (DATA / "api_n2" / "root.err").read_text().splitlines()[-1]
    assert server.err.read_text().splitlines()[-1] == last


def test_it_listens_and_then_ends_where_nothing_names_a_template(
    serve: Serve, tmp_path: Path
) -> None:
    tokenizer = tmp_path / "without.t"
    tokenizer.write_bytes(b"".join(n.to_bytes(4, "little") for n in (0x567124, 16, 0, 1)))
    server = serve("--tokenizer", str(tokenizer))
    assert server.process.wait(timeout=10) == ABORTED
    assert server.lines[-1].startswith("Listening on ")
    assert "The tokenizer does not include chat template" in server.err.read_text()


def test_a_worker_that_is_gone_breaks_the_stream_and_is_waited_for_as_recorded(
    serve: Serve, programs: Path, tmp_path: Path
) -> None:
    command = [str(programs / "dllama"), "worker", "--host", HOST]
    worker = Started(command, tmp_path / "worker")
    worker.wait_for("Listening on ")
    server = serve("--chat-template", "llama3", "--workers", f"{HOST}:{worker.port}")
    server.wait_for("Server URL: ")
    body = json.dumps({**HI, "max_tokens": 4000, "stream": True})
    with socket.create_connection((HOST, server.port), timeout=10) as peer:
        peer.sendall(asked(CHAT, body))
        assert peer.recv(1)
        worker.end()
        said = b"".join(iter(lambda: peer.recv(65536), b""))
    assert b"[DONE]" not in said
    server.wait_for("Cannot connect to ")
    server.wait_for("Retrying in 3 seconds", times=2)
    real = anonymous((DATA / "api_worker_killed" / "root.out").read_text())
    broken = "🚨 Execution error"
    said_then = "\n".join(server.lines).partition(broken)[2].splitlines()
    assert len(said_then) == 8
    assert said_then == real.partition(broken)[2].splitlines()[:8]


def test_a_worker_survives_the_end_of_its_server_as_recorded(
    serve: Serve, programs: Path, tmp_path: Path
) -> None:
    worker = Started([str(programs / "dllama"), "worker", "--host", HOST], tmp_path / "worker")
    worker.wait_for("Listening on ")
    server = serve("--chat-template", "llama3", "--workers", f"{HOST}:{worker.port}")
    server.wait_for("Server URL: ")
    server.end()
    worker.wait_for("Listening on ", times=2)
    worker.end()
    real = (DATA / "api_n2" / "worker1.out").read_text().splitlines()
    assert worker.lines[-3:] == [anonymous(line) for line in real[-3:]]
