"""Energy in the report: figures where every node counted, and why there are none elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.report import write_report
from collect.account import Account
from collect.attempt import ATTEMPT_FILE, load_attempt
from collect.run import RUN_FILE
from collect.tables import build_tables
from tests.doubles.asked_run import make_asked_run
from tests.doubles.run_folder import make_run
from tests.unit.test_energy import counting_world, run

WINDOW = "Counted from the start of the root's process to its end: this includes loading the model"


def energy_of(run_folder: Path) -> tuple[str, Path]:
    """The section of the report in Markdown, and the file beside it."""
    index = write_report(run_folder, run_folder.parents[1] / "reports").index
    markdown = (index.parent / "report.md").read_text()
    assert ('<section id="energy">' in index.read_text()) == ("## Energy" in markdown)
    _, _, section = markdown.partition("## Energy\n")
    return section.partition("\n## ")[0], index.parent / "energy.csv"


def test_cells_whose_nodes_all_count_have_joules_a_token(tmp_path: Path) -> None:
    result = run(tmp_path, counting_world(tmp_path))
    section, csv = energy_of(result.folder)

    trials = build_tables(result.folder).trials
    for nodes in (1, 2):
        done = trials[(trials["state"] == "done") & (trials["nodes"] == nodes)]
        median = done["energy_j_per_token"].median()
        row = next(
            line for line in section.splitlines() if f"| distributed-llama | {nodes} |" in line
        )
        assert f"| {median:.2f}"[:5] in row
        assert row.rstrip().endswith("| 2 | RAPL package-0 |")
    assert "J/answer" not in section
    assert WINDOW in section
    assert "Not measured" not in section
    assert csv.exists()


def test_why_a_node_does_not_count_is_told_once(tmp_path: Path) -> None:
    result = run(tmp_path, counting_world(tmp_path, "pi2", "pi3"))
    section, _ = energy_of(result.folder)
    assert "| distributed-llama | 1 |" in section
    assert "| distributed-llama | 2 |" not in section
    assert section.count("Not measured: pi2: it has none. How") == 1, "pi3 took part in nothing"


def test_nodes_of_one_machine_are_told(tmp_path: Path) -> None:
    result = run(tmp_path, counting_world(tmp_path, boot_id=lambda _node: "the same"))
    section, _ = energy_of(result.folder)
    assert (
        "Not measured: pi1 and pi2: virtual nodes on one machine, whose counters count" in section
    )


def test_a_run_from_before_says_nothing(tmp_path: Path) -> None:
    section, csv = energy_of(make_run(tmp_path / "results", engines=("llama.cpp",), nodes=(1,)))
    assert section == ""
    assert not csv.exists()


def test_the_share_of_gpus_is_named_as_that_and_is_no_energy_of_the_cell(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "results", engines=("llama.cpp",), nodes=(1, 2))
    for number, attempt in enumerate(sorted((folder / "attempts").iterdir())):
        record = load_attempt(attempt)
        (first, *others) = record.nodes
        gpu = {"index": 1}
        readings = record.model_dump(mode="json")["nodes"]
        readings[first] = {"before": {"gpu": gpu}, "after": {"gpu": gpu}}
        counted = {"NVML gpu-0": 7.0, "NVML gpu-1": 30.0 + number} if others else {"NVML gpu-1": 9}
        energy = {first: {"joules": counted, "window_s": 4.0}}
        made = {**record.model_dump(mode="json"), "nodes": readings, "energy": energy}
        (attempt / ATTEMPT_FILE).write_text(json.dumps(made))

    section, _ = energy_of(folder)

    assert "The GPUs' share" in section
    assert "J/token, median | W" not in section, "it is not the energy of the machines"
    assert "not in these figures" in section
    trials = build_tables(folder).trials
    done = trials[trials["state"] == "done"]
    assert done["energy_j"].isna().all()
    assert set(done[done["nodes"] == 1]["gpu_energy_j"]) == {9.0}
    assert (done[done["nodes"] == 2]["gpu_energy_j"] >= 30).all(), "of the GPU that computed"
    nodes = build_tables(folder).nodes
    assert nodes["gpu_energy_j"].notna().any()
    assert nodes["energy_j"].isna().all()


@pytest.mark.parametrize("fact", ["energy_counters", "energy_obstacle"])
def test_of_questions_joules_are_told_by_the_answer(tmp_path: Path, fact: str) -> None:
    folder = make_asked_run(
        tmp_path / "results", {"a": "A?", "b": "B?"}, {1: [{"a": "One.", "b": "Two."}] * 3}
    )
    plan = json.loads((folder / RUN_FILE).read_text())
    plan["nodes"]["ask1"] = {fact: "told"}
    (folder / RUN_FILE).write_text(json.dumps(plan))
    for attempt in (folder / "attempts").iterdir():
        record = load_attempt(attempt)
        energy = {"joules": {"RAPL package-0": 90.0, "NVML gpu-0": 30.0}, "window_s": 4.0}
        told = {"ask1": energy} if fact == "energy_counters" else {}
        made = {**record.model_dump(mode="json"), "energy": told}
        (attempt / ATTEMPT_FILE).write_text(json.dumps(made))

    section, _ = energy_of(folder)

    if fact == "energy_obstacle":
        assert section.strip().startswith("Not measured: ask1: told. How energy is measured")
        return
    (state, *_) = Account.read(folder).trials
    assert state.chosen is not None
    assert state.chosen.measurement is not None
    tokens = sum(answer.tokens for answer in state.chosen.measurement.answers)
    assert "| Series | Nodes | J/answer, median | J/token, median |" in section
    row = next(line for line in section.splitlines() if line.startswith("| llama.cpp | 1 |"))
    cells = [cell.strip() for cell in row.split("|")[3:-1]]
    assert cells[0] == "60.0"
    assert float(cells[1]) == pytest.approx(120 / tokens, rel=0.01)
    assert cells[4:] == ["120", "4.00", "30.0", "3", "RAPL package-0, NVML gpu-0"]
    assert "Counted from before the first question to after the last answer" in section
