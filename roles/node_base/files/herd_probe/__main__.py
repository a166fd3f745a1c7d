"""Runs the program from its folder, as on the controller: `python herd_probe node 64 2`."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from herd_probe.main import main  # noqa: E402 - now it can be found

sys.exit(main())
