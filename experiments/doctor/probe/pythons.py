"""Python environments with PyTorch, and what it was built for; nothing is imported unless asked."""

from __future__ import annotations

import json
from typing import Any

from experiments.doctor.probe.conda import conda_environments, homes
from experiments.doctor.probe.place import Place, first_group

VENVS = (
    "/opt/*",
    "/opt/*/*",
    "/srv/*",
    "/opt/llama-herd/engines/*/venv",
    "/opt/llama-herd/engines/*/builds/*/venv",
)
VENVS_AT_HOME = ("*", "*/*", ".*", ".virtualenvs/*")
SYSTEM = ("/usr/lib/python3", "/usr/local/lib/python3*", "/usr/lib/python3*")
IMPORT_S = 180
IMPORT = """
import importlib, json, sys
told = {"torch_sees_gpu": None, "error": None}
try:
    for name in sys.argv[1:]:
        module = importlib.import_module(name)
        if name == "torch":
            told["torch_sees_gpu"] = module.cuda.is_available()
except BaseException as error:
    told["error"] = f"{type(error).__name__}: {error}".partition("\\n")[0]
print("\\n" + json.dumps(told))
"""


def pythons(place: Place, *, deep: bool) -> list[dict[str, Any]]:
    """Environments with PyTorch, Petals or bitsandbytes.

    Args:
        place: the node.
        deep: also import PyTorch and bitsandbytes, by the environment's own Python.
    """
    found: list[dict[str, Any]] = []
    seen = set()
    for folder, kind in environments(place):
        for packages in site_packages(place, folder, kind):
            real = place.path(packages).resolve()
            told = described(place, packages)
            if real not in seen and any(told.values()):
                seen.add(real)
                python = f"{folder}/bin/python"
                names = [name for name in ("torch", "bitsandbytes") if told[name]]
                imported = imports(place, python, names) if deep and kind != "system" else None
                found.append({"path": folder, "kind": kind, **told, "imported": imported})
    return found


def environments(place: Place) -> list[tuple[str, str]]:
    """Folders and what they are: venv, conda, or system."""
    patterns = [*VENVS, *(f"{home}/{name}" for home in homes(place) for name in VENVS_AT_HOME)]
    configured = place.found(*(f"{pattern}/pyvenv.cfg" for pattern in patterns))
    found = [(name.rpartition("/")[0], "venv") for name in configured]
    found += [(folder, "conda") for folder in conda_environments(place)]
    found += [(folder, "system") for folder in place.found(*SYSTEM)]
    found += [(f"{home}/.local", "system") for home in homes(place)]
    return found


def site_packages(place: Place, folder: str, kind: str) -> list[str]:
    """Where an environment keeps its packages."""
    if kind == "system" and not folder.endswith("/.local"):
        return place.found(f"{folder}/dist-packages", f"{folder}/site-packages")
    return place.found(f"{folder}/lib/python3*/site-packages")


def described(place: Place, packages: str) -> dict[str, Any]:
    """What an environment has, from the files of its packages.

    PyTorch writes what it was built for into `torch/version.py`; a build for the CPU has None.
    bitsandbytes brings a library for each CUDA that it serves, `libbitsandbytes_cuda<xy>.so`.
    """
    built = place.text(f"{packages}/torch/version.py")
    libraries = place.found(f"{packages}/bitsandbytes/libbitsandbytes_cuda*.so")
    names = (library.rpartition("libbitsandbytes_cuda")[2] for library in libraries)
    return {
        "torch": first_group(r"^__version__\s*(?::.*)?=\s*['\"]([^'\"]+)", built),
        "torch_cuda": first_group(r"^cuda\s*(?::.*)?=\s*['\"]([\d.]+)", built),
        "bitsandbytes": installed(place, packages, "bitsandbytes"),
        "bitsandbytes_cuda": sorted({name[: -len(".so")].partition("_")[0] for name in names}),
        "petals": installed(place, packages, "petals"),
    }


def installed(place: Place, packages: str, name: str) -> str | None:
    """Version of a package, from the name of its metadata folder."""
    for folder in place.found(
        f"{packages}/{name}-[0-9]*.dist-info", f"{packages}/{name}-[0-9]*.egg-info"
    ):
        return folder.rpartition("/")[2][len(name) + 1 :].rpartition(".")[0]
    return None


def imports(place: Place, python: str, names: list[str]) -> dict[str, Any] | None:
    """What an environment's own Python says when it imports them; None if it says nothing."""
    program = str(place.path(python))
    said = place.ask(program, "-I", "-B", "-c", IMPORT, *names, seconds=IMPORT_S)
    try:
        told: dict[str, Any] = json.loads(said.out.rpartition("\n")[2])
    except ValueError:
        return None
    return told
