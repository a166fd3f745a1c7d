"""CUDA toolkits: where they are, and from where they are seen."""

from __future__ import annotations

import json
import os
import pwd
from typing import Any

from experiments.doctor.probe.conda import conda_environments
from experiments.doctor.probe.place import Place, first_group

SYSTEM = ("/usr/local/cuda", "/usr/local/cuda-*", "/opt/cuda", "/usr/lib/nvidia-cuda-toolkit")
SHELLS = ("bash", "zsh")
BEGIN, END = "llama-herd-login-shell", "llama-herd-end"
ASK_SHELL = f"""
printf '\\n%s\\n' {BEGIN}
command -v nvcc || echo
printf '%s\\n' "$CONDA_PREFIX" "$LD_LIBRARY_PATH" {END}
"""
LOGIN_S = 15


def cuda(place: Place) -> dict[str, Any]:
    """Every toolkit, what finds its compiler, and what the loader finds of its libraries."""
    cache = place.ask("ldconfig", "-p").out
    return {
        "toolkits": toolkits(place),
        "nvcc_plain": place.real(place.program("nvcc")),
        "login": login_shell(place),
        "loader_libcuda": libraries(place, cache, "libcuda.so.1"),
        "loader_libcudart": libraries(place, cache, "libcudart.so"),
    }


def toolkits(place: Place) -> list[dict[str, Any]]:
    """Folders with CUDA's compiler or its runtime library, each once.

    `/usr/local/cuda` is a link to one of the others as a rule.
    """
    found: dict[str, dict[str, Any]] = {}
    system = [folder for folder in place.found(*SYSTEM) if place.is_folder(folder)]
    folders = [(folder, False) for folder in sorted(system, key=len, reverse=True)]
    folders += [(folder, True) for folder in conda_environments(place)]
    for folder, is_conda in folders:
        compiler = f"{folder}/bin/nvcc"
        has_compiler = place.is_program(compiler)
        runtimes = place.found(
            f"{folder}/lib*/libcudart.so*", f"{folder}/targets/*/lib/libcudart.so*"
        )
        real = place.real(folder) or folder
        if (has_compiler or runtimes) and real not in found:
            found[real] = {
                "path": real,
                "conda": is_conda,
                "compiler": has_compiler,
                "version": toolkit_version(place, folder, has_compiler=has_compiler),
            }
    if not found and place.is_program("/usr/bin/nvcc"):
        found["/usr"] = {
            "path": "/usr",
            "conda": False,
            "compiler": True,
            "version": toolkit_version(place, "/usr", has_compiler=True),
        }
    return list(found.values())


def toolkit_version(place: Place, folder: str, *, has_compiler: bool) -> str | None:
    """A toolkit's version, from its own file, Conda's record, or its compiler."""
    try:
        return str(json.loads(place.text(f"{folder}/version.json"))["cuda"]["version"])
    except (ValueError, LookupError, TypeError):
        pass
    for name in ("cuda-nvcc", "cudatoolkit", "cuda-cudart"):
        for record in place.found(f"{folder}/conda-meta/{name}-[0-9]*.json"):
            return record.rpartition("/")[2][len(name) + 1 :].partition("-")[0]
    if not has_compiler:
        return None
    said = place.ask(str(place.path(f"{folder}/bin/nvcc")), "--version")
    return first_group(r"\bV(\d[\d.]*)", said.out) or first_group(r"release (\d[\d.]*)", said.out)


def login_shell(place: Place) -> dict[str, Any] | None:
    """What the user's own shell finds after a login; None if it does not start.

    Interactive, because Conda writes itself into a file that only interactive shells read.
    """
    shell = pwd.getpwuid(os.getuid()).pw_shell.rpartition("/")[2]
    chosen = shell if shell in SHELLS else "bash"
    said = place.ask(chosen, "-l", "-i", "-c", ASK_SHELL, seconds=LOGIN_S, HISTFILE="/dev/null")
    told = said.out.rpartition(f"{BEGIN}\n")[2].split("\n")
    if told[3:4] != [END]:
        return None
    compiler, prefix, library_path = told[:3]
    return {
        "nvcc": place.real(place.told(compiler)),
        "conda_prefix": place.told(prefix) or None,
        "ld_library_path": library_path or None,
    }


def libraries(place: Place, cache: str, name: str) -> list[str]:
    """Where the loader finds a library, from `ldconfig -p`."""
    rows = (line.strip().partition(" => ") for line in cache.splitlines())
    paths = (place.real(path) for what, _, path in rows if what.startswith(name))
    return list(dict.fromkeys(path for path in paths if path))
