"""Which Python environments the doctor's probe finds on prepared machines, and what it imports."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.doctor.probe.pythons import MOST, environments, pythons
from tests.doubles.doctor_place import HOME, TORCH, prepared, venv


def test_what_pytorch_was_built_for_is_read_without_importing_it(tmp_path: Path) -> None:
    petals = "/opt/llama-herd/engines/petals/builds/1f3a/venv"
    files = {
        **venv(petals, "2.6.0", "12.4", "118", "121"),
        f"{petals}/lib/python3.11/site-packages/petals-2.2.0.post1.dist-info/METADATA": "",
        **venv(f"{HOME}/cpu", "2.13.0+cpu", None),
    }

    told = {one["path"]: one for one in pythons(prepared(tmp_path, files), deep=False)}

    assert told[petals] == {
        "path": petals,
        "kind": "venv",
        "torch": "2.6.0",
        "torch_cuda": "12.4",
        "bitsandbytes": "0.41.1",
        "bitsandbytes_cuda": ["118", "121"],
        "petals": "2.2.0.post1",
        "imported": None,
    }
    assert (told[f"{HOME}/cpu"]["torch_cuda"], told[f"{HOME}/cpu"]["bitsandbytes"]) == (None, None)


def test_conda_environments_and_the_systems_python_are_looked_at_too(tmp_path: Path) -> None:
    files = {
        "/opt/miniforge3/envs/a/bin/python": "",
        "/opt/miniforge3/envs/a/lib/python3.10/site-packages/torch/version.py": TORCH.format(
            version="2.1.2", cuda="'11.8'"
        ),
        "/usr/lib/python3/dist-packages/torch/version.py": "__version__ = '1.13.1'\ncuda = None\n",
        f"{HOME}/plain/pyvenv.cfg": "",
        f"{HOME}/plain/lib/python3.11/site-packages/pip/__init__.py": "",
    }

    told = pythons(prepared(tmp_path, files), deep=False)

    assert [(one["path"], one["kind"], one["torch_cuda"]) for one in told] == [
        ("/opt/miniforge3/envs/a", "conda", "11.8"),
        ("/usr/lib/python3", "system", None),
    ]


def test_deep_lets_the_environments_own_python_import_what_it_has(tmp_path: Path) -> None:
    torch = "class cuda:\n    is_available = staticmethod(lambda: False)\n"
    broken = "print('False alarm')\nraise RuntimeError('CUDA Setup failed\\nmore of it')\n"
    modules = {"torch": torch, "bitsandbytes": broken}
    packages = tmp_path / "packages"
    for name, text in modules.items():
        (packages / name).mkdir(parents=True)
        (packages / name / "__init__.py").write_text(text)
    files = {
        **venv(f"{HOME}/v", "2.6.0", "12.4", "121"),
        f"{HOME}/v/bin/python": f'#!/bin/sh\nshift\nPYTHONPATH={packages} exec python3 "$@"\n',
    }

    (told,) = pythons(prepared(tmp_path / "root", files), deep=True)

    assert told["imported"] == {
        "torch_sees_gpu": False,
        "modules": ["torch"],
        "module": "bitsandbytes",
        "error": "RuntimeError: CUDA Setup failed",
    }
    assert not list(packages.rglob("__pycache__")), "looking leaves nothing behind"


def test_an_environment_without_a_python_tells_nothing(tmp_path: Path) -> None:
    (told,) = pythons(prepared(tmp_path, venv(f"{HOME}/v", "2.6.0", "12.4")), deep=True)
    assert told["imported"] is None


@pytest.mark.parametrize(
    ("python", "what"),
    [
        ("#!/bin/sh\nkill -ILL $$\n", "its Python was killed by SIGILL"),
        ("#!/bin/sh\necho libpython3.9.so: gone >&2; exit 127\n", "code 127 libpython3.9.so: gone"),
        ("#!/no/such/python\n", "its Python does not run"),
    ],
)
def test_a_python_that_tells_nothing_is_told_with_its_end(
    tmp_path: Path, python: str, what: str
) -> None:
    files = {**venv(f"{HOME}/v", "2.6.0", "12.4"), f"{HOME}/v/bin/python": python}
    (told,) = pythons(prepared(tmp_path, files), deep=True)
    assert what in told["imported"]["error"]


@pytest.mark.parametrize("server", [None, "", "raise ImportError('no server')\n"])
def test_deep_imports_petals_with_its_server(tmp_path: Path, server: str | None) -> None:
    packages = tmp_path / "packages"
    (packages / "petals/server").mkdir(parents=True)
    (packages / "petals/__init__.py").touch()
    if server is not None:
        (packages / "petals/server/__init__.py").touch()
        (packages / "petals/server/server.py").write_text(server)
    else:
        (packages / "petals/server").rmdir()
    site = f"{HOME}/v/lib/python3.11/site-packages"
    files = {
        f"{HOME}/v/pyvenv.cfg": "",
        f"{site}/petals-2.2.0.dist-info/METADATA": "",
        f"{HOME}/v/bin/python": f'#!/bin/sh\nshift\nPYTHONPATH={packages} exec python3 "$@"\n',
    }

    (told,) = pythons(prepared(tmp_path / "root", files), deep=True)

    error = "ImportError: no server" if server else None
    assert told["imported"]["error"] == error
    assert told["imported"]["modules"] == ([] if server else ["petals"])


@pytest.mark.parametrize(
    "folder",
    [
        "petals/.venv",
        ".venv",
        "src/petals/.venv",
        ".virtualenvs/petals",
        ".venvs/petals",
        ".pyenv/versions/3.11.9/envs/petals",
        ".cache/pypoetry/virtualenvs/petals-x-py3.11",
        ".local/share/pipx/venvs/petals",
        ".local/share/uv/tools/petals",
        ".local/share/virtualenvs/petals-x",
    ],
)
def test_environments_are_found_where_people_and_their_tools_put_them(
    tmp_path: Path, folder: str
) -> None:
    (told,) = pythons(prepared(tmp_path, venv(f"{HOME}/{folder}", "2.6.0", "12.4")), deep=False)
    assert (told["path"], told["kind"]) == (f"{HOME}/{folder}", "venv")


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        (".conda/envs/a", "conda"),
        ("miniforge3/envs/a", "conda"),
        ("mambaforge", "conda"),
        ("micromamba/envs/a", "conda"),
        (".local/share/mamba/envs/a", "conda"),
        ("my-conda/envs/a", "conda"),
        ("petals/.pixi/envs/default", "conda"),
        (".pyenv/versions/3.11.9", "venv"),
        (".local/share/uv/python/cpython-3.11.9-linux-x86_64-gnu", "venv"),
    ],
)
def test_whole_pythons_are_found_too(tmp_path: Path, folder: str, kind: str) -> None:
    files = {
        f"{HOME}/{folder}/bin/python3": "",
        f"{HOME}/{folder}/lib/python3.11/site-packages/torch/version.py": TORCH.format(
            version="2.6.0", cuda="'12.4'"
        ),
    }
    if kind == "conda":
        files[f"{HOME}/{folder}/conda-meta/history"] = ""
    (told,) = pythons(prepared(tmp_path, files), deep=False)
    assert (told["path"], told["kind"]) == (f"{HOME}/{folder}", kind)


def test_the_search_for_environments_is_bounded_and_says_so(tmp_path: Path) -> None:
    files = {f"{HOME}/a/{number}/pyvenv.cfg": "" for number in range(MOST + 50)}
    folders, is_cut = environments(prepared(tmp_path, files))
    assert is_cut
    assert sum(kind == "venv" for _, kind in folders) == MOST
