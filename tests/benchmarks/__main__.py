"""`make bench`: the bars of speed and memory, one row each.

    python -m tests.benchmarks [--only NAME]... [--list]

Every ratio is taken within this run, both sides in turn, so it carries over to other machines;
seconds do not. What cannot be measured here is skipped, with the reason. Exit status 1 if a bar is
not kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import lab, ledgers, nodes, parser_speed, reports, starting, watching
from tests.benchmarks.bars import HEADER, Measured, Row, SkippedError, line

ROWS: tuple[Row, ...] = (
    *(*starting.ROWS, *parser_speed.ROWS, *ledgers.ROWS),
    *(*reports.ROWS, *nodes.ROWS, *watching.ROWS, *lab.ROWS),
)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [row.name for row in ROWS]
    parser.add_argument("--only", action="append", choices=names, metavar="NAME")
    parser.add_argument("--list", action="store_true", help="name the rows")
    given = parser.parse_args()
    if given.list:
        sys.stdout.writelines(f"{row.name:16} {row.figure} to {row.anchor}\n" for row in ROWS)
        return 0
    sys.stdout.write(f"{HEADER}\n")
    are_kept = True
    for row in ROWS:
        if given.only and row.name not in given.only:
            continue
        found: Measured | str
        with tempfile.TemporaryDirectory(prefix="herd-bench-") as folder:
            try:
                found = row.measure(Path(folder))
                are_kept &= row.holds(found)
            except SkippedError as reason:
                found = str(reason)
        sys.stdout.write(f"{line(row, found)}\n")
        sys.stdout.flush()
    return 0 if are_kept else 1


if __name__ == "__main__":
    sys.exit(main())
