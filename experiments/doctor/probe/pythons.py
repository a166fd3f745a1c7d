"""Python environments with PyTorch, and what it was built for; nothing is imported unless asked."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

from experiments.doctor.probe.conda import conda_environments, homes
from experiments.doctor.probe.place import Place, ProgramResult, first_group

VENVS = (
    *("/opt/*", "/opt/*/*", "/opt/*/.venv", "/srv/*", "/srv/*/*", "/srv/*/.venv", "/usr/local/*"),
    *("/opt/llama-herd/engines/*/venv", "/opt/llama-herd/engines/*/builds/*/venv"),
    *("/opt/pipx/venvs/*", "/usr/local/pipx/venvs/*"),
)
VENVS_AT_HOME = (
    *("*", ".*", "*/*", "*/.*", ".*/*", "*/*/.venv", "*/*/venv", "*/*/env"),
    # pipenv, poetry, pipx, uv, hatch, virtualenvs of pyenv.
    *(".local/share/virtualenvs/*", ".cache/pypoetry/virtualenvs/*", ".local/share/pipx/venvs/*"),
    *(".local/pipx/venvs/*", ".local/share/uv/tools/*", ".local/share/hatch/env/virtual/*/*/*"),
    *(".pyenv/versions/*/envs/*",),
)
"""Where people and their tools put virtual environments; `*` leaves out names with a dot."""
WHOLE_AT_HOME = (
    *(".pyenv/versions/*", ".local/share/uv/python/*", ".asdf/installs/python/*"),
    *(".local/share/mise/installs/python/*", ".rye/py/*"),
)
"""Where tools put whole Pythons, into which people install, too."""
MOST = 200
"""Environments that are looked into."""
SEARCH_S = 10.0
"""After so long no other place is searched: homes may be on a slow disk or a network."""
SYSTEM = ("/usr/lib/python3", "/usr/local/lib/python3*", "/usr/lib/python3*")
IMPORT_S = 180
IMPORT = """
import importlib, importlib.util, json, sys
result = {"torch_sees_gpu": None, "modules": [], "module": None, "error": None}
try:
    for name in sys.argv[1:]:
        result["module"] = name
        module = importlib.import_module(name)
        if name == "torch":
            result["torch_sees_gpu"] = module.cuda.is_available()
        if name == "petals" and importlib.util.find_spec("petals.server"):
            importlib.import_module("petals.server.server")
        result["modules"].append(name)
    result["module"] = None
except BaseException as error:
    result["error"] = f"{type(error).__name__}: {error}".strip().partition("\\n")[0][:1000]
print("\\n" + json.dumps(result))
"""


def pythons(place: Place, *, deep: bool) -> list[dict[str, Any]]:
    """Environments with PyTorch, Petals or bitsandbytes.

    Args:
        place: the node.
        deep: also import what is there of these, by the environment's own Python.
    """
    return searched(place, deep=deep)[0]


def searched(place: Place, *, deep: bool) -> tuple[list[dict[str, Any]], bool]:
    """The same, and whether there were more environments than are looked into."""
    found: list[dict[str, Any]] = []
    seen = set()
    folders, is_cut = environments(place)
    for folder, kind in folders:
        for packages in site_packages(place, folder, kind):
            real = place.path(packages).resolve()
            told = described(place, packages)
            if real not in seen and any(told.values()):
                seen.add(real)
                python = f"{folder}/bin/python"
                names = [name for name in ("torch", "bitsandbytes", "petals") if told[name]]
                imported = imports(place, python, names) if deep and kind != "system" else None
                found.append({"path": folder, "kind": kind, **told, "imported": imported})
    return found, is_cut


def environments(place: Place) -> tuple[list[tuple[str, str]], bool]:
    """Folders and what they are (venv, conda, or system), and whether some were left out."""
    found = [(folder, "conda") for folder in conda_environments(place)]
    found += [(folder, "system") for folder in place.found(*SYSTEM)]
    found += [(f"{home}/.local", "system") for home in homes(place)]
    begun_s = time.monotonic()
    patterns = [f"{name}/pyvenv.cfg" for name in VENVS]
    patterns += [f"{home}/{name}/pyvenv.cfg" for home in homes(place) for name in VENVS_AT_HOME]
    patterns += [f"{home}/{name}/bin/python3" for home in homes(place) for name in WHOLE_AT_HOME]
    venvs: dict[str, None] = {}
    for pattern in patterns:
        if time.monotonic() - begun_s > SEARCH_S or len(venvs) > MOST:
            return [(folder, "venv") for folder in venvs][:MOST] + found, True
        depth = 2 if pattern.endswith("/bin/python3") else 1
        venvs.update(dict.fromkeys(name.rsplit("/", depth)[0] for name in place.found(pattern)))
    return [(folder, "venv") for folder in venvs] + found, False


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
    """What an environment's own Python says when it imports them; None if it has no Python."""
    if not place.exists(python):
        return None
    program = str(place.path(python))
    said = place.ask(program, "-I", "-B", "-c", IMPORT, *names, seconds=IMPORT_S)
    try:
        told: dict[str, Any] = json.loads(said.out.rpartition("\n")[2])
    except ValueError:
        return {"error": f"nothing: {unheard(said)}"}
    return told


def unheard(said: ProgramResult) -> str:
    """Return why a Python reported nothing, such as an instruction missing on this processor."""
    if said.code is None:
        return f"its Python does not run, or did not finish within {IMPORT_S} s"
    if said.code < 0:
        return f"its Python was killed by {signal.Signals(-said.code).name}"
    last = said.err.rpartition("\n")[2][:1000]
    return f"its Python ended with code {said.code} {last}".strip()
