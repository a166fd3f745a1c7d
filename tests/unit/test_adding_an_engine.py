"""The example of docs/adding-an-engine.md: written as the page prints it, it is a whole engine."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PAGE = PROJECT / "docs" / "adding-an-engine.md"
FILE = re.compile(r"^\*\*`([^`]+)`\*\*\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SOURCE = re.compile(r"^```(cpp|make)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMISED = {
    "experiments/engines/ringer.py",
    "collect/parsers/ringer.py",
    "roles/ringer/meta/main.yml",
    "roles/ringer/defaults/main.yml",
    "roles/ringer/meta/argument_specs.yml",
    "roles/ringer/tasks/main.yml",
    "docs/ringer.md",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the files that the page prints, and no other change."""
    copy = tmp_path_factory.mktemp("tree") / "project"
    left_out = shutil.ignore_patterns(
        ".git",
        ".venv",
        ".herd",
        ".ansible",
        "results",
        "reports",
        "__pycache__",
        ".*_cache",
        "site",
    )
    shutil.copytree(PROJECT, copy, symlinks=True, ignore=left_out)
    for name, text in FILE.findall(PAGE.read_text()):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text(text)
    return copy


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's program, built with the page's Makefile."""
    folder = tmp_path_factory.mktemp("source")
    for kind, text in SOURCE.findall(PAGE.read_text()):
        (folder / {"cpp": "ringer.cpp", "make": "Makefile"}[kind]).write_text(text)
    subprocess.run(["make", "-s", "ringer"], cwd=folder, check=True)
    return folder / "ringer"


@pytest.fixture(scope="module")
def told(tree: Path, program: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("measured")
    done = run(tree, "-m", "tests.doubles.added_engine", str(folder), str(program))
    assert done.returncode == 0, done.stderr
    account: dict[str, Any] = json.loads(done.stdout)
    return account


def run(tree: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", *words],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": "", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def ansible(tree: Path, program: str, *words: str) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *words],
        cwd=tree,
        env={**os.environ, "ANSIBLE_CACHE_PLUGIN": "memory"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_prints_the_promised_parts_and_nothing_else() -> None:
    printed = dict(FILE.findall(PAGE.read_text()))
    assert set(printed) == PROMISED
    written = "".join(text for name, text in printed.items() if name.endswith((".py", ".yml")))
    assert written.count("\n") < 150


def test_the_plan_lists_it_with_its_model_and_says_what_it_needs(told: dict[str, Any]) -> None:
    plan = "\n".join(told["plan"])
    assert "3 cells, 18 trials" in plan
    assert "Impossible" not in plan
    assert re.search(r"ringer: file of \d+ MiB, on any number of nodes up to 16", plan)
    assert re.search(r"ringer .* on 4 nodes: root \d+ / 4096 \(pi1\), worker", plan)


def test_what_a_bare_cluster_lacks_is_the_engine_on_all_nodes_and_the_model_on_the_root(
    told: dict[str, Any],
) -> None:
    engines, models = told["lacks"]
    assert engines == {"ringer": ["pi1", "pi2", "pi3", "pi4"]}
    assert models == [["pi1"]]


def test_a_run_measures_it_and_the_report_shows_how_it_scales(told: dict[str, Any]) -> None:
    with Path(told["report"]).with_name("cells.csv").open() as file:
        speeds = {row["nodes"]: float(row["tokens_per_s"]) for row in csv.DictReader(file)}
    assert told["counts"]["done"] == 18
    assert "ringer" in Path(told["report"]).read_text()
    # A token takes 4 ms, shared by the nodes; on a busy machine sleeping takes longer.
    assert all(0.4 < speed * 4 / int(nodes) / 1000 <= 1 for nodes, speed in speeds.items())


def test_ansible_the_firewall_and_the_helper_get_it(tree: Path) -> None:
    engines = json.loads(run(tree, "-m", "experiments.engines").stdout)
    (ringer,) = [engine for engine in engines if engine["name"] == "ringer"]
    assert ringer["ports"] == ["9100-9109"]
    assert "--make" in ringer["options"]
    tags = ansible(tree, "ansible-playbook", "-i", "localhost,", "provision.yml", "--list-tags")
    assert "ringer" in tags
    ports = ansible(
        tree,
        *("ansible", "-i", "localhost,", "localhost", "-c", "local", "-m", "debug"),
        *("-e", "@roles/node_base/defaults/main.yml", "-a", "var=node_base_engine_ports"),
    )
    assert "9100-9109" in ports
    assert "9990-9999" in ports


def test_the_playbook_with_its_role_is_well_formed(tree: Path) -> None:
    ansible(tree, "ansible-playbook", "-i", "localhost,", "provision.yml", "--syntax-check")
    spec = "{{ (lookup('file', 'roles/ringer/meta/argument_specs.yml') | from_yaml)"
    arguments = {
        "argument_spec": f"{spec}.argument_specs.main.options }}}}",
        "provided_arguments": {"ringer_repo": "/src", "ringer_version": "v1"},
    }
    tasks = [{"ansible.builtin.validate_argument_spec": arguments}]
    play = [{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]
    (tree / "role.yml").write_text(json.dumps(play))
    ansible(tree, "ansible-playbook", "-i", "localhost,", "-c", "local", "role.yml")


def test_the_check_of_all_engines_finds_nothing_that_it_lacks(tree: Path) -> None:
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "ringer")
    done = run(tree, *words, "tests/unit/test_engine_record.py")
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 3


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ("collect/parsers/ringer.py", "no parser"),
        ("roles/ringer/tasks/main.yml", "no role"),
        ("docs/ringer.md", "no page"),
    ],
)
def test_without_a_part_a_plan_is_refused_before_anything_runs(
    tree: Path, part: str, named: str
) -> None:
    (tree / part).rename(tree / "away")
    try:
        done = run(
            tree,
            "-c",
            "from experiments.planning.axes import axis_problems\n"
            "print(*axis_problems({'engine': ('ringer',)}))",
        )
    finally:
        (tree / "away").rename(tree / part)
    assert f"ringer is incomplete. It has {named} ({part})" in done.stdout
