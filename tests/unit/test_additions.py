"""What machines bring to a GPU is said as it was found, and nothing is said of software GPUs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis.cells.cells import cell_results, series_of
from analysis.cells.family import Claim
from analysis.cells.machines import Machines, machines_known
from analysis.report import compose
from analysis.study import Study, study_of
from analysis.text.wording import DASH, TIMES
from collect.run import RunManifest
from collect.tables import Tables
from tests.doubles.gpu_run import (
    CLUSTER,
    DLLAMA,
    HARDWARE,
    LLAMA,
    PC,
    PI_GROUP,
    SOFTWARE,
    around,
    gpu_frames,
    pc_and_pis,
)
from tests.doubles.run_frames import make_frames


def sentences(study: Study) -> str:
    return " ".join((study.verdict.headline, *study.verdict.details))


def page_of(run: RunManifest, tables: Tables, folder: Path) -> str:
    compose(run, tables, folder)
    return (folder / "report.md").read_text()


@pytest.fixture(scope="module")
def hardware() -> Study:
    return study_of(*gpu_frames(pc_and_pis()))


@pytest.fixture(scope="module")
def software() -> Study:
    return study_of(*gpu_frames(pc_and_pis(), gpus={PC: SOFTWARE}, software=[PC]))


def test_each_set_of_machines_is_named_by_what_it_is(hardware: Study) -> None:
    (setup,) = hardware.setups
    assert [one.machines for one in setup.additions] == [
        "desk (GPU)",
        "desk (GPU) + 1 Raspberry Pi",
        "desk (GPU) + 2 Raspberry Pis",
        "desk (GPU) + 4 Raspberry Pis",
        "desk (CPU)",
        "1 Raspberry Pi",
        "2 Raspberry Pis",
        "4 Raspberry Pis",
    ]


def test_two_models_of_raspberry_pis_are_told_apart() -> None:
    old = "Raspberry Pi 4 Model B Rev 1.4"
    run, tables = gpu_frames(pc_and_pis(), boards={"pi2": old, "pi3": "Raspberry Pi 400 Rev 1.0"})
    cells = cell_results(run, tables.trials, nodes=tables.nodes)
    machines = machines_known(run.nodes, cells)
    (four,) = (cell for cell in cells if cell.nodes == 4)
    told = machines.in_words(four)
    assert told == " + ".join(
        f"{n} {TIMES} Raspberry Pi {kind}" for n, kind in ((2, 5), (1, 4), (1, 400))
    )


def test_many_other_machines_are_counted() -> None:
    run, tables = make_frames({(LLAMA, 4): [10.0]})
    (cell,) = cell_results(run, tables.trials)
    assert Machines(run.nodes, {}).in_words(cell) == "4 machines"


def test_what_is_added_is_compared_with_the_base_and_with_the_set_before(hardware: Study) -> None:
    (setup,) = hardware.setups
    found = {one.machines: one for one in setup.additions}
    assert setup.base is found["desk (GPU)"]
    both = found["desk (GPU) + 2 Raspberry Pis"]
    assert both.against_base is not None
    assert both.against_before is not None
    assert (both.against_base.finding, both.added_to_base) == (Claim.SLOWER, "pi1 and pi2")
    assert (both.against_before.finding, both.added) == (Claim.SLOWER, "pi2")
    assert both.against_before.ratio is not None
    assert both.against_before.ratio.value == pytest.approx(13.2 / 14)
    alone = found["4 Raspberry Pis"]
    assert alone.against_base is not None
    assert alone.against_base.ratio is not None
    assert alone.against_base.ratio.value == pytest.approx(4.6 / 45)
    assert (alone.added, alone.added_to_base) == ("pi3 and pi4", "")


def test_the_headline_answers_whether_the_pis_help(hardware: Study) -> None:
    headline = hardware.verdict.headline
    assert headline.startswith("For stories15m (f32) with llama.cpp, desk (GPU) alone makes 45.0")
    assert f"adding pi1 makes it 0.31 (0.31{DASH}0.31) times as fast" in headline
    assert f"adding pi1 and pi2 makes it 0.29 (0.29{DASH}0.29) times as fast" in headline
    assert "4 Raspberry Pis are 0.10" in headline


def test_what_no_comparison_found_is_unclear_or_no_difference() -> None:
    noisy = [10.0, 60.0, 20.0, 55.0, 80.0, 15.0]
    outcomes = {
        (LLAMA, "gpu", CLUSTER, 1): around(45.0),
        (LLAMA, "gpu", CLUSTER, 2): noisy,
        (LLAMA, "gpu", CLUSTER, 3): around(45.2),
    }
    told = study_of(*gpu_frames(outcomes)).verdict.headline
    assert "it is unclear whether adding pi1 helps: between" in told
    assert "adding pi1 and pi2 changes nothing within ±3 %" in told


def test_with_too_few_trials_no_addition_is_called_faster_or_slower() -> None:
    outcomes = {
        (LLAMA, "gpu", CLUSTER, 1): around(45.0, 3),
        (LLAMA, "gpu", CLUSTER, 2): around(14.0, 3),
    }
    told = study_of(*gpu_frames(outcomes)).verdict.headline
    assert "it is unclear whether adding pi1 helps: at 0.31" in told


def test_a_gpu_that_failed_alone_is_no_base() -> None:
    outcomes = {**pc_and_pis(), (LLAMA, "gpu", CLUSTER, 1): ["failed"] * 6}
    (setup,) = study_of(*gpu_frames(outcomes)).setups
    assert setup.base is not None
    assert setup.base.machines == "desk (GPU) + 1 Raspberry Pi"


def test_each_engine_has_its_own_base() -> None:
    study = study_of(*gpu_frames({**pc_and_pis(), **pc_and_pis(DLLAMA)}))
    assert [setup.label for setup in study.setups] == [LLAMA, DLLAMA]
    headline = study.verdict.headline
    assert headline.count("desk (GPU) alone makes") == 2
    assert "Raspberry Pis" not in headline


def test_machines_of_several_kinds_have_the_section_without_a_gpu(tmp_path: Path) -> None:
    outcomes = {(LLAMA, "cpu", CLUSTER, nodes): around(9.0 / nodes) for nodes in (1, 2)}
    run, tables = gpu_frames(outcomes)
    study = study_of(run, tables)
    assert study.verdict.headline.startswith("For stories15m (f32) with llama.cpp more nodes")
    text = page_of(run, tables, tmp_path)
    assert "desk alone makes 9.00" in text
    assert "Adding pi1 makes it 0.50" in text


def test_machines_of_one_kind_have_no_such_section(tmp_path: Path) -> None:
    run, tables = make_frames({(LLAMA, n): around(9.0 * n) for n in (1, 2)})
    assert "What each addition brings" not in page_of(run, tables, tmp_path)
    assert not (tmp_path / "sets-of-machines.csv").exists()


def test_no_comparison_has_a_software_gpu_on_either_side(software: Study) -> None:
    sides = [
        side for row in software.family.rows for side in (row.pair.numerator, row.pair.denominator)
    ]
    on_gpu = {cell.record.cell_id for cell in software.cells if cell.software}
    assert len(on_gpu) == 3
    assert sides
    assert not {side.key for side in sides} & on_gpu
    measured = [
        cell.record.cell_id for s in software.scalings for cell in (p.cell for p in s.points)
    ]
    assert not set(measured) & on_gpu


def test_no_sentence_has_the_speed_of_a_software_gpu(software: Study) -> None:
    told = sentences(software)
    for figure in ("45.0", "14.0", "13.2"):
        assert figure not in told
    assert "desk (CPU)" not in software.verdict.headline


def test_its_figures_are_shown_and_called_software_in_every_section(tmp_path: Path) -> None:
    text = page_of(*gpu_frames(pc_and_pis(), gpus={PC: SOFTWARE}, software=[PC]), tmp_path)
    assert "The GPU of desk is software (llvmpipe" in text
    for section in text.split("\n## "):
        shows = "45.0" in section
        assert not shows or "software" in section, section[:60]
    rows = pd.read_csv(tmp_path / "sets-of-machines.csv")
    ours = rows[(rows["kind"] == "median") & rows["machines"].str.contains("software GPU")]
    assert list(ours["value"]) == pytest.approx([45.0, 14.0, 13.2], rel=1e-3)
    assert ours[["of_base", "of_before"]].isna().all(axis=None)


def test_where_every_gpu_is_software_no_speed_is_compared() -> None:
    outcomes = {(LLAMA, "gpu", CLUSTER, nodes): around(9.0) for nodes in (1, 2)}
    study = study_of(*gpu_frames(outcomes, gpus={PC: SOFTWARE}, software=[PC]))
    assert study.verdict.headline.startswith("No speed was compared: every cell")
    assert not study.family.rows
    assert study.all_series[0].label == "llama.cpp, software GPU"


def test_a_series_with_both_kinds_names_the_node_with_the_software() -> None:
    outcomes = {(LLAMA, "gpu", CLUSTER, nodes): around(9.0) for nodes in (1, 2, 3)}
    gpus = {PC: HARDWARE, "pi1": SOFTWARE}
    study = study_of(*gpu_frames(outcomes, gpus=gpus, software=["pi1"]))
    (series,) = study.all_series
    assert series.label == "llama.cpp, GPU (software on pi1)"
    assert [bool(cell.software) for cell in series.cells] == [False, True, True]
    assert len(study.family.rows) == 0


def test_labels_name_device_and_group_only_where_they_differ() -> None:
    outcomes = {(LLAMA, "gpu", CLUSTER, 1): around(9.0), (LLAMA, "cpu", CLUSTER, 1): around(3.0)}
    run, tables = gpu_frames(outcomes)
    found = series_of(cell_results(run, tables.trials, nodes=tables.nodes))
    assert [one.label for one in found] == ["GPU", "CPU"]
    run, tables = gpu_frames({(LLAMA, "cpu", PI_GROUP, 1): around(3.0)})
    assert [one.label for one in series_of(cell_results(run, tables.trials))] == [LLAMA]
