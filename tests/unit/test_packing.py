"""Nodes get a program of many modules as one file: the same bytes from any controller."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from graphlib import CycleError
from pathlib import Path

import pytest

from core.packing import modules_of, packed
from core.paths import CLIENT

FILES = Path(__file__).resolve().parents[2] / "roles" / "node_base" / "files"
PACKAGES = ("herd_node", "herd_ask", "herd_gpu", "herd_probe")
CHECK = "import runpy, sys; runpy.run_path(sys.argv[1])"
"""As role `node_base` looks at a file before it takes the old one's place."""


def write(folder: Path, **sources: str) -> Path:
    folder.mkdir()
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
    return folder


@pytest.mark.parametrize("package", PACKAGES)
def test_a_program_is_whole_and_each_module_comes_after_those_it_imports(package: str) -> None:
    names = [name for name, _ in modules_of(package, FILES / package)]
    wanted = {path.stem for path in (FILES / package).glob("*.py")} - {"__init__", "__main__"}
    assert names[0] == package
    assert sorted(names[1:]) == sorted(f"{package}.{name}" for name in wanted)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_controller_packs_the_same_bytes(package: str, tmp_path: Path) -> None:
    copied = tmp_path / "elsewhere"
    copied.mkdir()
    for path in sorted((FILES / package).glob("*.py"), reverse=True):  # in another order on disk
        shutil.copy(path, copied)
    assert packed(package, copied) == packed(package, FILES / package)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_packed_program_holds_its_modules_as_they_are_written(package: str) -> None:
    tree = ast.parse(packed(package, FILES / package))
    (modules,) = (node.value for node in tree.body if isinstance(node, ast.Assign))
    assert list(ast.literal_eval(modules)) == modules_of(package, FILES / package)


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("python", [sys.executable, "python3.9"])
def test_a_packed_program_loads_without_starting(package: str, python: str, tmp_path: Path) -> None:
    there = shutil.which(python) and subprocess.run([python, "-c", ""], check=False)
    if not there or there.returncode != 0:
        pytest.skip(f"no {python} here")
    (program := tmp_path / "program").write_text(packed(package, FILES / package))
    done = subprocess.run([python, "-IS", "-c", CHECK, program], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_client_is_the_same_program_on_the_controller(tmp_path: Path) -> None:
    (program := tmp_path / "herd-ask").write_text(packed("herd_ask", CLIENT))
    for arguments in (["--help"], [], ["nowhere", "1", "{}"]):
        here, there = (
            subprocess.run(
                [sys.executable, "-IS", one, *arguments], capture_output=True, check=False
            )
            for one in (CLIENT, program)
        )
        assert (here.returncode, here.stdout, here.stderr) == (
            there.returncode,
            there.stdout,
            there.stderr,
        )


def test_programs_of_nodes_need_python_3_9_and_its_standard_library_alone() -> None:
    own = {*PACKAGES, "__future__"}
    for path in sorted(FILES.rglob("*.py")):
        tree = ast.parse(path.read_text(), feature_version=(3, 9))
        imported = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                imported |= {one.name.partition(".")[0] for one in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).partition(".")[0])
        assert imported <= {*sys.stdlib_module_names, *own}, path


def test_what_the_node_cannot_load_does_not_take_the_place_of_what_it_has(tmp_path: Path) -> None:
    folder = write(tmp_path / "sick", __init__="", main="def main():\n    return (\n")
    (program := tmp_path / "program").write_text(packed("sick", folder))
    done = subprocess.run(
        [sys.executable, "-IS", "-c", CHECK, program], capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"SyntaxError" in done.stderr


def test_a_packed_program_runs_its_main_with_modules_imported_in_every_way(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "p",
        __init__="SIZE = 1\n",
        z="from p import SIZE\nWORD = r'\\d' + str(SIZE)\n",
        b="from p import (\n    z,\n)\nWORD = z.WORD\n",
        main="import sys\nfrom p.b import WORD\n\ndef main():\n    print(WORD, sys.argv[1:])\n",
        __main__="raise SystemExit(1)\n",
    )
    (program := tmp_path / "program").write_text(packed("p", folder))
    done = subprocess.run(
        [sys.executable, "-IS", program, "x"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "\\d1 ['x']\n"


def test_a_circle_of_modules_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "p", __init__="", a="from p.b import x\n", b="from p import a\n")
    with pytest.raises(CycleError):
        packed("p", folder)


def test_a_text_that_would_end_too_early_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "p", __init__="", main="WORD = '''x'''\n")
    with pytest.raises(ValueError, match=r"p\.main has"):
        packed("p", folder)
