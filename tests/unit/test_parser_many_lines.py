"""Reading many lines at once says the same as reading them one by one."""

import random
from io import BytesIO

import pytest

from collect.parsers import dllama_lines, dllama_runs
from collect.parsers.distributed_llama import ParsedLog, parse_runs
from tests.doubles.engine_logs import Step, dllama_era_a, dllama_root
from tests.doubles.mutated_logs import LOGS, mutated_logs
from tests.doubles.recorded_logs import DATA

TEXTS = [
    b" tok",
    b"\n",
    b"a\nb\n\nc",
    b"",
    "\U0001f600 x\n\U0001f600 y".encode(),
    b"\xff\xfe",
    b"\r",
]


def long_logs() -> list[bytes]:
    chance = random.Random(3)  # noqa: S311 - the same every time
    steps = [
        Step(
            chance.choice((900, 4_000, 123_456_000)),
            chance.randrange(400_000),
            21_504,
            chance.choice((25_600, 25_700, 3_000_000_000)),
            text=chance.choice(TEXTS[:1] * 40 + TEXTS),
        )
        for _ in range(3000)
    ]
    old = dllama_era_a([(400 + n % 7, 300 + n % 5, 90 + n % 3) for n in range(3000)])
    # Era D prints one time a line; era B the position before it.
    era_d = (DATA / "old_v0.12.0_n2" / "root.out").read_bytes()
    line = "🔶 P    6 ms S     2 kB R     3 kB {\n".encode()
    era_b = (DATA / "old_v0.4.0_n2" / "root.out").read_bytes()
    b_line = next(line for line in era_b.splitlines(keepends=True) if b" G " in line)
    return [
        dllama_root([Step(1000, 0, tokens=3)], steps, nodes=2),
        dllama_root([], steps[:6000], prompt=b""),
        old,
        old.replace(b" tok\n", b"\xe2\x8f\xa9 Loaded 3 kB\n"),
        era_d.replace(line, line * 2000),
        era_b.replace(b_line, b_line * 2000),
        dllama_root([Step(1000, 0, tokens=3)], steps, nodes=2) * 3,
        *(path.read_bytes() for path in sorted(DATA.glob("*/root.out"))),
    ]


def one_by_one(log: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[ParsedLog, ...]:
    with monkeypatch.context() as patch:
        patch.setattr(dllama_lines.RootReader, "lines", lambda _reader, _body: False)
        return parse_runs(BytesIO(log))


@pytest.mark.parametrize("many", [200, 1 << 14])
@pytest.mark.parametrize("at_once", [64, 1000, 1 << 16])
def test_many_lines_at_once_are_read_as_one_by_one(
    many: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for log in long_logs():
        expected = one_by_one(log, monkeypatch)
        with monkeypatch.context() as patch:
            patch.setattr(dllama_runs, "MANY_BYTES", many)
            patch.setattr(dllama_runs, "AT_ONCE_BYTES", at_once)
            assert parse_runs(BytesIO(log)) == expected


def test_mutated_lines_are_read_alike_in_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    for log in (*mutated_logs(20_000, seed=5), *LOGS):
        assert parse_runs(BytesIO(log)) == one_by_one(log, monkeypatch)


def test_nearly_all_lines_are_read_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read, lines = 0, dllama_lines.RootReader.lines

    def counted(reader: dllama_lines.RootReader, body: bytes) -> bool:
        nonlocal read
        done = lines(reader, body)
        read += body.count("🔶".encode()) if done else 0
        return done

    monkeypatch.setattr(dllama_lines.RootReader, "lines", counted)
    for log in (
        dllama_root([Step(1000, 0, tokens=3)], [Step(3000, 0, 0, 0)] * 5000),
        dllama_era_a([(400, 300, 90)] * 5000),
    ):
        read = 0
        parse_runs(BytesIO(log))
        assert read > 4900
