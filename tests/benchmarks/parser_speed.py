"""How fast distributed-llama's logs are read, and how much memory a large one takes.

    python tests/benchmarks/parser_speed.py [LINES]

Prints token lines a second of CPU time for a log in memory (`parse_log`, the best of five) and
the peak of memory while the JSON of a file of that many lines is made in pieces.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from collect.parsers.distributed_llama import parse_log
from collect.parsers.dllama_json import json_chunks
from tests.doubles.engine_logs import Step, dllama_root

LINES_AT_ONCE = 100_000


def log_of(lines: int) -> bytes:
    """A root's log of so many tokens on two nodes."""
    step = Step(3_400, 11_600, 21_504, 25_600, text=b" tok02105")
    return dllama_root([Step(29_000, 66_000, tokens=19)], [step] * lines, nodes=2)


def main(lines: int) -> None:
    """Measure and print."""
    log = log_of(LINES_AT_ONCE)
    rates = []
    for _ in range(5):
        begin = time.process_time()
        parse_log(BytesIO(log))
        rates.append(LINES_AT_ONCE / (time.process_time() - begin))
    print(f"parse_log: {max(rates):,.0f} token lines a second")  # noqa: T201
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "root.out")
        body, _, end = log.partition(b"\nEvaluation\n")
        head, mark, line = body.rpartition("🔶".encode())
        with path.open("wb") as file:
            file.write(head)
            for _ in range(lines // LINES_AT_ONCE):
                file.write((mark + line) * LINES_AT_ONCE)
            counted = end.replace(b"nTokens: %d" % LINES_AT_ONCE, b"nTokens: %d" % lines)
            file.write(b"\nEvaluation\n" + counted)
        size_mib = path.stat().st_size / 2**20
        begin = time.process_time()
        for _ in json_chunks(path):
            pass
        took_s = time.process_time() - begin
    after_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(  # noqa: T201
        f"json_chunks: {size_mib:,.0f} MiB in {took_s:.0f} s of CPU time; "
        f"peak of memory {before_mib:.0f} MiB before, {after_mib:.0f} MiB after"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
