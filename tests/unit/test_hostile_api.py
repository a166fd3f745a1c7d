"""An API that is broken or means harm: bounded in memory and time, paid once, told no key."""

from __future__ import annotations

import base64
import errno
import gzip
import html
import json
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from collect.account import Account
from core.errors import HerdError
from core.paths import CLIENT
from experiments.disk.ledger import Ledger
from experiments.disk.rescue import PREFIX, rescued, rescued_attempts
from experiments.disk.reserve import RESERVE_FILE, reserved, room_for
from experiments.planning.money import most_of_trial, spending_of
from experiments.trials.recorder import LONGEST_CAUSE
from herd_ask.server import HIDDEN, Server
from herd_ask.spelling import readings
from tests.doubles.api_server import (
    DONE,
    HEAD,
    Behaviour,
    answering,
    chunk,
    delta,
    refusing,
    saying,
    serving,
)
from tests.doubles.asking_run import cell, matrix, run, systems_file

KEY = "sk-planted-abcdefghijklmnop0123456789"
TOKENS = 5
MEMORY_BYTES = 400 << 20


def asked(
    behaviour: Behaviour, silence_s: float = 2.0, ids: tuple[str, ...] = ("q1",), **env: str
) -> tuple[int, list[dict[str, Any]], str]:
    """Exit status, records and complaints of the client, which has little memory."""

    def poor() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))

    body = {"stream": True, "max_tokens": TOKENS}
    with serving(behaviour, times=len(ids)) as (url, _):
        done = subprocess.run(
            [
                *(sys.executable, "-IS", str(CLIENT), "--key-env", "A_KEY", url, str(silence_s)),
                *(json.dumps({"id": name, "body": body}) for name in ids),
            ],
            capture_output=True,
            check=False,
            timeout=60,
            env={**os.environ, "A_KEY": KEY, **env},
            preexec_fn=poor,
        )
    said = done.stderr.decode()
    assert "Traceback" not in said
    assert len(done.stdout) < 1_000_000 * len(ids)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], said


def repeating(first: bytes, again: bytes, pause_s: float = 0.0) -> Behaviour:
    """Sends something for ever."""

    def behave(peer: socket.socket) -> None:
        peer.sendall(first)
        while True:
            peer.sendall(again)
            time.sleep(pause_s)

    return behave


def streaming(again: str | bytes) -> Behaviour:
    return repeating(HEAD.encode(), chunk(again))


# -- what is no stream


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (json.dumps({"choices": [{"message": {"content": "yes"}}]}), '{"choices": [{"message": '),
        (gzip.compress(b"data: [DONE]"), ""),
        ("<html>\n<h1>Log in</h1>", "<html>"),
        ("event: x\nDATA: y\n", "DATA: y"),
        (f"wrong \x1b[2J\r\n {KEY}", r"wrong \x1b[2J"),
    ],
)
def test_an_answer_that_is_no_stream_is_told_and_not_asked_and_paid_again(
    body: str | bytes, told: str
) -> None:
    content = body if isinstance(body, bytes) else body.encode()
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    question = json.dumps({"id": "q1", "body": {"stream": True, "max_tokens": TOKENS}})
    with serving(lambda peer: peer.sendall(head + content), times=3) as (url, requests):
        done = subprocess.run(
            [sys.executable, "-IS", str(CLIENT), "--retries", "2", url, "2.0", question],
            capture_output=True,
            check=False,
            timeout=60,
        )

    assert len(requests) == 1
    record = json.loads(done.stdout)
    assert record["error"].startswith(f"the answer is no stream of events: {told}")
    assert done.stderr.decode("utf-8").strip().isprintable()


@pytest.mark.parametrize(
    "before",
    ["data:\n\n", "data: \n\n", ": alive\n\n", "event: ping\nid: 1\nretry: 5\n\n", "data\n\n"],
)
def test_signs_of_life_are_no_part_of_an_answer(before: str) -> None:
    status, (record,), _ = asked(answering(before, delta("yes"), DONE))

    assert (status, record["text"], record["error"]) == (0, "yes", None)


def test_a_mark_of_byte_order_hides_no_piece() -> None:
    head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\ufeff"
    status, (record,), _ = asked(lambda peer: peer.sendall(f"{head}{delta('yes')}{DONE}".encode()))

    assert (status, record["text"]) == (0, "yes")


@pytest.mark.parametrize("index", ["1", "2", "127"])
def test_several_answers_are_not_read_as_one(index: str) -> None:
    other = f'data: {{"choices":[{{"index":{index},"delta":{{"content":"no"}}}}]}}\n\n'
    status, (record,), _ = asked(answering(delta("yes"), other, DONE))

    assert (status, record["text"]) == (1, "yes")
    assert "several answers, and was asked for one" in record["error"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://a..b/v1", "a..b can be no name of a server"),
        (f"http://{'x' * 70}.invalid/v1", "can be no name of a server"),
        ("http://[::1/v1", "is no address of the form https://HOST"),
        ("http://127.0.0.1:99999/v1", "is no address of the form https://HOST"),
        ("http://127.0.0.1:abc/v1", "is no address"),
        ("http://127.0.0.1:0/v1", "is no address"),
        ("ftp://127.0.0.1/v1", "is no address"),
        ("/v1", "is no address"),
        ("", "is no address"),
    ],
)
def test_an_address_that_can_be_none_is_told(url: str, told: str) -> None:
    question = json.dumps({"id": "q1", "body": {}})
    done = subprocess.run(
        [sys.executable, "-IS", str(CLIENT), url, "1.0", question],
        capture_output=True,
        check=False,
        timeout=60,
        text=True,
    )

    assert done.returncode == 3
    assert re.fullmatch(f"error: .*({told}).*\n", done.stderr)


def test_a_proxy_whose_name_can_be_none_is_told() -> None:
    status, (record,), _ = asked_by_proxy("http://a..b:1")

    assert (status, record["error"]) == (3, "a..b:1 can be no name of a server")


def asked_by_proxy(address: str) -> tuple[int, list[dict[str, Any]], str]:
    """As `asked`, of a server elsewhere."""
    question = json.dumps({"id": "q1", "body": {}})
    done = subprocess.run(
        [sys.executable, "-IS", str(CLIENT), "http://api.invalid/v1", "1.0", question],
        capture_output=True,
        check=False,
        timeout=60,
        env={"http_proxy": address},
    )
    records = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, records, done.stderr.decode()


# -- bounds


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (streaming(b"x" * 65536), "the answer has more than .* bytes, for at most 5 tokens"),
        (streaming(b"data: " + b"x" * 60_000), "the answer has more than"),
        (streaming(delta("x" * 60_000)), "the answer has more than"),
        (streaming(delta("x") * 100), "the answer has more than"),
        (streaming(": thinking\n\n" * 1000), "the answer has more than"),
        (streaming('data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}\n\n' * 500), "more"),
        (streaming("\n" * 60_000), "the answer has more than"),
        (repeating(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 60_000), "the answer has more than"),
        (
            answering(delta("x")[:-2] + " " * 300_000 + "\n\n", DONE),
            "the answer has more than",
        ),
        (repeating(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 50), "more than 100 headers"),
        (repeating(b"HTTP/1.1 200 OK\r\nx: ", b"y" * 60_000), "got more than 65536 bytes"),
        (refusing("500 Oh", "x" * 3_000_000), "refused with status 500: x"),
    ],
)
def test_more_than_was_asked_for_is_not_taken(behaviour: Behaviour, told: str) -> None:
    begun = time.monotonic()
    status, (record,), said = asked(behaviour)

    assert status == 1
    assert len(record["error"]) < 400
    assert re.search(told, record["error"]), record["error"]
    assert record["error"] in said
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize(
    "behaviour",
    [
        repeating(HEAD.encode(), chunk(": still there\n"), pause_s=0.1),
        repeating(b"HTTP/1.1 200 OK\r\nx: ", b"y", pause_s=0.1),
        repeating(b"", b"HTTP/1.1 100 Continue\r\n\r\n", pause_s=0.02),
        repeating(b"HTTP/1.1 500 Oh\r\nContent-Length: 90000\r\n\r\n", b"y", pause_s=0.1),
        repeating(HEAD.encode(), b"0", pause_s=0.1),
    ],
)
def test_an_answer_that_never_ends_is_ended(behaviour: Behaviour) -> None:
    begun = time.monotonic()
    status, (record,), _ = asked(behaviour, silence_s=0.4)

    assert status == 1
    assert "the answer was not whole after 2.8 s" in record["error"]
    assert time.monotonic() - begun < 10


def test_a_compressed_answer_is_refused_by_name() -> None:
    head = HEAD.replace("\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n")

    _, (record,), _ = asked(repeating(head.encode(), chunk(b"\x1f\x8b" + b"\0" * 1000)))

    assert record["error"] == "the answer is compressed (gzip), which was not asked for"


def test_a_long_answer_of_many_tokens_is_taken() -> None:
    words = [delta("word ", end="\n\n") for _ in range(600)]

    status, (record,), _ = asked(answering(*words, DONE))

    assert status == 0
    assert record["text"] == "word " * 600


# -- what a server counts


def counting(usage: str) -> Behaviour:
    """Answers well and counts so."""
    return answering(delta("yes", finish_reason="stop"), f'data: {{"usage":{usage}}}\n\n', DONE)


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "NaN", "Infinity", "-5", "1.5", '"7"', "true", "[1]", "9" * 400]
)
def test_a_count_that_is_none_is_left_out_and_makes_the_answers_unusable(number: str) -> None:
    behaviour = counting(f'{{"prompt_tokens":1,"completion_tokens":{number}}}')

    status, records, said = asked(behaviour, ids=("q1", "q2"))

    assert status == 4
    assert [record["text"] for record in records] == ["yes", "yes"]
    assert records[0]["usage"] == {"prompt_tokens": 1}
    assert records[0]["left_out"][0].startswith("usage.completion_tokens is ")
    assert "question q2: the server reports an impossible number of tokens" in said


@pytest.mark.parametrize(
    ("usage", "kept"),
    [
        ("null", None),
        ('{"completion_tokens":null}', {}),
        ('{"completion_tokens":3,"total_time":0.5}', {"completion_tokens": 3, "total_time": 0.5}),
        ('{"completion_tokens":3,"cost":1e999}', {"completion_tokens": 3}),
        (
            '{"completion_tokens":3,"details":{"cached_tokens":2,"x_tokens":-1}}',
            {"completion_tokens": 3, "details": {"cached_tokens": 2}},
        ),
    ],
)
def test_what_else_a_server_counts_does_not_matter(usage: str, kept: object) -> None:
    status, (record,), _ = asked(counting(usage))

    assert status == 0
    assert record["usage"] == kept


@pytest.mark.parametrize(
    "event",
    [
        '{"choices":[{"delta":{"content":["a"]}}]}',
        '{"choices":{"a":1}}',
        '{"choices":[{"delta":{"content":"a"},"finish_reason":{"a":1}}]}',
        '{"choices":[{"delta":{"content":"a"},"logprobs":{"content":"abc"}}]}',
        '{"choices":[{"delta":{"refusal":[1]}}]}',
        '{"model":{"x":1}}',
        '{"timings":[1]}',
        '{"content":"a","completion_probabilities":5}',
        '{"content":"a","stop":true,"stop_type":[1]}',
        "[" * 100_000,
        '{"a":' * 40_000,
        '{"a":1',
        "[]",
        "5",
    ],
)
def test_an_event_that_is_none_is_told(event: str) -> None:
    status, (record,), _ = asked(answering(f"data: {event}\n\n", DONE))

    assert status == 1
    assert record["error"].startswith("a chunk is no")


# -- the key


def spelled(key: str) -> Iterator[str]:
    """The key as a server may send it back so that it is not seen at first sight."""
    code = [ord(sign) for sign in key]
    escaped = "".join(f"\\u{one:04x}" for one in code)
    yield from (key, escaped, escaped.replace("\\", "\\\\"), escaped.replace("\\", "\\" * 8))
    yield "".join(f"\\u{{{one:x}}}" for one in code)
    yield "".join(f"\\x{one:02X}" for one in code)
    yield "".join(f"\\{one:03o}" for one in code)
    percent = "".join(f"%{one:02x}" for one in code)
    yield from (percent, quote(percent), "".join(f"\\u0025{one:02x}" for one in code))
    yield "".join(f"&#{one};" for one in code)
    yield html.escape("".join(f"&#x{one:x};" for one in code))
    encoded = base64.b64encode(key.encode()).decode()
    yield from (encoded, encoded.rstrip("="), base64.b64encode(encoded.encode()).decode())
    yield base64.b64encode(f"xx{key}yy".encode()).decode()
    yield base64.b64encode(key[::-1].encode()).decode()
    yield from (key[::-1], escaped[::-1], key.encode().hex(), key.encode().hex(" "))
    yield ", ".join(map(str, code))
    yield from (" ".join(key), "-".join(key), "\u200b".join(key), '","'.join(key), "\\n".join(key))
    yield key.upper()
    yield "".join(chr(one + 0xFEE0) for one in code)


@pytest.mark.parametrize("told", list(spelled(KEY)))
def test_a_key_in_any_spelling_is_not_written(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("A_KEY", KEY)
    server = Server("http://127.0.0.1:1/v1", 1.0, "A_KEY")

    for text in (f"wrong key {told} here", f"{{{told}", f'{{"error": "{told}"}}'):
        words = server.words(text)
        assert "is not shown" in words or HIDDEN in words
        assert told not in words
        assert HIDDEN in server.hide(text)


def test_half_a_key_is_not_shown_in_an_error_and_what_is_usual_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_KEY", KEY)
    server = Server("http://127.0.0.1:1/v1", 1.0, "A_KEY")

    assert "is not shown" in server.words(f"it begins with {KEY[:22]}")
    for usual in (
        "Incorrect API key provided: sk-plant*********6789. Find yours at https://example.org/k.",
        "Rate limit reached in organization org-4f2 on tokens per min: Limit 30000, Used 29000.",
        "The model `m%20x` does not exist; try one of \\u0022a\\u0022, &quot;b&quot;.",
    ):
        assert server.words(usual) == usual
        assert server.hide(usual) == usual


@pytest.mark.parametrize("told", list(spelled(KEY))[:3])
def test_a_key_in_a_chunk_that_is_no_json_is_not_written(told: str) -> None:
    _, (record,), said = asked(answering(f"data: {{{told}\n\n"))

    for reading in readings(record["error"] + said):
        assert KEY not in reading


# -- paid once


def test_answers_that_cannot_be_counted_fail_their_trial_and_are_paid_once(tmp_path: Path) -> None:
    behaviour = counting('{"prompt_tokens":1,"completion_tokens":1e999}')
    with serving(behaviour, times=9) as (url, requests):
        path = systems_file(tmp_path, url.removesuffix("/chat/completions"))
        asked_for = matrix(path, "Why?", "When?", max_attempts=3)
        first = run(tmp_path, asked_for)
        again = run(tmp_path, asked_for)

    assert first.counts["failed"] == again.counts["failed"] == 1
    assert again.already_complete
    assert len(requests) == 2
    (trial,) = Account.read(first.folder).trials
    assert "the server reports an impossible number of tokens" in str(trial.reason)
    assert "usage.completion_tokens is 1e999" in str(trial.reason)


class OddError(Exception):
    """Nothing of ours."""


@pytest.mark.parametrize("error", [OddError("so\nit is"), RecursionError(), OverflowError("big")])
def test_whatever_a_parser_raises_the_attempt_is_recorded_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("experiments.trials.recorder.parse_attempt", broken)
    with serving(saying("yes"), times=4) as (url, requests):
        path = systems_file(tmp_path, url.removesuffix("/chat/completions"))
        result = run(tmp_path, matrix(path, "Why?", repeats=2, max_attempts=1))

    assert result.counts["failed"] == len(requests) == 2
    first, _ = Account.read(result.folder).trials
    assert f"its logs cannot be read ({type(error).__name__}" in str(first.reason)
    assert "\n" not in str(first.reason)


def test_whatever_reading_a_node_raises_the_attempt_is_recorded_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[str] = []

    def once(*_: object, **__: object) -> None:
        if not raised:
            raised.append("x")
            raise OddError("a node said so")
        monkeypatch.undo()

    with serving(saying("yes"), times=4) as (url, requests):
        path = systems_file(tmp_path, url.removesuffix("/chat/completions"))
        monkeypatch.setattr("experiments.trials.execution.Execution.add", once)
        result = run(tmp_path, matrix(path, "Why?", "When?"))

    assert result.counts["done"] + result.counts["failed"] == 1
    assert len(requests) >= 2
    attempts = Account.read(result.folder).trials[0].attempts
    assert "what its nodes said cannot be read (OddError: a node said so)" in str(
        attempts[0].reason
    )


def test_what_cannot_be_recorded_of_a_node_leaves_a_record_nevertheless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.nodes.controller._reading", lambda: {"uptime_s": "\x1b" * 9})
    with serving(saying("yes")) as (url, _):
        path = systems_file(tmp_path, url.removesuffix("/chat/completions"))
        result = run(tmp_path, matrix(path, "Why?", max_attempts=1))

    assert result.counts["failed"] == 1
    (trial,) = Account.read(result.folder).trials
    assert "cannot be re" in str(trial.reason)
    assert "\x1b" not in str(trial.reason)


def test_a_cause_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.trials.recorder.failure", lambda _: "so\n" * 1_000_000)
    monkeypatch.setattr("experiments.trials.recorder.is_told_by_logs", lambda _: False)
    with serving(saying("yes")) as (url, _):
        path = systems_file(tmp_path, url.removesuffix("/chat/completions"))
        result = run(tmp_path, matrix(path, "Why?", max_attempts=1))

    (trial,) = Account.read(result.folder).trials
    assert LONGEST_CAUSE - 10 < len(str(trial.reason)) <= LONGEST_CAUSE  # it ends with a whole word
    assert "\n" not in str(trial.reason)


def test_nobody_is_asked_where_the_answers_find_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with serving(saying("yes")) as (url, requests):
        path = systems_file(tmp_path, url.removesuffix("/chat/completions"))
        monkeypatch.setattr(os, "posix_fallocate", full)
        with pytest.raises(HerdError, match=r"no API was asked yet.*disk of this machine is full"):
            run(tmp_path, matrix(path, "Why?"))
        assert requests == []
        monkeypatch.undo()
        assert run(tmp_path, matrix(path, "Why?")).counts["done"] == 1

    assert list(tmp_path.rglob(RESERVE_FILE)) == []


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EROFS, errno.ENOSPC])
@pytest.mark.parametrize("call", ["mkdir", "fsync", "rename"])
def test_answers_that_cannot_be_recorded_are_recorded_by_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(aside))
    with serving(saying("yes"), times=4) as (url, requests):
        path = systems_file(tmp_path, url.removesuffix("/chat/completions"))
        asked_for = matrix(path, "Why?", repeats=2)
        with monkeypatch.context() as broken:
            break_disk(broken, call, number)
            with pytest.raises(HerdError, match="The answers that were paid for are in") as caught:
                run(tmp_path, asked_for)
        folder = Path(str(caught.value).rpartition(" paid for are in ")[2].partition(". ")[0])
        assert json.loads((folder / "controller.client.out").read_text())["text"] == "yes"
        assert len(requests) == 1, "nobody is asked once more"

        result = run(tmp_path, asked_for)

    assert result.counts["done"] == len(requests) == 2
    assert list(aside.iterdir()) == []
    assert [trial.attempts[0].attempt for trial in Account.read(result.folder).trials] == [1, 1]


def break_disk(monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    """Have a call to the system fail from now on for whatever is an attempt of a run."""
    owner: Any = os if call == "fsync" else Path
    real = getattr(owner, call)

    def refuse(what: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - any call's
        path = str(Path(f"/proc/self/fd/{what}").readlink()) if call == "fsync" else str(what)
        if "/attempts/.tmp-" in path and not path.endswith(RESERVE_FILE):
            raise OSError(number, os.strerror(number))
        return real(what, *arguments, **named)

    monkeypatch.setattr(owner, call, refuse)


def test_ctrl_c_while_answers_are_recorded_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with serving(saying("yes"), times=2) as (url, requests):
        path = systems_file(tmp_path, url.removesuffix("/chat/completions"))
        with monkeypatch.context() as broken:
            broken.setattr(Ledger, "record", interrupted)
            assert run(tmp_path, matrix(path, "Why?")).interrupted
        assert run(tmp_path, matrix(path, "Why?")).counts["done"] == 1

    assert len(requests) == 1


def test_room_is_taken_for_what_costs_and_given_back(tmp_path: Path) -> None:
    asked_for = cell(matrix(systems_file(tmp_path, "http://127.0.0.1:1/v1"), "Why?", "When?"))
    size_bytes = room_for(asked_for)

    with reserved(tmp_path, size_bytes):
        assert (tmp_path / RESERVE_FILE).stat().st_blocks * 512 >= size_bytes > 1 << 20
    assert not (tmp_path / RESERVE_FILE).exists()
    with pytest.raises(HerdError, match=r"^broken$"), rescued("run", "x", None):
        raise HerdError("broken")


def test_what_others_put_among_temporary_files_is_no_attempt_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name, mode in (("ours", 0o700), ("open", 0o755), ("writable", 0o770)):
        (tmp_path / f"{PREFIX}run-{name}" / "attempt").mkdir(parents=True)
        (tmp_path / f"{PREFIX}run-{name}").chmod(mode)
    (tmp_path / f"{PREFIX}run-link").symlink_to(tmp_path / f"{PREFIX}run-ours")
    (tmp_path / f"{PREFIX}run-file").touch()
    (tmp_path / f"{PREFIX}other-run").mkdir(mode=0o700)

    assert rescued_attempts("run") == [tmp_path / f"{PREFIX}run-ours" / "attempt"]
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert rescued_attempts("run") == []


@pytest.mark.parametrize("change", ["no record", "short log", "another run", "another name"])
def test_what_is_no_whole_attempt_of_the_run_is_not_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with serving(saying("yes")) as (url, _):
        path = systems_file(tmp_path, url.removesuffix("/chat/completions"))
        result = run(tmp_path, matrix(path, "Why?"))
    (attempt,) = (result.folder / "attempts").iterdir()
    place = tmp_path / f"{PREFIX}{result.folder.name}-x"
    place.mkdir(mode=0o700)
    aside = attempt.rename(place / attempt.name)
    record = aside / "attempt.json"
    if change == "no record":
        record.unlink()
    elif change == "short log":
        (aside / "controller.client.out").write_text("{}")
    elif change == "another run":
        record.write_text(record.read_text().replace(result.folder.name, "another"))
    else:
        aside.rename(place / "another")

    Ledger(result.folder).recover()

    assert list((result.folder / "attempts").iterdir()) == []
    assert len(list(place.iterdir())) == 1, "it stays where it is"


def test_a_log_that_answers_what_nobody_asked_costs_the_most_that_it_can(tmp_path: Path) -> None:
    price = "{input: 10, output: 100, currency: EUR, date: 2026-01-01}"
    with serving(saying("yes")) as (url, _):
        path = systems_file(tmp_path, url.removesuffix("/chat/completions"), price=price)
        asked_for = matrix(path, "Why?")
        result = run(tmp_path, asked_for)
    (trial,) = Account.read(result.folder).trials
    record = trial.attempts[0].record
    assert record is not None
    other = json.dumps({"id": "other", "body": {}})
    argv = tuple(other if word.startswith("{") else word for word in record.processes[0].argv)
    process = record.processes[0].model_copy(update={"argv": argv})
    folder = trial.attempts[0].folder
    log = folder / "controller.client.out"
    log.write_text(log.read_text().replace('"id": "q1"', '"id": "other"'))

    bill = spending_of(folder, record.model_copy(update={"processes": (process,)}), cell(asked_for))

    assert bill == most_of_trial(cell(asked_for))
