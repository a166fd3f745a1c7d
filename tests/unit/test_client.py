"""The client on the nodes: what it writes down of servers that behave and of those that do not."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from core.paths import CLIENT
from tests.doubles.api_server import (
    DONE,
    END,
    HEAD,
    Behaviour,
    answering,
    chunk,
    delta,
    hanging_up,
    refusing,
    saying,
    serving,
    stalling,
    usage,
)

KEY = "sk-planted-3b1f9c27"


def asked(
    url: str, *ids: str, silence_s: float = 5.0, options: tuple[str, ...] = (), **env: str
) -> tuple[int, list[dict[str, Any]]]:
    """What the client writes: its exit status and its records."""
    questions = [json.dumps({"id": name, "body": {"stream": True, "n": {}}}) for name in ids]
    argv = [*options, url, str(silence_s), *(questions or ["{}"])]
    done = subprocess.run(
        [sys.executable, "-IS", str(CLIENT), *argv],
        capture_output=True,
        check=False,
        timeout=30,
        env={**os.environ, **env},
    )
    assert b"Traceback" not in done.stderr
    assert KEY.encode() not in done.stdout + done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def one(behaviour: Behaviour, silence_s: float = 5.0) -> dict[str, Any]:
    """The one record of a question to such a server."""
    with serving(behaviour) as (url, _):
        status, records = asked(url, "q1", silence_s=silence_s)
    (record,) = records
    assert status == (0 if record["error"] is None else 1)
    return record


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
    begun = time.monotonic()
    record = one(stalling(delta("Hel")), silence_s=0.3)

    assert record["error"] == "the server said nothing for 0.3 s"
    assert record["text"] == "Hel"
    assert time.monotonic() - begun < 5


def test_a_server_that_closes_at_once_is_told_as_a_broken_connection() -> None:
    assert str(one(hanging_up)["error"]).startswith("the connection broke")


def test_nothing_is_asked_after_a_question_without_an_answer() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1/chat/completions"

        status, records = asked(url, "q1", "q2")

    assert status == 1
    assert [(record["id"], record["status"]) for record in records] == [("q1", None)]
    assert records[0]["error"] == "nothing listens there: the server is gone"


# -- servers that are asked over the Internet


def once_more(*behaviours: Behaviour, retries: int = 3, **env: str) -> tuple[int, dict[str, Any]]:
    """Exit status and record of one question that may be asked again."""
    with serving(*behaviours) as (url, _):
        options = ("--retries", str(retries), "--key-env", "A_KEY")
        status, (record,) = asked(url, "q1", options=options, **{"A_KEY": KEY, **env})
    return status, record


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (refusing("429 Slow", "{}"), "the server refused with status 429"),
        (refusing("503 No", "busy"), "the server refused with status 503: busy"),
        (hanging_up, "the connection broke"),
        (answering(end=""), "the stream was cut"),
    ],
)
def test_what_may_work_later_is_asked_again_and_the_waiting_stands_apart(
    first: Behaviour, told: str
) -> None:
    status, record = once_more(first, saying("yes"))

    assert (status, record["text"], record["error"]) == (0, "yes", None)
    (before,) = record["earlier"]
    assert before["error"].startswith(told)
    assert before["done_s"] + before["wait_s"] <= record["connect_s"] <= record["sent_s"]


@pytest.mark.parametrize("date", [False, True])
def test_a_server_that_says_how_long_to_wait_is_obeyed(*, date: bool) -> None:
    value = formatdate(time.time() + 2, usegmt=True) if date else "1"
    _, record = once_more(refusing("429 Slow", "{}", f"Retry-After: {value}"), saying("yes"))

    assert record["text"] == "yes"
    assert 0.9 < record["earlier"][0]["wait_s"] < 3.1


def test_a_server_that_asks_for_an_hour_is_not_waited_for() -> None:
    status, record = once_more(refusing("429 Slow", "busy", "Retry-After: 3600"))

    assert status == 1
    assert record["error"].endswith("busy (it asks to wait 3600 s)")


def test_a_server_that_cannot_be_reached_in_time_is_asked_again() -> None:
    """One that takes the connection and never says the first word of TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/v1/chat/completions"
        status, (record,) = asked(url, "q1", silence_s=0.3, options=("--retries", "1"))

    assert (status, record["sent_s"]) == (1, None)
    assert record["error"] == "the server could not be reached within 0.3 s"
    assert len(record["earlier"]) == 1


def test_tries_are_bounded() -> None:
    status, record = once_more(*[refusing("500 Oh", "no")] * 3, retries=2)

    assert (status, record["error"]) == (1, "the server refused with status 500: no")
    assert len(record["earlier"]) == 2


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (answering(delta("Hel"), end=""), "the stream was cut before the answer ended"),
        (refusing("400 Bad", "no"), "the server refused with status 400: no"),
        (answering("data: {'no'}\n\n"), "a chunk is no JSON: {'no'}"),
    ],
)
def test_nothing_is_asked_again_after_a_piece_came_or_where_it_would_not_help(
    behaviour: Behaviour, told: str
) -> None:
    with serving(behaviour, saying("yes")) as (url, requests):
        status, (record,) = asked(url, "q1", options=("--retries", "3"))

    assert (status, record["error"], record["earlier"]) == (1, told, [])
    assert len(requests) == 1


def test_without_the_option_nothing_is_asked_again() -> None:
    with serving(refusing("503 No", "busy"), saying("yes")) as (url, requests):
        status, _ = asked(url, "q1")

    assert status == 1
    assert len(requests) == 1


def test_the_key_goes_to_the_server_and_nowhere_else() -> None:
    with serving(saying("yes")) as (url, requests):
        status, (record,) = asked(url, "q1", options=("--key-env", "A_KEY"), A_KEY=KEY + "\n")

    assert status == 0
    assert f"Authorization: Bearer {KEY}\r\n".encode() in requests[0]
    assert KEY not in json.dumps(record)


@pytest.mark.parametrize(
    "behaviour",
    [
        refusing("400 Bad", f"x{KEY}x"),
        refusing("400 Bad", "x" * 295 + KEY),
        refusing("500 Bad", json.dumps({"error": {"message": f"{KEY} is unknown"}})),
        answering(delta(KEY), DONE),
        answering(delta(KEY[:5]), delta(KEY[5:]), DONE),
        answering(f"data: no {KEY}\n\n"),
        refusing("200 OK", "", f"x-request-id: {KEY}"),
    ],
)
def test_a_key_that_a_server_sends_back_is_not_written(behaviour: Behaviour) -> None:
    _, record = once_more(behaviour, retries=0)

    written = json.dumps(record) + "".join(text for _, text in record["pieces"])
    assert KEY not in written
    assert KEY[:5] not in written, "not even its beginning"


@pytest.mark.parametrize("status", ["401 No", "403 No"])
def test_a_refused_key_is_told_in_one_sentence_and_not_tried_again(status: str) -> None:
    code, record = once_more(refusing(status, '{"error": {"message": "wrong key"}}'), saying("y"))

    assert code == 3
    sentence = f"the server does not accept the key in A_KEY (status {status[:3]}): wrong key"
    assert record["error"] == sentence


def test_a_server_that_wants_a_key_is_told_so() -> None:
    with serving(refusing("401 No", "who?")) as (url, _):
        code, (record,) = asked(url, "q1", options=("--retries", "3"))
    assert (code, record["error"]) == (3, "the server wants a key (status 401): who?")


def test_an_account_that_is_used_up_is_not_asked_again() -> None:
    error = {"error": {"message": "pay", "code": "insufficient_quota"}}
    code, record = once_more(refusing("429 No", json.dumps(error)), saying("y"))

    assert (code, record["error"]) == (3, "the account is used up (status 429): pay")


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("", "the API key is missing: A_KEY is not set"),
        ("a\nb", "A_KEY contains characters that are not allowed in an API key"),
    ],
)
def test_without_a_key_nobody_is_asked(key: str, told: str) -> None:
    with serving(saying("yes")) as (url, requests):
        code, (record,) = asked(url, "q1", options=("--key-env", "A_KEY"), A_KEY=key)

    assert (code, record["error"], requests) == (3, told, [])


def test_a_refusal_in_the_servers_words_is_recorded_as_one() -> None:
    event = {"choices": [{"delta": {"refusal": "I will not"}, "finish_reason": "stop"}]}

    record = one(answering(f"data: {json.dumps(event)}\n\n", DONE))

    assert (record["text"], record["refusal"], record["error"]) == ("", "I will not", None)


def test_who_answered_is_recorded() -> None:
    event = {"model": "m-2026", "system_fingerprint": "fp", "choices": [{"delta": {}}]}

    record = one(answering(f"data: {json.dumps(event)}\n\n", usage(5, 0), DONE))

    assert (record["model"], record["system_fingerprint"]) == ("m-2026", "fp")
    assert record["usage"] == {"prompt_tokens": 5, "completion_tokens": 0}


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 with its key, signed by itself."""
    path = tmp_path / "server.pem"
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        f"-keyout {path} -out {path}.crt -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 "
        "-addext basicConstraints=critical,CA:TRUE".split(),
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


def test_a_certificate_is_checked(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    options = ("--key-env", "A_KEY", "--retries", "2")

    with serving(saying("yes"), tls=context) as (url, requests):
        code, (unknown,) = asked(url, "q1", options=options, A_KEY=KEY)
        assert requests == []
        trusted, (record,) = asked(
            url, "q1", options=options, A_KEY=KEY, SSL_CERT_FILE=str(certificate)
        )

    assert code == 3
    assert unknown["error"].startswith("the certificate of 127.0.0.1 is not to be trusted: ")
    assert (trusted, record["text"], record["error"]) == (0, "yes", None)


def test_kept_answers_are_given_again_and_marked(tmp_path: Path) -> None:
    folder = str(tmp_path / "cassettes")
    keyed = ("--key-env", "A_KEY")
    env = {"HERD_CASSETTES": folder, "A_KEY": KEY}
    with serving(saying("안녕")) as (url, requests):
        _, (live,) = asked(url, "q1", options=("--keep", *keyed), **env)
    assert len(requests) == 1

    status, (again,) = asked(url, "q1", options=("--replay", *keyed), HERD_CASSETTES=folder)

    assert status == 0
    assert again == {**live, "replayed": True}
    (kept,) = Path(folder).iterdir()
    assert KEY not in kept.read_text()
    assert "uthorization" not in kept.read_text()


def test_what_was_not_kept_cannot_be_given_again(tmp_path: Path) -> None:
    folder = str(tmp_path)
    url = "http://127.0.0.1:9/"
    code, (record,) = asked(url, "q1", options=("--replay",), HERD_CASSETTES=folder)
    assert (code, record["text"]) == (3, "")
    assert record["error"].startswith("no answer to this question was kept")


def test_an_answer_that_broke_off_is_not_kept(tmp_path: Path) -> None:
    with serving(answering(delta("Hel"), end="")) as (url, _):
        asked(url, "q1", options=("--keep",), HERD_CASSETTES=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_it_ends_when_its_parent_does() -> None:
    question = json.dumps({"id": "q1", "body": {}})
    with serving(stalling(delta("Hel"))) as (url, requests):
        client = subprocess.Popen(
            [sys.executable, "-IS", str(CLIENT), "--with-parent", url, "60", question],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        until = time.monotonic() + 10
        while not requests and time.monotonic() < until:
            time.sleep(0.02)
        assert client.stdin is not None
        client.stdin.close()
        assert client.wait(5) == 1
