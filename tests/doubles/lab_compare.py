"""Ask the systems `api` and `node` in one run on virtual nodes: what a lab test kills.

python -m tests.doubles.lab_compare INVENTORY RESULTS_FOLDER SYSTEMS_FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.doubles.asking_run import matrix
from tests.doubles.lab_run import run


def main() -> int:
    """Run it, or go on with it."""
    inventory, results, systems = sys.argv[1:]
    axes = {"system": ("api", "node")}
    # An answer of the model takes seconds, so that a test sees it being made.
    rest = {"axes": axes, "repeats": 2, "deadline_s": 120.0, "max_tokens": 200}
    asked = matrix(Path(systems), "Why?", **rest)
    return run(inventory, Path(results), asked).exit_code


if __name__ == "__main__":
    sys.exit(main())
