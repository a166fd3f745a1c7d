"""Servers of OpenAI's chat completions that behave as a test says, well or badly.

The pieces are those of recorded streams of llama-server and dllama-api (tests/data/questions/).
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = "0000\r\n\r\n"
DONE = "data: [DONE]\n\n"
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


def usage(prompt_tokens: int, completion_tokens: int) -> str:
    """The event that tells how many tokens there were."""
    counts = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    return f"data: {json.dumps({'choices': [], 'usage': counts})}\n\n"


def answering(*chunks: str | bytes, end: str = END) -> Behaviour:
    """Sends a stream."""

    def behave(peer: socket.socket) -> None:
        peer.sendall(HEAD.encode() + b"".join(map(chunk, chunks)) + end.encode())

    return behave


def saying(text: str, prompt_tokens: int = 10, completion_tokens: int = 2) -> Behaviour:
    """Gives a whole answer and counts its tokens."""
    last = delta(None, finish_reason="stop")
    return answering(delta(text), last, usage(prompt_tokens, completion_tokens), DONE)


def refusing(status: str, body: str, *headers: str) -> Behaviour:
    """Answers with that status."""

    def behave(peer: socket.socket) -> None:
        lines = [f"HTTP/1.1 {status}", "Connection: close", *headers]
        head = "\r\n".join([*lines, f"Content-Length: {len(body.encode())}", "", ""])
        peer.sendall((head + body).encode())

    return behave


def stalling(*chunks: str) -> Behaviour:
    """Begins a stream and says no more until the client goes."""

    def behave(peer: socket.socket) -> None:
        peer.sendall(HEAD.encode() + b"".join(map(chunk, chunks)))
        peer.recv(1)

    return behave


def hanging_up(_peer: socket.socket) -> None:
    """Closes the connection without a word."""


def _request(peer: socket.socket) -> bytes:
    """A whole request."""
    received = b""
    while piece := peer.recv(65536):
        received += piece
        head, blank, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)^content-length: (\d+)", head, re.MULTILINE)
        if blank and len(body) >= int(length[1] if length else 0):
            break
    return received


@contextmanager
def serving(
    *behaviours: Behaviour, times: int = 1, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[str, list[bytes]]]:
    """A server: its address, and the requests that it got.

    Each connection is served by the next behaviour, the last one's also `times` - 1 times more.
    """
    requests: list[bytes] = []
    waiting = [*behaviours, *behaviours[-1:] * (times - 1)]

    def serve() -> None:
        while waiting:
            peer, _ = listener.accept()
            try:
                stream = tls.wrap_socket(peer, server_side=True) if tls else peer
                with stream:
                    request = _request(stream)
                    if not request:  # it was only woken
                        continue
                    requests.append(request)
                    waiting.pop(0)(stream)
            except OSError:
                peer.close()  # the client went

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1/chat/completions", requests
        finally:
            waiting.clear()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                pass
            thread.join(10)
