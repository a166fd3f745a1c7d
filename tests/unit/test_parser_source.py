"""A log is read whatever a journal, containers or a terminal put around its lines; else refused."""

import gzip
import itertools
import json
import os
import random
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from collect.attempt import Role
from collect.parsers.distributed_llama import parse_runs
from collect.parsers.dllama_json import json_chunks
from collect.parsers.dllama_source import NotALogError
from tests.doubles import engine_logs
from tests.doubles.engine_logs import Step
from tests.doubles.recorded_logs import DATA

CASES = ("inf_small_q40_n2", "empty_prompt", "perp_small_n2", "old_v0.3.1_n2", "old_v0.12.0_n2")
TEXTS = [b" one", b"\n", b"\n\ntwo", b"    three", b"a\n    b", b"4 5", b"| c", b"12: d\n12: e"]
ODD = engine_logs.dllama_root(
    [Step(1000, 0, tokens=3)], [Step(3000, 500, 2048, 2048, text=text) for text in TEXTS], nodes=2
)
NOTES = ("read without the prefix of each line", "the lines of others were left out")
"""What is told of the file and of no run."""
CHANCE = random.Random(4)  # noqa: S311 - the same every time


def told(log: bytes, folder: Path, role: Role = "root") -> dict[str, Any]:
    path = folder / "some.log"
    path.write_bytes(log)
    read: dict[str, Any] = json.loads("".join(json_chunks(path, role)))
    own = [flag for flag in read["flags"] if not flag.startswith(NOTES)]
    read.setdefault("runs", [{**read, "flags": own}])  # of one run nothing is told twice
    return read


def expected(log: bytes, role: Role = "root") -> list[dict[str, Any]]:
    return [run.to_json() for run in parse_runs(BytesIO(log), role)]


def second(number: int) -> str:
    return f"{14 + number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}"


PREFIXES: dict[str, Callable[[int], str]] = {
    "journal, short": lambda n: f"Nov {3 + n // 60:2d} {second(n)} pi1 dllama[1234]: ",
    "journal, precise": lambda n: f"Nov 03 {second(n)}.{n:06d} pi1 dllama[1234]: ",
    "journal, iso": lambda n: f"2026-11-03T{second(n)}+0900 pi1 dllama[1234]: ",
    "journal, iso precise": lambda n: f"2026-11-03T{second(n)}.{n:06d}+09:00 pi1 dllama[1]: ",
    "journal, unit": lambda n: f"Mon 2026-11-03 {second(n)} UTC pi1 dllama-root.service[12]: ",
    "journal, monotonic": lambda n: f"[{n:5d}.{n:06d}] pi1 dllama[1234]: ",
    "journal, unix": lambda n: f"17306425{n:02d}.123456 pi1 dllama[1234]: ",
    "journal, Korean": lambda n: f"11월 03 {second(n)} pi1 dllama[1234]: ",
    "syslog": lambda n: f"<30>1 2026-11-03T{second(n)}.{n:03d}Z pi1 dllama 1234 - - ",
    "compose": lambda _: "dllama-root-1  | ",
    "compose, times": lambda n: f"root  | 2026-11-03T{second(n)}.{n:09d}Z ",
    "compose, coloured": lambda _: "\x1b[36mdllama-root-1  | \x1b[0m",
    "compose, coloured otherwise": lambda _: "\x1b[36mdllama-root-1  |\x1b[0m ",
    "docker": lambda n: f"2026-11-03T{second(n)}.{n:09d}Z ",
    "cri": lambda n: f"2026-11-03T{second(n)}.{'123456789'[: 1 + n % 9]}Z stdout F ",
    "kubectl": lambda _: "[pod/dllama-root-7c9d8f/dllama] ",
    "ts": lambda n: f"Nov 03 {second(n)} ",
    "ts, seconds": lambda n: f"00:{n // 60:02d}:{n % 60:02d} ",
    "pdsh": lambda _: "10.77.0.11: ",
    "mpirun": lambda _: "[1,0]<stdout>: ",
    "numbers": lambda n: f"{n:6d}\t",
    "grep": lambda n: f"{n}:",
    "logging": lambda n: f"2026-11-03 {second(n)},{n:03d} INFO [root] ",
    "indented": lambda _: "    ",
    "quoted": lambda _: "> ",
    "levels": lambda n: f"2026-11-03 {second(n)},123 - {('INFO', 'DEBUG')[n % 2]} - ",
    "levels of one width": lambda n: f"[{('INFO ', 'ERROR')[n % 2]}] dllama: ",
    "syslog, levels": lambda n: f"Nov  3 {second(n)} pi1 user.{('info', 'err')[n % 2]} dllama[7]: ",
    "streams": lambda n: f"{('stdout', 'stderr')[n % 2]}: ",
    "tags of two": lambda n: f"a stdout F 2026-11-03T{second(n)}Z stderr F ",
    "of nobody": lambda n: f"@{n} host=pi1 #{n * 7} -> ",
}


def prefixed(log: bytes, prefix: Callable[[int], str]) -> bytes:
    lines = log.split(b"\n")[:-1]
    return b"".join(prefix(n).encode() + line + b"\n" for n, line in enumerate(lines, 1))


@pytest.mark.parametrize("name", PREFIXES)
def test_what_stands_before_each_line_is_taken_off_and_nothing_else(
    name: str, tmp_path: Path
) -> None:
    logs = [ODD, *((DATA / case / "root.out").read_bytes() for case in CASES)]
    for log in logs:
        read = told(prefixed(log, PREFIXES[name]), tmp_path)
        assert read["runs"] == expected(log)
        assert any("the prefix of each line" in flag for flag in read["flags"])


def test_blanks_lost_at_the_end_of_a_prefix_are_no_line_lost(tmp_path: Path) -> None:
    log = prefixed(ODD, PREFIXES["compose"]).replace(b"  | \n", b"  |\n")
    assert told(log, tmp_path)["runs"] == expected(ODD)


def test_plain_logs_are_read_as_they_are(tmp_path: Path) -> None:
    inner = prefixed(ODD, PREFIXES["compose"])
    for log in (ODD, ODD.replace(b" one", b" \x1b[1mone\x1b[0m \xc2\xa0\r"), ODD[:2000]):
        assert told(log, tmp_path)["runs"] == expected(log)
    quoting = engine_logs.dllama_root([Step(1000, 0, tokens=3)], [Step(3000, 0)] * 4, prompt=inner)
    assert told(quoting, tmp_path)["runs"] == expected(quoting)


@pytest.mark.parametrize("end", ["\r", "\u00a0", "\x1b[0m", "   ", "\x1b[K\r"])
@pytest.mark.parametrize("prefix", ["", "dllama-root-1  | "])
def test_what_stands_behind_each_line_is_taken_off(end: str, prefix: str, tmp_path: Path) -> None:
    for log in (ODD, *((DATA / case / "root.out").read_bytes() for case in CASES)):
        lines = log.split(b"\n")[:-1]
        dirty = b"".join(prefix.encode() + line + end.encode() + b"\n" for line in lines)
        assert told(dirty, tmp_path)["runs"] == expected(log)


@pytest.mark.parametrize(
    "around",
    [
        lambda log: b"\xef\xbb\xbf" + log,
        lambda log: b"\x1b[?2004l\r" + log,
        lambda log: b"Script started on 2026-11-03\n\x1b[?2004h$ ./dllama\n\x1b[?2004l\r" + log,
        lambda log: log.replace("🔷".encode(), "\r 10%\r 90%\r🔷".encode()),
        lambda log: log.replace("💡".encode(), "\x1b[32m💡".encode()),
    ],
    ids=["mark of order", "paste", "script", "progress", "colour"],
)
def test_what_a_terminal_adds_to_a_line_is_taken_off(
    around: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    log = (DATA / "inf_small_q40_n2" / "root.out").read_bytes()
    assert told(around(log), tmp_path)["runs"][-1] == expected(log)[-1]


def test_a_line_that_came_in_parts_is_joined(tmp_path: Path) -> None:
    lines = []
    for number, line in enumerate(ODD.split(b"\n")[:-1]):
        stamp = f"2026-11-03T{second(number)}.5Z".encode()
        if len(line) > 20 and number % 3 == 0:
            lines += [stamp + b" stdout P " + line[:13]]
            lines += [
                stamp + b" stderr F Tokenizer: decoded invalid utf8 -- attempting stream recover"
            ]
            lines += [stamp + b" stdout F " + line[13:]]
        else:
            lines += [stamp + b" stdout F " + line]
    assert told(b"\n".join([*lines, b""]), tmp_path)["runs"] == expected(ODD)


@pytest.mark.parametrize("prefix", ["", "dllama-root-1  | "])
def test_a_line_of_megabytes_is_one_line_and_costs_no_memory(prefix: str, tmp_path: Path) -> None:
    begin, block, rest = ODD.partition(b"\nEvaluation")
    path = tmp_path / "some.log"
    path.write_bytes(prefixed(begin + b"a" * 20_000_000 + block + rest, lambda _: prefix))
    tracemalloc.start()
    read = json.loads("".join(json_chunks(path)))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read["outcome"] == "complete"
    assert "a text was too long to be kept whole" in read["flags"]
    assert len(read["records"][-1]["text"]) > 1_000_000
    assert peak_bytes < 20_000_000


def test_parts_of_a_line_that_never_ends_are_not_kept_in_memory(tmp_path: Path) -> None:
    lines = [b"2026-11-03T10:00:00Z stdout F " + line for line in ODD.split(b"\n")[:-1]]
    lines += [b"2026-11-03T10:00:00Z stdout P " + b"a" * 100] * 80_000
    path = tmp_path / "some.log"
    path.write_bytes(b"\n".join([*lines, b""]))
    before = os.times().user
    assert json.loads("".join(json_chunks(path)))["outcome"] == "complete"
    assert os.times().user - before < 30


def interleaved(logs: dict[str, bytes]) -> bytes:
    left = {name: log.split(b"\n")[:-1] for name, log in logs.items()}
    lines = []
    while any(left.values()):
        name = CHANCE.choice([name for name, rest in left.items() if rest])
        lines.append(f"{name:18} | ".encode() + left[name].pop(0))
    return b"\n".join([b"Attaching to all of them", *lines, b""])


def test_of_several_processes_those_of_the_role_are_read(tmp_path: Path) -> None:
    logs = {
        "dllama-root-1": ODD,
        "dllama-worker-1": (DATA / "heads12_n3" / "worker1.out").read_bytes(),
        "dllama-worker-2": (DATA / "heads12_n3" / "worker2.out").read_bytes(),
        "proxy-1": b"GET / 200\nGET /v1/models 200\n",
    }
    read = told(interleaved(logs), tmp_path)
    assert read["runs"] == expected(ODD)
    assert "read without the prefix of each line: dllama-root-1" in read["flags"]
    assert any("dllama-worker-1, dllama-worker-2" in flag for flag in read["flags"]) or any(
        "dllama-worker-2, dllama-worker-1" in flag for flag in read["flags"]
    )
    workers = told(interleaved(logs), tmp_path, "worker")
    assert [run["outcome"] for run in workers["runs"]] == ["complete", "complete"]


def test_two_processes_of_one_unit_are_two_runs(tmp_path: Path) -> None:
    first, other = ((DATA / case / "root.out").read_bytes() for case in CASES[:2])
    log = prefixed(first, lambda n: f"Nov 03 {second(n)} pi1 dllama[12]: ")
    log += b"-- Boot 3f2a1b --\n"
    log += prefixed(other, lambda n: f"Nov 04 {second(n)} pi1 dllama[34]: ")
    assert told(log, tmp_path)["runs"] == [*expected(first), *expected(other)]


def test_lines_that_have_no_prefix_among_such_as_have_are_counted(tmp_path: Path) -> None:
    plain, log = ((DATA / case / "root.out").read_bytes() for case in CASES[1::-1])
    read = told(prefixed(log, PREFIXES["compose"]) + plain, tmp_path)
    assert read["runs"][0]["records"] == expected(log)[0]["records"]
    told_of = [flag for flag in read["flags"] if "that begin otherwise were left out" in flag]
    assert len(told_of) == 1
    assert int(told_of[0].split()[0]) > 10
    assert not any("otherwise" in f for f in told(prefixed(log, PREFIXES["ts"]), tmp_path)["flags"])


def test_standard_error_in_the_same_file_is_no_text_and_tells_the_cause(tmp_path: Path) -> None:
    complaint = b"Tokenizer: decoded invalid utf8 -- attempting stream recover\n"
    log = (DATA / "inf_small_q40_n2" / "root.out").read_bytes()
    for at in (log.index("🔶".encode()), log.index(b"Sync  ") + 7, len(log)):
        assert told(log[:at] + complaint + log[at:], tmp_path)["runs"] == expected(log)

    begin = log[: log.index(b"\nEvaluation")]
    for words, cause in {
        "dllama: src/nn/nn-core.cpp:213: NnX f(): Assertion `a % b == 0' failed.\nAborted\n": (
            "it stopped at the assertion `a % b == 0` (src/nn/nn-core.cpp:213)"
        ),
        "terminate called after throwing an instance of 'WriteSocketException'\n"
        "  what():  std::exception\n": "it ended by the exception WriteSocketException",
    }.items():
        read = told(begin + b"\n" + words.encode(), tmp_path)
        assert read["outcome"] == "failed"
        assert read["error"].startswith(cause)
        assert "Assertion" not in read["records"][-1]["text"]
        assert "terminate" not in read["records"][-1]["text"]
        whole = told(begin + b"\n" + words.encode() + log, tmp_path)
        assert [run["outcome"] for run in whole["runs"]] == ["failed", "complete"]


def test_a_pipe_is_read_as_a_file(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, prefixed(ODD, PREFIXES["journal, short"]))
    os.close(write)
    told_of_pipe = json.loads("".join(json_chunks(Path(f"/dev/fd/{read}"))))
    os.close(read)
    assert told_of_pipe["records"] == expected(ODD)[0]["records"]


LLAMA_CPP = (
    b"llama_model_loader: loaded meta data with 25 key-value pairs\nllama_perf_context_print: x\n"
)
NO_LOGS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "text": (b"hello\nworld\n", "no line of distributed-llama here; its lines begin with"),
    "marks in the midst": ("see 💡Dim\n".encode(), "no line of distributed-llama here"),
    "binary": (bytes(range(256)) * 40, "It is no text"),
    "zeros": (b"\0" * 5000, "It is no text"),
    "gzip": (gzip.compress(ODD), "is packed by gzip: unpack it first"),
    "xz": (b"\xfd7zXZ\0\0", "is packed by xz"),
    "UTF-16": (ODD.decode(errors="replace").encode("utf-16"), "write it as UTF-8"),
    "UTF-16 without mark": (
        b"\n".join(b"abc" * 9 for _ in "ab").decode().encode("utf-16-le"),
        "UTF",
    ),
    "UTF-32": (ODD.decode(errors="replace").encode("utf-32"), "iconv -f UTF-32"),
    "llama.cpp": (LLAMA_CPP, "looks like a log of llama.cpp"),
    "petals": (b"Jan 01 INFO petals.server started\n", "looks like a log of Petals"),
    "docker's JSON": (
        b"\n".join(
            json.dumps({"log": line.decode(errors="replace")}).encode() for line in ODD.split(b"\n")
        ),
        "Its lines are JSON",
    ),
    "JSON with marks": (
        b"\n".join(
            json.dumps({"log": line.decode(errors="replace")}, ensure_ascii=False).encode()
            for line in ODD.split(b"\n")
        ),
        "Its lines are JSON",
    ),
}


@pytest.mark.parametrize("name", NO_LOGS)
@pytest.mark.parametrize("role", ["root", "worker"])
def test_what_is_no_log_is_refused_with_what_was_expected(
    name: str, role: Role, tmp_path: Path
) -> None:
    log, words = NO_LOGS[name]
    path = tmp_path / "some.log"
    path.write_bytes(log)
    with pytest.raises(NotALogError, match=words.replace("(", r"\(")):
        list(json_chunks(path, role))


def test_folders_and_files_that_are_not_there_or_closed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotALogError, match="is a folder"):
        list(json_chunks(tmp_path))
    with pytest.raises(NotALogError, match="No such file"):
        list(json_chunks(tmp_path / "none.log"))


def test_the_log_of_the_other_role_is_refused_with_the_remedy() -> None:
    root, worker = (DATA / "inf_small_q40_n2" / f"{name}.out" for name in ("root", "worker1"))
    with pytest.raises(NotALogError, match="log of a worker: fab parse-log --worker"):
        list(json_chunks(worker))
    with pytest.raises(NotALogError, match="log of a root: fab parse-log /"):
        list(json_chunks(root, "worker"))


@pytest.mark.parametrize(
    "piece", ["a" * 99, " ", "📄", "1 ", "12:34:56 ", "[", "a-", "\x1b[1m", "\r"]
)
def test_a_megabyte_of_whatever_is_refused_at_once(piece: str, tmp_path: Path) -> None:
    noise = piece * (1_000_000 // len(piece.encode()))
    for log in (noise, noise + "📄 AddBos: 1\n", "x 📄 AddBos: 1\n" + noise):
        path = tmp_path / "some.log"
        path.write_text(log, newline="")
        before = os.times().user
        with suppress(NotALogError):
            list(json_chunks(path))
        assert os.times().user - before < 20, "seconds; what looks at each byte twice takes minutes"


def test_a_log_is_read_alike_whatever_prefixes_are_mixed(tmp_path: Path) -> None:
    first, other = itertools.islice(PREFIXES.values(), 2)
    mixed = b"".join(
        (first, other)[number % 2](number).encode() + line + b"\n"
        for number, line in enumerate(ODD.split(b"\n")[:-1])
    )
    assert told(mixed, tmp_path)["runs"] == expected(ODD)
