"""Runs the program that the first argument names: `python programs client …`."""

from __future__ import annotations

import importlib
import sys

if __name__ == "__main__":
    name = sys.argv.pop(1)
    sys.argv[0] = f"petals-{name}"  # in what it says of its arguments
    importlib.import_module(f"herd_petals.{name}").main()
