"""What petals-check says of a device: the proof that the role demands before Petals is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).resolve().parents[2] / "roles/petals/files/programs"
TORCH = """
__version__ = "2.4.1"

class Ones:
    def __matmul__(self, other):
        return self

    def sum(self):
        return {total}

def ones(shape, device):
    if device == "cuda" and {error!r}:
        raise {kind}({error!r})
    return Ones()

class cuda:
    def get_device_name():
        return "NVIDIA Something"
"""
SUM = 256.0**3


@pytest.mark.parametrize(
    ("device", "total", "kind", "error", "status", "said"),
    [
        ("cpu", SUM, "RuntimeError", "no driver", 0, "petals 2.2.0.post1, torch 2.4.1, cpu\n"),
        ("cuda", SUM, "RuntimeError", "", 0, "petals 2.2.0.post1, torch 2.4.1, NVIDIA Something\n"),
        (
            *("cuda", SUM, "RuntimeError", "Found no NVIDIA driver\non your system.", 1),
            "error: no GPU can be used here (Found no NVIDIA driver on your system.): there ",
        ),
        (
            *("cuda", SUM, "AssertionError", "Torch not compiled with CUDA enabled", 1),
            "error: no GPU can be used here (Torch not compiled with CUDA enabled): there ",
        ),
        ("cuda", 1.0, "RuntimeError", "", 1, "error: the device cuda multiplies wrongly: 1.0"),
        ("cpu", 1.0, "RuntimeError", "", 1, "error: the device cpu multiplies wrongly: 1.0"),
    ],
)
def test_a_device_is_proven_by_what_it_multiplies(
    tmp_path: Path, device: str, total: float, kind: str, error: str, status: int, said: str
) -> None:
    stubs = {
        "torch.py": TORCH.format(total=total, kind=kind, error=error),
        "petals/__init__.py": '__version__ = "2.2.0.post1"\n',
        "petals/server/__init__.py": "",
        "petals/server/server.py": "",
        "hivemind.py": "def __getattr__(name):\n    return None\n",
        "psutil.py": (
            "class Process:\n    def children(self, recursive):\n        return []\n"
            "class NoSuchProcess(Exception): ...\n"
        ),
    }
    for name, text in stubs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-B", str(PROGRAMS), "check", "--device", device],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    assert (done.stderr if status else done.stdout).startswith(said)
