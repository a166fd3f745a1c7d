"""Mutated lines of real logs through the parser: no crash, no invented record.

    python tests/benchmarks/parser_fuzz.py [LINES [SEED]]

A million lines, each log read as a root's and as a worker's. Prints what was read.
"""

from __future__ import annotations

import sys
import time
from io import BytesIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from collect.parsers.distributed_llama import parse_log
from tests.doubles.mutated_logs import LINES_A_LOG, invented, mutated_logs


def main(lines: int, seed: int) -> int:
    """Read them; 1 if a record was invented."""
    begin, records, wrong = time.process_time(), 0, 0
    eras: dict[str, int] = {}
    for number, log in enumerate(mutated_logs(lines, seed)):
        for role in ("root", "worker"):
            read = parse_log(BytesIO(log), "root" if role == "root" else "worker", log[:300])
            read.to_json()
            records += len(read.records)
            eras[str(read.era)] = eras.get(str(read.era), 0) + 1
            for record in invented(log, read):
                wrong += 1
                print(f"log {number}, {role}: invented {str(record)[:200]}")  # noqa: T201
    told = ", ".join(f"{era}: {count}" for era, count in sorted(eras.items()))
    print(  # noqa: T201
        f"{lines} lines in {lines // LINES_A_LOG} logs, read as root and as worker ({told}): "
        f"{records} records, {wrong} invented; {time.process_time() - begin:.0f} s of CPU time"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    asked = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*asked, *(1_000_000, 1)[len(asked) :]))
