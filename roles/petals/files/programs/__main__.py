"""Runs the program that the first argument names: `python programs client …`."""

from __future__ import annotations

import importlib
import sys

if __name__ == "__main__":
    importlib.import_module(f"herd_petals.{sys.argv.pop(1)}").main()
