"""What machines bring to a GPU is said as it was found, and nothing is said of software GPUs."""

from __future__ import annotations

import pandas as pd
import pytest

from analysis.answers.comparison import comparison_of
from analysis.cells.cells import cell_results
from analysis.cells.family import Claim
from analysis.cells.machines import Machines, machines_known
from analysis.cells.series import series_of
from analysis.charts.additions import addition_frame
from analysis.network.links import over_links
from analysis.sections import additions, sections_of
from analysis.study import Study, study_of
from analysis.text.wording import DASH, TIMES, within
from analysis.verdict.additions_text import addition_sentences
from collect.columns import NODES, NODES_ON_GPUS
from collect.questions import AnswerKey, Question
from tests.benchmarks.false_findings import Setting, simulate
from tests.doubles.asked import Asked, make_asked
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
from tests.unit.test_report_sections import pages_of


def sentences(study: Study) -> str:
    return " ".join((study.verdict.headline, *study.verdict.details))


def page_of(study: Study) -> str:
    return pages_of(list(sections_of(study)))[1]


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


def test_gpu_cells_that_all_failed_are_not_named_as_those_on_cpus() -> None:
    failed = {
        key: ["failed"] * 6 if key[1] == "gpu" else speeds for key, speeds in pc_and_pis().items()
    }
    (setup,) = study_of(*gpu_frames(failed, gpus={})).setups
    told = [one.machines for one in setup.additions]
    assert told[:2] == ["desk (device gpu)", "desk + 1 Raspberry Pi (device gpu)"]
    assert "desk" in told
    assert len(set(told)) == len(told)


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


def test_machines_of_several_kinds_have_the_section_without_a_gpu() -> None:
    outcomes = {(LLAMA, "cpu", CLUSTER, nodes): around(9.0 / nodes) for nodes in (1, 2)}
    run, tables = gpu_frames(outcomes)
    study = study_of(run, tables)
    assert study.verdict.headline.startswith("For stories15m (f32) with llama.cpp more nodes")
    text = " ".join(addition_sentences(*study.setups, within(0.03)))
    assert "desk alone makes 9.00" in text
    assert "Adding pi1 makes it 0.50" in text


def test_machines_of_one_kind_have_no_such_section() -> None:
    study = study_of(*make_frames({(LLAMA, n): around(9.0 * n) for n in (1, 2)}))
    assert study.setups == ()
    assert not list(additions.sections(study))


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


def test_its_figures_are_shown_and_called_software_in_every_section(software: Study) -> None:
    text = page_of(software)
    assert "The GPU of desk is software (llvmpipe" in text
    for section in text.split("\n## "):
        shows = "45.0" in section
        assert not shows or "software" in section, section[:60]
    rows = addition_frame(software.setups)
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


@pytest.mark.parametrize("gains", [{}, {0: 1.3}])
def test_simulated_additions_are_found_where_they_differ_and_only_there(
    gains: dict[int, float],
) -> None:
    found = simulate(Setting(1, 3, 6, gains=gains, rivals=True, is_setup=True), 20)
    assert (found.compared <= 2) is not bool(gains)
    assert (found.said <= 2) is not bool(gains)
    assert (found.found >= 19) is bool(gains)


def test_answers_of_a_software_gpu_are_checked_and_their_times_compared_with_none() -> None:
    keyed = [
        Question(id=f"q{n}", text="2 + 2?", topic="sums", key=AnswerKey(kind="numeric", value=4))
        for n in range(30)
    ]
    quick = {"text": "4", "ttft_ms": 20.0, "decode_ms": 190.0, "total_ms": 210.0}
    systems = [
        Asked("quick", [[quick] * 30]),
        Asked("slow", [["4"] * 30]),
        Asked("slower", [[{"text": "5", "total_ms": 9000.0}] * 30]),
    ]
    run, tables = make_asked(keyed, systems)
    attempts = tables.trials.loc[tables.trials["cell_id"] == "cell0", "attempt_id"]
    rows = [
        {"attempt_id": one, "node": "pi1", "gpu": SOFTWARE, "gpu_is_software": True}
        for one in attempts
    ]
    nodes = pd.DataFrame(rows, columns=[*NODES, *NODES_ON_GPUS])
    all_series = series_of(cell_results(run, tables.trials, nodes=nodes))
    found = comparison_of(run, tables, all_series)
    assert found is not None
    timed = [row.pair for row in found.family.rows if row.pair.what != "right by the key"]
    assert timed
    assert not [pair for pair in timed if "quick" in pair.numerator.name + pair.denominator.name]
    assert len([row for row in found.family.rows if row.pair.what == "right by the key"]) == 3
    assert "quick" not in found.sentences[0]
    own = found.traits[0]
    assert own.system == "quick, software GPU"
    told = " ".join(line.text for line in (*own.strengths, *own.to_improve))
    assert "soonest" not in told
    assert "fastest" not in told
    assert "Right more often than slower" in told


def test_a_link_of_a_software_gpu_has_a_speed_and_no_share() -> None:
    outcomes = {(LLAMA, 2, mbit): around(speed) for mbit, speed in ((1000, 20.0), (100, 5.0))}
    run, tables = make_frames(outcomes, axes=("engine", "nodes", "link_mbit"))
    rows = [
        {"attempt_id": one, "node": "pi1", "gpu": SOFTWARE, "gpu_is_software": True}
        for one in tables.trials["attempt_id"]
    ]
    nodes = pd.DataFrame(rows, columns=[*NODES, *NODES_ON_GPUS])
    found = over_links(series_of(cell_results(run, tables.trials, nodes=nodes)))
    assert list(found["value"]) == pytest.approx([20.0, 5.0], rel=0.01)
    assert found["against_fastest"].isna().all()
    assert set(found["series"]) == {"llama.cpp, software GPU"}
