"""What a person forgets or mistypes in an engine's module: each is refused with one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import HerdError
from core.paths import PROJECT_FOLDER
from experiments.engines import parts
from experiments.engines.__main__ import engine_facts
from experiments.engines.engine import NodeEngine
from experiments.engines.found import engine_in

MODULE = """\
from experiments.engines.engine import NodeEngine


class Loop(NodeEngine):
    name = "loop"

    def memory(self, cell): ...
    def deploy(self, cell, cluster): ...


ENGINE = Loop()
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / f"engines_of_{tmp_path.name}".replace("-", "_")
    folder.mkdir()
    return folder


def test_a_module_that_ends_in_an_engine_is_one_and_others_are_not(package: Path) -> None:
    (package / "loop.py").write_text(MODULE)
    (package / "helper.py").write_text("def words() -> None: ...\n")

    engine = engine_in(package.name, "loop")
    assert engine is not None
    assert engine.name == "loop"
    assert engine_in(package.name, "helper") is None


@pytest.mark.parametrize(
    ("stem", "text", "told"),
    [
        ("loop", "import nothing_of_that_name\n" + MODULE, r"ModuleNotFoundError: .*\(loop.py:1\)"),
        ("loop", MODULE + "def f(:\n", "SyntaxError: invalid syntax .*line 12"),
        ("loop", MODULE.replace("memory", "memori"), "abstract .* memory"),
        ("loop", MODULE.replace("ENGINE = Loop()", "ENGINE = Loop"), r"`ENGINE = Loop\(\)`"),
        ("loop", MODULE.replace("ENGINE =", "ENGIN ="), r"`ENGINE = Loop\(\)`"),
        ("loop", MODULE.replace('    name = "loop"\n', ""), "needs a `name`"),
        ("loop", MODULE.replace('"loop"', '"Loop"'), "needs a `name` of small letters"),
        ("loop2", MODULE, "has the engine loop, which belongs in experiments/engines/loop.py"),
        ("llamacpp", MODULE.replace('"loop"', '"llama-cpp"'), "llama_cpp.py"),
    ],
)
def test_an_engine_that_could_not_be_found_is_refused(
    stem: str, text: str, told: str, package: Path
) -> None:
    (package / f"{stem}.py").write_text(text)

    with pytest.raises(HerdError, match=told) as refusal:
        engine_in(package.name, stem)

    assert str(refusal.value).startswith(f"experiments/engines/{stem}.py")


class Whole(NodeEngine):
    """An engine with all facts."""

    name = "whole"
    about = "an engine of a test"
    workloads = ("benchmark",)
    format = "gguf"
    ports = ("9000-9009", "9020")
    options = ("--model",)
    memory = deploy = None  # type: ignore[assignment]


def project(folder: Path, engine: NodeEngine) -> Path:
    for path in parts.parts(engine).values():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return folder


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("ports", "9000-9009"),
        ("ports", ("9009-9000",)),
        ("ports", ("70000",)),
        ("ports", (9000,)),
        ("options", "--model"),
        ("options", ("-m",)),
        ("flags", ("--Fast",)),
        ("texts", ["--prompt"]),
        ("workloads", "benchmark"),
        ("workloads", ("benchmarks",)),
        ("format", "ggml"),
        ("wish", "herd-petals"),
    ],
)
def test_a_fact_that_others_could_not_read_is_named(
    fact: str, value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parts.misstated(Whole()) is None
    monkeypatch.setattr(Whole, fact, value)

    told = str(parts.incomplete(Whole(), project(tmp_path, Whole())))
    assert f"`{fact}` in experiments/engines/whole.py must be" in told
    with pytest.raises(SystemExit, match=f"`{fact}`"):
        engine_facts(Whole())


def test_a_fact_that_is_not_stated_ends_the_list_for_ansible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(Whole, "ports")

    with pytest.raises(SystemExit, match="whole is incomplete: it does not state `ports`"):
        engine_facts(Whole())


def broken(_engine: object) -> None:
    raise ImportError("no module of that name")


@pytest.mark.parametrize(
    ("parser_of", "told"),
    [
        (lambda _engine: None, "collect/parsers/whole.py, does not end in an instance of `Parser`"),
        (broken, "collect/parsers/whole.py, cannot be loaded: ImportError: no module"),
    ],
)
def test_a_parser_that_would_read_no_log_is_refused_before_anything_runs(
    parser_of: object, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "parser_of", parser_of)

    assert told in str(parts.incomplete(Whole(), project(tmp_path, Whole())))


def test_a_verb_prints_the_sentence_and_no_traceback() -> None:
    """The module is loaded by a finder, so that no other test sees it."""
    program = (
        "import pkgutil, sys\n"
        "listed = pkgutil.iter_modules\n"
        "gone = pkgutil.ModuleInfo(None, 'gone', False)\n"
        "pkgutil.iter_modules = lambda *words: [*listed(*words), gone]\n"
        "sys.argv = ['fab', 'plan']\n"
        "import fabfile\n"
        "from fabric.main import program\n"
        "program.run()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT_FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "experiments/engines/gone.py cannot be loaded: ModuleNotFoundError" in done.stderr
    assert "Traceback" not in done.stderr
