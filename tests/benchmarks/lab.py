"""What a trial costs beyond the engine's own time, on the virtual nodes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.bars import PROJECT, Measured, Row, SkippedError

RESULTS = PROJECT / "results" / "bench" / "overhead.json"


def overhead(_folder: Path) -> Measured:
    """A trial on eight nodes by llama-herd against the same by a careful bash script."""
    command = [sys.executable, "-m", "experiments.bench.overhead"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SkippedError(done.stderr.strip()[-200:])
    sys.stderr.write(done.stdout)
    told = json.loads(RESULTS.read_text())
    rows = {(row["nodes"], row["method"], row["workers"]): row for row in told}
    ours, bash = rows[8, "llama-herd", "fresh"], rows[8, "bash", "fresh"]
    return Measured(ours["median_ms"], bash["median_ms"], ours["ratio_to_bash"], "ms")


ROWS = (Row("trial-lab", "a trial on 8 nodes less its root", "bash", 0.6, overhead),)
