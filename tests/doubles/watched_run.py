"""A scripted run that takes its time, to be watched and killed.

    python -m tests.doubles.watched_run FOLDER SECONDS REPEATS [HASHES]

Each root takes so many seconds, and computes so many rounds of a hash; the first attempt of each
second repeat fails.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.doubles import scripted_run

PROJECT = Path(__file__).resolve().parents[2]
COMMAND = ("fab", "run-matrix", "--new", "--matrix", "my study.yml")


def main() -> int:
    """Run to the end."""
    folder, pace_s, repeats = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    hashes = int(sys.argv[4]) if len(sys.argv) > 4 else 1

    def work(_unit: str) -> None:
        time.sleep(pace_s)
        hashlib.pbkdf2_hmac("sha256", b"what", b"ever", hashes)

    world = scripted_run.world(
        folder,
        fails=lambda unit: unit.endswith("-r2-a1-root"),
        on_root=work,
    )
    asked = scripted_run.matrix(repeats=repeats)
    return scripted_run.run(folder, world, asked=asked, command=COMMAND).exit_code


@contextmanager
def running(
    folder: Path, pace_s: float, repeats: int, hashes: int = 1
) -> Iterator[subprocess.Popen[bytes]]:
    """Such a run in a process of its own, which ends with the context."""
    words = [str(folder), str(pace_s), str(repeats), str(hashes)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.doubles.watched_run", *words], cwd=PROJECT
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
