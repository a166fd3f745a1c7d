"""One try to have a question answered."""

from __future__ import annotations

import codecs
import email.utils
import http.client
import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from herd_ask.answer import Answer, shortened, told
from herd_ask.ground import LONGEST_WORD, PIECE_BYTES, AnswerError, parsed
from herd_ask.limits import Limits, within
from herd_ask.server import Server

FIELDS = (b"data", b"event", b"id", b"retry")
"""Of an event of a stream; a comment begins with a colon."""
UNAUTHORISED = (401, 403)
TOO_MANY = 429
USED_UP = "insufficient_quota"
MOST_TOLD_HEADERS = 20
TOLD_HEADERS = ("x-request-id", "x-ratelimit-", "openai-processing-ms")


def ask(answer: Answer, server: Server, body: object) -> None:
    """Ask a question. Raises AnswerError, OSError or HTTPException if it is not answered."""
    limits = Limits(body, server.silence_s)
    with within(limits):
        _ask(answer, server, body, limits)


def _ask(answer: Answer, server: Server, body: object, limits: Limits) -> None:
    headers = server.headers()
    connection = server.connection()
    try:
        answer.stamp("connect_s")
        connect(connection, server)
        answer.stamp("sent_s")
        target, more = server.target()
        content = json.dumps(body).encode()
        connection.request("POST", target, body=content, headers={**headers, **more})
        response = connection.getresponse()
        answer.stamp("first_byte_s")
        answer.record["status"] = response.status
        answer.record["headers"] = told_headers(response)
        if response.status != http.client.OK:
            raise refusal(response, server)
        encoding = response.getheader("Content-Encoding", "identity").strip().lower()
        if encoding != "identity":
            words = server.words(encoding[:20])
            raise AnswerError(f"the answer is compressed ({words}), which was not asked for")
        for data in events(response, limits, server):
            answer.take(data)
            if answer.complete:
                break
    finally:
        connection.close()
    if not answer.complete:
        raise AnswerError("the stream ended before the answer did", again=True)


def connect(connection: http.client.HTTPConnection, server: Server) -> None:
    """Open a connection. Raises AnswerError or OSError if that cannot be done."""
    try:
        connection.connect()
    except socket.timeout:
        through = f" through the proxy {server.proxy.name}" if server.proxy else ""
        words = f"the server could not be reached{through} within {server.connect_s:g} s"
        raise AnswerError(words, again=True) from None
    except ssl.SSLError:  # of the server: the way to it is open
        raise
    except (OSError, http.client.HTTPException) as error:
        if server.proxy is None:
            raise
        raise server.proxy.failure_of(error) from None
    connection.sock.settimeout(server.silence_s)


def told_headers(response: http.client.HTTPResponse) -> dict[str, str]:
    """Headers that name a request and give limits."""
    told = [(name.lower(), value) for name, value in response.getheaders()]
    kept = [(name, value) for name, value in told if name.startswith(TOLD_HEADERS)]
    return {name[:LONGEST_WORD]: value[:LONGEST_WORD] for name, value in kept[:MOST_TOLD_HEADERS]}


def events(response: http.client.HTTPResponse, limits: Limits, server: Server) -> Iterator[bytes]:
    """The data of each event, as soon as its line is there.

    All servers known put an event on one line, with or without an empty one after it. Raises
    AnswerError where more comes than was asked for, and at the end of what is no stream at all:
    asking again would cost again.
    """
    other = b""
    for line in lines_of(response, limits):
        field, colon, data = line.removeprefix(codecs.BOM_UTF8).partition(b":")
        if colon and field == b"data":
            yield data.strip()
        elif field.strip() and field not in FIELDS:
            other = other or line
    if other:
        raise AnswerError(f"the answer is no stream of events: {shortened(other, server)}")


def lines_of(response: http.client.HTTPResponse, limits: Limits) -> Iterator[bytes]:
    """Each line as soon as it is there; dllama-api ends its last one with nothing.

    Raises AnswerError where more comes than was asked for.
    """
    received, came = bytearray(), 0
    while True:
        piece = response.read1(PIECE_BYTES)
        came += len(piece)
        if came > limits.data:
            raise AnswerError(
                f"the answer has more than {limits.data} bytes, for at most {limits.tokens} tokens"
            )
        received += piece
        if piece and b"\n" not in piece:
            if len(received) > limits.line:
                raise AnswerError(f"a line of the answer has more than {limits.line} bytes")
            continue
        *lines, rest = bytes(received).split(b"\n")
        yield from lines
        if not piece:
            yield rest
            return
        received = bytearray(rest)


def refusal(response: http.client.HTTPResponse, server: Server) -> AnswerError:
    """Why a server does not answer, and whether it may later."""
    status, body = response.status, response.read(PIECE_BYTES)
    if status == http.client.PROXY_AUTHENTICATION_REQUIRED and server.proxy:
        return server.proxy.unauthorised()
    try:
        event = parsed(body)
    except ValueError:
        event = None
    says = isinstance(event, dict) and event.get("error")
    words = told(event, server) if says else shortened(body, server)
    if status in UNAUTHORISED:
        key = f"does not accept the key in {server.key_env}" if server.key_env else "wants a key"
        return AnswerError(f"the server {key} (status {status}): {words}", hopeless=True)
    if status == TOO_MANY and isinstance(says, dict) and says.get("code") == USED_UP:
        return AnswerError(f"the account is used up (status {status}): {words}", hopeless=True)
    return AnswerError(
        f"the server refused with status {status}: {words}",
        again=status == TOO_MANY or status >= http.client.INTERNAL_SERVER_ERROR,
        after_s=retry_after_s(response.getheader("Retry-After")),
    )


def retry_after_s(value: str | None) -> float | None:
    """How long a server asks to wait: seconds, or until a date; None if it says nothing usable."""
    if value is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", value):
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def failure_of(error: Exception, server: Server) -> AnswerError:
    """Why a question was not answered, in words, and whether it may be in another try."""
    if isinstance(error, AnswerError):
        return error
    if isinstance(error, socket.timeout):  # not TimeoutError before Python 3.10
        return AnswerError(f"the server said nothing for {server.silence_s:g} s")
    if isinstance(error, ssl.SSLCertVerificationError):
        return AnswerError(
            f"the certificate of {urlsplit(server.url).hostname} is not to be trusted: "
            f"{error.verify_message}",
            hopeless=True,
        )
    if isinstance(error, UnicodeError):
        asked = server.proxy.name if server.proxy else urlsplit(server.url).netloc
        return AnswerError(f"{server.words(asked)} can be no name of a server", hopeless=True)
    words = server.words(str(error))  # of looking a name up, for one
    if isinstance(error, ConnectionRefusedError):
        words = "nothing listens there: the server is gone"
    elif isinstance(error, http.client.IncompleteRead):
        words = "the stream was cut before the answer ended"
    elif isinstance(error, (ConnectionError, http.client.HTTPException)):
        words = f"the connection broke: {words or type(error).__name__}"
    return AnswerError(words, again=True)
