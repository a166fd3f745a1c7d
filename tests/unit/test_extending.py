"""The examples of docs/extending.md: each is applied to a copy of the project, or run as it is."""

from __future__ import annotations

import http.server
import importlib.machinery
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from analysis.network import literature
from experiments.engines.llama_cpp import ENGINE
from experiments.planning.identity import canonical
from tests.doubles.serving import serving

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "extending.md").read_text()
PACKAGES = ("core", "models", "collect", "experiments")

PLAN = """
import json, sys
from pathlib import Path
from experiments.engines import ENGINES
from experiments.fleet.cluster import Cluster, Node
from experiments.planning.identity import canonical
from experiments.planning.matrix import load_matrix

matrix = load_matrix(Path(sys.argv[1]))
cluster = Cluster((Node("n1", "192.0.2.1", "192.0.2.1", cores=4, memory_mib=4096),))
cells = matrix.cells()
print(json.dumps([
    [cell.params, ENGINES[cell.engine].deploy(cell, cluster).root.argv, canonical(cell.params)]
    for cell in cells
]))
"""


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def block(title: str, language: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```", section(title), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def apply(change: str, project: Path) -> Path:
    """Change a file as a block of the page shows it; each place must be there, and only once."""
    head, *places = re.split(r"^@@.*\n", change, flags=re.MULTILINE)
    file = project / head.removeprefix("--- ").strip()
    text = file.read_text()
    for place in places:
        lines = place.splitlines(keepends=True)
        old = "".join(line[1:] or "\n" for line in lines if line[0] != "+")
        new = "".join(line[1:] or "\n" for line in lines if line[0] != "-")
        assert text.count(old) == 1, f"{file.name} has not once:\n{old}"
        text = text.replace(old, new)
    file.write_text(text)
    return file


def test_the_axis_is_planned_and_reaches_the_engine(tmp_path: Path) -> None:
    for name in PACKAGES:
        shutil.copytree(PROJECT / name, tmp_path / name)
    for name in ("roles", "docs"):  # engines are checked for their parts there
        (tmp_path / name).symlink_to(PROJECT / name)
    apply(block("An axis", "diff"), tmp_path)
    axes = yaml.safe_load(block("An axis", "yaml"))
    study = {"title": "Cache", "workload": {"kind": "benchmark"}, **axes}
    (tmp_path / "matrix.yml").write_text(yaml.safe_dump(study))

    argv = [sys.executable, "-c", PLAN, "matrix.yml"]
    done = subprocess.run(argv, cwd=tmp_path, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout)
    assert [params["cache_type_k"] for params, _, _ in cells] == ["f16", "q8_0"]
    for params, command, hashed in cells:
        before = {name: value for name, value in params.items() if name != "cache_type_k"}
        assert (hashed == canonical(before)) == (params["cache_type_k"] == "f16")
        assert command[command.index("--cache-type-k") + 1] == params["cache_type_k"]


def test_the_axis_needs_no_new_option_of_the_helper() -> None:
    assert "--cache-type-k" in ENGINE.options


def test_these_are_the_places_of_a_workload() -> None:
    """Every file that uses the record is listed, and every file that is listed knows the word."""
    listed = re.findall(r"^\| `([^`]+)` \|", section("A workload"), re.MULTILINE)
    users = {
        str(path.relative_to(PROJECT))
        for name in ("collect", "experiments")
        for path in (PROJECT / name).rglob("*.py")
        if re.search(
            r"\bPerplexity\b(?!\.)", re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL)
        )
    }
    assert users <= set(listed)
    assert [name for name in listed if "perplexity" not in (PROJECT / name).read_text()] == []


READ_PLUG = """
import sys
from experiments.fleet.plugs import read_plugs
from experiments.plugs.kinds import PlugReader

variables = {"ansible_host": "127.0.0.1", "plug_port": sys.argv[1], "plug_kind": "mystrom"}
(plug,) = read_plugs([{"name": "p", "variables": {**variables, "plug_nodes": ["n1"]}}], ["n1"])
reading = PlugReader(plug).read()
print(reading.watts, reading.counter_j)
"""


class Plug(http.server.BaseHTTPRequestHandler):
    """A plug with myStrom's answer."""

    def do_GET(self) -> None:
        assert self.path == "/report"
        told = {"power": 3.25, "Ws": 3.2, "relay": True, "energy_since_boot": 1234.5}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    def log_message(self, *args: object) -> None:
        """Print nothing."""


def test_another_kind_of_plug_is_read(tmp_path: Path) -> None:
    for name in PACKAGES:
        shutil.copytree(PROJECT / name, tmp_path / name)
    changes = re.findall(r"^```diff\n(.*?)^```", section("A power meter"), re.MULTILINE | re.DOTALL)
    for change in changes:
        apply(change, tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Plug) as server, serving(server):
        argv = [sys.executable, "-c", READ_PLUG, str(server.server_port)]
        done = subprocess.run(argv, cwd=tmp_path, check=False, capture_output=True, text=True)

    assert done.stdout == "3.25 1234.5\n", done.stderr


def test_a_published_table_stands_next_to_runs_of_its_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yml").write_text(block("A published table", "yaml"))
    tables = literature.load_publications(tmp_path)
    monkeypatch.setattr(literature, "load_publications", lambda: tables)

    shown = literature.published_timings(["llama.cpp"])

    assert list(shown["speed_up"]) == [1.0, 2.0]
    assert list(shown["sync_share"]) == [pytest.approx(0.5 / 120), pytest.approx(28 / 60)]


def test_the_fact_is_what_the_kernel_says(tmp_path: Path) -> None:
    change = block("A fact about machines", "diff")
    file = change.partition("\n")[0].removeprefix("--- ")
    (tmp_path / file).parent.mkdir(parents=True)
    shutil.copy(PROJECT / file, tmp_path / file)
    program = load(apply(change, tmp_path))
    driver = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver"
    driver.parent.mkdir(parents=True)
    driver.write_text("cpufreq-dt\n")

    program.ROOT = tmp_path  # type: ignore[attr-defined]

    assert program.processor()["frequency_driver"] == "cpufreq-dt"
    driver.unlink()
    assert program.processor()["frequency_driver"] is None


def load(program: Path) -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("node_facts_example", str(program))
    spec = importlib.util.spec_from_loader("node_facts_example", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_names_that_the_page_mentions_are_there() -> None:
    """Paths in running text; those in blocks are tried above."""
    text = re.sub(r"^```.*?^```", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    paths = set(re.findall(r"`((?:\w+/)+\w+\.(?:py|yml))`", text))
    assert len(paths) > 10
    assert [path for path in sorted(paths) if not (PROJECT / path).exists()] == []
