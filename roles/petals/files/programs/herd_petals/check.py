"""Proves that the environment works on this machine: `petals 2.2.0.post1, torch 2.13.0+cpu`."""

from __future__ import annotations

import importlib
import os
import tempfile

from herd_petals import compat
from herd_petals.ending import end


def main() -> None:
    """Import all that a server and a client need, start nothing."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(HF_HOME=folder, PETALS_CACHE=folder)
        compat.prepare()
        torch = importlib.import_module("torch")
        petals = importlib.import_module("petals")
        importlib.import_module("petals.server.server")
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"petals {petals.__version__}, torch {torch.__version__}, {device}", flush=True)
    end(0)


if __name__ == "__main__":
    main()
