"""Machines as folders, for the doctor's probe: their files and what their programs answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.doctor.probe.place import Place, ProgramResult, run_program

HOME = "/home/ada"
TORCH = """from typing import Optional
__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip']
__version__ = '{version}'
debug = False
cuda: Optional[str] = {cuda}
git_version = 'unknown'
hip: Optional[str] = None
"""


def prepared(folder: Path, files: dict[str, Any], **answers: str) -> Place:
    """A machine with these files (a program where the text begins with #!) and these answers."""
    for name, text in files.items():
        path = folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        if path.read_bytes().startswith(b"#!"):
            path.chmod(0o755)

    def run(argv: list[str], environment: dict[str, str], seconds: float) -> ProgramResult:
        name = argv[0].rpartition("/")[2].replace("-", "_").partition(".")[0]
        if name in answers:
            return ProgramResult(0, answers[name])
        is_prepared = argv[0].startswith(str(folder)) or argv[0] == "bash"
        return run_program(argv, environment, seconds) if is_prepared else ProgramResult(None)

    return Place(root=folder, home=HOME, run=run)


def venv(name: str, torch: str, built_for: str | None, *libraries: str) -> dict[str, Any]:
    """A virtual environment with PyTorch and bitsandbytes 0.41.1."""
    packages = f"{name}/lib/python3.11/site-packages"
    files = {
        f"{name}/pyvenv.cfg": "home = /usr/bin\n",
        f"{packages}/torch/version.py": TORCH.format(version=torch, cuda=repr(built_for)),
    }
    if libraries:
        files[f"{packages}/bitsandbytes-0.41.1.dist-info/METADATA"] = "Name: bitsandbytes\n"
    for code in libraries:
        for ending in ("", "_nocublaslt"):
            files[f"{packages}/bitsandbytes/libbitsandbytes_cuda{code}{ending}.so"] = ""
    return files
