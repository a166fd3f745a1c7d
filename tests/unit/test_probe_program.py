"""`herd-probe` itself: what it measures here, and what it does with strangers and slow links."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from core.paths import PROBE
from herd_probe import arithmetic, ground, links, memory
from herd_probe.links import LinkError

HERE = "127.0.0.1"


def free_port() -> int:
    with closing(socket.create_server((HERE, 0))) as server:
        return int(server.getsockname()[1])


def lines(*arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-IS", str(PROBE), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def listener() -> Iterator[int]:
    """The port of a program that listens."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-IS", str(PROBE), "listen", HERE, str(port)])
    until = time.monotonic() + 20
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    while wanted not in Path("/proc/net/tcp").read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    yield port
    process.kill()
    process.wait()


def test_a_node_measures_itself() -> None:
    told = {line["kind"]: line for line in lines("node", "64", "2") if line["kind"] != "remark"}
    assert list(told)[-1] == "end"
    assert told["memory"]["array_mib"] == 64
    for figures in (told["memory"]["one"], told["memory"]["all"]):
        assert len(figures) == ground.REPEATS
        assert all(0.1 < figure < 2000 for figure in figures)


def test_a_node_with_hardly_any_memory_says_so() -> None:
    first, *_ = lines("node", "7", "1")
    assert first == {
        "kind": "remark",
        "text": "the memory was not measured: 7 MiB are free for it, 8 needed",
    }


def test_an_array_that_fits_into_the_cache_is_called_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "cache_bytes", lambda: 32 << 20)
    monkeypatch.setattr(memory, "SECONDS", 0.01)
    memory.measure(100, 1)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert "only 100 MiB of memory were free" in first["text"]
    assert second["cache_mib"] == 32


@pytest.mark.parametrize(
    ("most_mib", "cache_mib", "chosen_mib"),
    [(2048, 0, 256), (2048, 64, 512), (300, 64, 300), (50, 1, 50)],
)
def test_the_array_is_far_larger_than_the_cache_and_within_what_is_free(
    most_mib: int, cache_mib: int, chosen_mib: int
) -> None:
    assert memory.array_mib(most_mib, cache_mib << 20) == chosen_mib


def test_caches_that_cores_share_count_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for core in range(4):
        described = [
            ("1", "48K", f"{core}", "Data"),
            ("1", "32K", f"{core}", "Instruction"),
            ("3", "16384K", "0-1" if core < 2 else "2-3", "Unified"),
        ]
        for index, values in enumerate(described):
            folder = tmp_path / f"cpu{core}" / "cache" / f"index{index}"
            folder.mkdir(parents=True)
            names = ("level", "size", "shared_cpu_list", "type")
            for name, value in zip(names, values, strict=True):
                (folder / name).write_text(value + "\n")
    monkeypatch.setattr(memory, "PROCESSORS", tmp_path)
    assert memory.cache_bytes() == 32 << 20
    monkeypatch.setattr(memory, "PROCESSORS", tmp_path / "nothing")
    assert memory.cache_bytes() == 0


def test_all_of_the_array_is_read_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PIECE_BYTES", 3 << 20)
    array = memory.Array(8, 2)
    array.fill(0)
    array.fill(1)
    read: list[tuple[int, int]] = []
    array.loops["memchr"] = lambda begin, size: read.append((begin, size))

    def some(work: Callable[[int], float], threads: int, *_: object) -> list[float]:
        return [work(number) for _ in range(3) for number in range(threads)]

    monkeypatch.setattr(memory, "rates", some)
    assert sum(array.measured("memchr", 0, 1, alone=False)) == 14 << 20
    begins = [begin - min(read)[0] for begin, _ in read]
    assert [begin >> 20 for begin in begins] == [0, 4, 3, 7, 0, 4]
    assert [size >> 20 for _, size in read] == [3, 3, 1, 1, 3, 3]


def test_the_loop_counts_what_it_computes(tmp_path: Path) -> None:
    compilers = list(arithmetic.found())
    if not compilers:
        pytest.skip("no C compiler here")
    library = str(tmp_path / "loop.so")
    assert arithmetic.compiled(compilers[0], "-O3", library)
    loop = arithmetic.Loop(library)
    per_step = loop(0) / arithmetic.STEPS
    assert per_step in {2.0 * 10 * lanes for lanes in (4, 8, 16)}


def test_without_a_compiler_there_is_no_figure_and_a_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(arithmetic, "COMPILERS", ())
    arithmetic.measure(1)
    monkeypatch.setattr(arithmetic, "COMPILERS", ("false",))
    arithmetic.measure(1)
    said = [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]
    assert "there is no C compiler" in said[0]
    assert "did not compile its loop" in said[1]


def test_links_are_measured_both_ways_and_one_that_is_refused_is_named(listener: int) -> None:
    first, second, third, end = lines("links", str(listener), HERE, "127.0.0.2", HERE)
    assert (second["kind"], second["address"]) == ("remark", "127.0.0.2")
    assert "refused" in second["text"]
    assert end == {"kind": "end"}
    for link in (first, third):
        lower, median, upper = link["half_us"]
        assert 0 < lower <= median <= upper < 100_000
        for size, seconds in (link["out"], link["in"]):
            assert size > 0
            assert 0.1 < seconds < 5


def test_a_stranger_is_hung_up_on_and_the_next_one_is_served(listener: int) -> None:
    for words in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 1000, b"herd-probe 1 shell\n"):
        with socket.create_connection((HERE, listener), 5) as stranger:
            stranger.sendall(words)
            with suppress(ConnectionResetError):
                assert stranger.recv(100) == b""
    (link, _) = lines("links", str(listener), HERE)
    assert link["kind"] == "link"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no probe"),
        (b"x" * 10_000, "no probe"),
        (b"", "no probe"),
    ],
)
def test_another_program_at_the_port_is_not_measured(answer: bytes, why: str) -> None:
    with socket.create_server((HERE, 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(answer)
                connection.recv(100)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with (
            pytest.raises(LinkError, match=why),
            links.asked(HERE, server.getsockname()[1], "echo"),
        ):
            pass
        thread.join(5)


@pytest.mark.parametrize("line", [b"nonsense\n", b"[1]\n", b'{"a": 1}\n', b"[null, 2]\n"])
def test_an_impossible_count_is_refused(line: bytes) -> None:
    with pytest.raises(LinkError, match="no probe"):
        links.told(line)


def test_a_side_that_goes_silent_is_given_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(links, "SILENCE_S", 1)
    with socket.create_server((HERE, 0)) as server:
        begun = time.monotonic()
        links.measure(HERE, server.getsockname()[1])
    assert time.monotonic() - begun < 4
    assert json.loads(capsys.readouterr().out)["text"] == "it said nothing for 1 s"


def test_bytes_of_the_beginning_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender of 10 MB/s whose first tenth of a second is ten times as fast."""
    clock = [0.0]

    class Slow:
        def recv_into(self, chunk: bytearray) -> int:
            clock[0] += 0.001 if clock[0] < links.BEGIN_S / 2 else 0.01
            return 100_000

    monkeypatch.setattr("herd_probe.links.time.perf_counter", lambda: clock[0])
    size, seconds = links.take(Slow(), 0.0001)  # type: ignore[arg-type]
    assert size / seconds == pytest.approx(1e7, rel=0.01)


@pytest.mark.parametrize(
    "arguments", [[], ["node"], ["node", "x", "1"], ["links", "9"], ["listen", "::1", "9"], ["x"]]
)
def test_what_it_cannot_do_is_refused_with_its_usage(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-IS", str(PROBE), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage: herd-probe node")
