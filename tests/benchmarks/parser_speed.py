"""How fast distributed-llama's logs are read: records a second, and the JSON of a long log."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path

from collect.parsers.distributed_llama import parse_log
from tests.benchmarks.bars import PROJECT, Measured, Row, against, run
from tests.benchmarks.starting import FAB
from tests.doubles.engine_logs import Step, dllama_root

RECORDS = 1_000_000
_RECORD = re.compile(
    "^🔶 Pred *(\\d+) ms Sync *(\\d+) ms \\| Sent *(\\d+) kB Recv *(\\d+) kB \\| (.*)$".encode()
)
_GREP = r"^🔶 Pred *\d+ ms Sync *\d+ ms \| Sent *\d+ kB Recv *\d+ kB \| "

_PEAK = """
import sys
from collections import deque
from pathlib import Path
from collect.parsers.dllama_json import json_chunks
deque(json_chunks(Path(sys.argv[1])), maxlen=0)
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


@cache
def log_of(records: int) -> bytes:
    """A root's log of so many tokens on two nodes, with varied figures and texts."""
    chance = random.Random(1)  # noqa: S311 - the same every time
    steps = [
        Step(
            chance.randrange(1000, 40_000),
            chance.randrange(1000, 400_000),
            21_504,
            25_600,
            text=b" tok%05d" % chance.randrange(32_000),
        )
        for _ in range(records)
    ]
    return dllama_root([Step(29_000, 66_000, tokens=19)], steps, nodes=2)


def careful_loop(log: bytes) -> list[tuple[object, ...]]:
    """What a script would do that reads line by line and keeps every record."""
    records: list[tuple[object, ...]] = []
    for line in BytesIO(log):
        if match := _RECORD.match(line):
            compute, sync, sent, received, text = match.groups()
            parts = int(compute), int(sync), int(sent), int(received)
            records.append(("prediction", 1, *parts, text.decode("utf-8", "replace")))
    return records


def cpu_s(read: Callable[[bytes], object], log: bytes) -> float:
    """Seconds that it takes to read a log; what is kept goes afterwards."""
    begin = time.process_time()
    kept = read(log)
    took_s = time.process_time() - begin
    del kept
    return took_s


def collector(log: bytes) -> object:
    """What the collector keeps of a log."""
    return parse_log(BytesIO(log))


def records_kept(_folder: Path) -> Measured:
    """The collector's function against a careful loop of regular expressions."""
    records = RECORDS // 4
    log = log_of(records)
    return against(
        lambda: records / cpu_s(collector, log) / 1000,
        lambda: records / cpu_s(careful_loop, log) / 1000,
        "1000 records/s",
    )


def command_of_many(folder: Path) -> Measured:
    """`fab parse-log`, from its start to its end, against the function that keeps the records."""
    log = log_of(RECORDS)
    path = folder / "root.out"
    path.write_bytes(log)
    return against(
        lambda: run([FAB, "parse-log", path], PROJECT).cpu_s,
        lambda: cpu_s(collector, log),
        "s CPU",
    )


def json_against_grep(folder: Path) -> Measured:
    """The same against `grep -P`, which only looks."""
    path = folder / "root.out"
    path.write_bytes(log_of(RECORDS))
    return against(
        lambda: run([FAB, "parse-log", path], PROJECT).cpu_s,
        lambda: run(["grep", "-cP", _GREP, path], folder, LC_ALL="C.UTF-8").cpu_s,
        "s CPU",
        rounds=3,
    )


def memory_of_many(folder: Path) -> Measured:
    """Peak of memory for the JSON of a million records against that of a tenth of it."""
    for records in (RECORDS // 10, RECORDS):
        (folder / f"{records}.out").write_bytes(log_of(records))

    def peak_mib(records: int) -> float:
        # What a process held before it became this one does not count, so it is asked itself.
        command = [sys.executable, "-c", _PEAK, str(folder / f"{records}.out")]
        said = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True)
        return int(said.stdout) / 1024

    return against(lambda: peak_mib(RECORDS), lambda: peak_mib(RECORDS // 10), "MiB", rounds=1)


ROWS = (
    Row(
        "parse",
        "records that are read and kept",
        "a careful loop of regular expressions",
        1.0,
        records_kept,
        at_least=True,
    ),
    Row("parse-log", "`fab parse-log`, 10⁶ records", "keeping them", 1.5, command_of_many),
    Row("parse-grep", "`fab parse-log`, 10⁶ records", "`grep -P`", 60.0, json_against_grep),
    Row("parse-memory", "the JSON of 10⁶ records", "10⁵ records", 1.1, memory_of_many),
)
