"""Numbers of tokens as axes: planned, refused, measured and read as such."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from analysis.blocks import Prose, Section
from analysis.cells.family import Claim
from analysis.cells.prompt_lengths import lengths_of, positions_of
from analysis.report import write_report
from analysis.sections import prompt_lengths as section
from analysis.sections import sections_of
from analysis.study import Study, study_of
from analysis.within import blocks_in, charts_in, files_in
from collect.account import Account
from collect.cells import CellRecord
from collect.labels import cell_label
from collect.run import RUN_FILE, RunManifest
from collect.tables import tables_of
from collect.workloads import Benchmark
from core.errors import HerdError
from core.paths import PROJECT_FOLDER
from experiments.engines import ENGINES
from experiments.planning.manifest import run_manifest
from experiments.planning.matrix import Matrix, load_matrix
from experiments.planning.plan import make_plan
from tests.doubles.prompt_run import prompt_lengths
from tests.doubles.run_folder import make_run
from tests.doubles.run_frames import make_frames
from tests.doubles.run_kinds import DLLAMA, LLAMA
from tests.doubles.scripted_run import matrix, run, world
from tests.unit.test_engines import cluster
from tests.unit.test_identity import cluster as four_pis
from tests.unit.test_matrix import complaint, written

AXES = """\
title: Lengths
workload: {kind: benchmark, prompt_tokens: 8, generate_tokens: 16}
axes:
  engine: [distributed-llama, llama.cpp, petals]
  model: [tinyllama-1.1b]
  nodes: [1]
  prompt_tokens: [16, 1024]
repeats: 6
"""
WORKLOAD, REPEATS = AXES.splitlines(keepends=True)[1], AXES.splitlines(keepends=True)[-1]
PARTS = """\
parts:
  speed: {workload: {kind: benchmark}, repeats: 6}
  text: {workload: {kind: perplexity, text: experiments/texts/alice.txt}, repeats: 2}
"""


def with_parts(matrix: str) -> str:
    """The same matrix with a part of tokens and one of a text."""
    return matrix.replace(WORKLOAD, PARTS).replace(REPEATS, "")


def test_a_cell_has_the_number_of_its_axis_in_its_workload(tmp_path: Path) -> None:
    cells = load_matrix(written(tmp_path, AXES)).cells()

    assert [(c.engine, c.params["prompt_tokens"], c.workload) for c in cells] == [
        (engine, prompt, Benchmark(prompt_tokens=prompt, generate_tokens=16))
        for engine in ("distributed-llama", "llama.cpp", "petals")
        for prompt in (16, 1024)
    ]
    assert "generate_tokens" not in cells[0].params
    assert [cell.params.get("decode") for cell in cells[1:4]] == [
        None,
        "after_prompt",
        "after_prompt",
    ]


@pytest.mark.parametrize("engine", ["distributed-llama", "llama.cpp", "petals"])
def test_every_engine_is_started_with_the_numbers_of_its_cell(engine: str, tmp_path: Path) -> None:
    text = AXES.replace("prompt_tokens: [16, 1024]", "prompt_tokens: [16]\n  generate_tokens: [40]")
    cells = load_matrix(written(tmp_path, text)).override(engine=engine).cells()

    argv = ENGINES[engine].deploy(cells[0], cluster()).root.argv

    words = " ".join(argv)
    expected = {
        "distributed-llama": "--steps 55",
        "llama.cpp": "--n-prompt 16 --n-gen 40 --n-depth 0,16",
        "petals": "--prompt-tokens 16 --generate 40",
    }
    assert expected[engine] in words


OLD_ID = "dc852b621d"
"""What a cell with a prompt as an axis was called when llama.cpp generated from nothing."""
LLAMA_ALONE = AXES.replace("distributed-llama, llama.cpp, petals", "llama.cpp")


@pytest.mark.parametrize(
    ("text", "decodes", "has_depth"),
    [
        (LLAMA_ALONE, ["after_prompt"] * 2, True),
        (LLAMA_ALONE.replace("nodes:", "decode: from_empty\n  nodes:"), ["from_empty"] * 2, False),
        (LLAMA_ALONE.replace("prompt_tokens: [16, 1024]", ""), [None], False),
        (LLAMA_ALONE.replace("prompt_tokens: [16, 1024]", "generate_tokens: [8]"), [None], False),
        (
            LLAMA_ALONE.replace("prompt_tokens: [16, 1024]", "decode: [after_prompt]"),
            ["after_prompt"],
            True,
        ),
    ],
)
def test_only_cells_with_prompts_of_several_lengths_decode_after_them(
    tmp_path: Path, text: str, decodes: list[str | None], *, has_depth: bool
) -> None:
    cells = load_matrix(written(tmp_path, text)).cells()
    assert [cell.params.get("decode") for cell in cells] == decodes
    argv = ENGINES["llama.cpp"].deploy(cells[0], cluster()).root.argv
    assert ("--n-depth" in argv) is has_depth


def test_cells_that_decode_from_nothing_keep_the_ids_of_old_runs() -> None:
    axes = {"engine": ("llama.cpp",), "nodes": (1,), "prompt_tokens": (16,)}
    as_before = {**axes, "decode": ("from_empty",)}
    new, old = (
        make_plan(Matrix(title="x", axes=a), four_pis()).cells[0] for a in (axes, as_before)
    )
    assert new.cell_id != old.cell_id
    assert old.cell_id == OLD_ID
    assert "decode" not in cell_label(new.params)
    assert "decode from an empty context" in cell_label(old.params)


def test_a_part_without_a_benchmark_lacks_the_axis(tmp_path: Path) -> None:
    cells = load_matrix(written(tmp_path, with_parts(LLAMA_ALONE))).cells()
    by_part = [(cell.params["part"], cell.params.get("decode")) for cell in cells]
    assert by_part == [("speed", "after_prompt")] * 2 + [("text", None)]


def test_a_long_prompt_needs_room_for_what_follows_it() -> None:
    engine = ENGINES["llama.cpp"]
    found = [
        load.cells()[0]
        for load in (
            Matrix(title="x", axes={"engine": ("llama.cpp",), "decode": (how,)}).model_copy(
                update={"workload": Benchmark(prompt_tokens=1024, generate_tokens=100)}
            )
            for how in ("after_prompt", "from_empty")
        )
    ]
    assert [engine.tokens(cell) for cell in found] == [1124, 1024]
    assert engine.memory(found[0]).root_bytes > engine.memory(found[1]).root_bytes


def test_cells_that_differ_in_a_number_alone_are_other_cells_and_old_ones_stay() -> None:
    base = Matrix(title="x", axes={"nodes": (1,)})
    two = Matrix(title="x", axes={"nodes": (1,), "prompt_tokens": (16, 32)})
    ids = [cell.cell_id for cell in make_plan(two, four_pis()).cells]
    other = Matrix(
        title="x", workload=Benchmark(generate_tokens=65), axes={**two.axes, "nodes": (1,)}
    )

    assert len(set(ids)) == 2
    assert not set(ids) & {cell.cell_id for cell in make_plan(base, four_pis()).cells}
    assert not set(ids) & {cell.cell_id for cell in make_plan(other, four_pis()).cells}
    assert make_plan(base, four_pis()).plan_id != make_plan(two, four_pis()).plan_id


def test_a_prompt_beyond_the_context_cannot_run_and_the_others_can() -> None:
    named = Matrix(title="x", axes={"prompt_tokens": (16, 1024), "model": ("stories15m",)})
    short, long = make_plan(named, four_pis()).cells

    assert "1024" not in str(short.unavailable)
    assert "a context of 256 tokens here, but 1088 are requested" in str(long.unavailable)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("1", "line 7: axes prompt_tokens: invalid value 1 for axis prompt_tokens: give 2 to 4096"),
        ("5000", "invalid value 5000 for axis prompt_tokens: give 2 to 4096 tokens"),
        ("long", "invalid value 'long' for axis prompt_tokens: give a whole number"),
    ],
)
def test_a_number_that_a_benchmark_does_not_allow_is_refused_by_line(
    tmp_path: Path, value: str, told: str
) -> None:
    found = complaint(tmp_path, AXES.replace("[16, 1024]", f"[{value}]"))
    assert told.rpartition(": ")[2] in found
    assert "line 7" in found
    assert f"invalid value {value!r}".replace("'", "") in found.replace("'", "")


def test_another_workload_is_refused_by_name(tmp_path: Path) -> None:
    text = AXES.replace(
        "{kind: benchmark, prompt_tokens: 8, generate_tokens: 16}",
        "{kind: perplexity, text: experiments/texts/alice.txt}",
    )
    found = complaint(tmp_path, text)
    assert "the axis prompt_tokens is for the workload benchmark" in found
    assert "this matrix has perplexity" in found
    assert "line 7" in found
    fitting = text.replace("  prompt_tokens: [16, 1024]\n", "")
    with pytest.raises(HerdError, match="the axis generate_tokens is for the workload benchmark"):
        load_matrix(written(tmp_path, fitting)).override(axes={"generate_tokens": "16"})


def test_of_parts_only_benchmarks_have_the_axis(tmp_path: Path) -> None:
    alone = AXES.replace("[distributed-llama, llama.cpp, petals]", "[distributed-llama]")
    cells = load_matrix(written(tmp_path, with_parts(alone))).cells()

    told = [(c.params["part"], c.params.get("prompt_tokens")) for c in cells]
    assert told == [("speed", 16), ("speed", 1024), ("text", None)]


def test_a_run_knows_the_numbers_of_each_cell() -> None:
    named = Matrix(title="x", axes={"prompt_tokens": (16, 128)}, file="x.yml")
    manifest = run_manifest(make_plan(named, four_pis()), "x", (), "1")
    read = RunManifest.model_validate_json(manifest.model_dump_json())

    assert [read.workload_of(cell).prompt_tokens for cell in read.cells] == [16, 128]
    assert "a prompt of 128 tokens" in cell_label(read.cells[1].params)


def test_a_record_with_an_impossible_number_is_not_read() -> None:
    params = {"engine": "petals", "model": "m", "nodes": 1, "weights": "f32"}
    CellRecord(cell_id="a", params={**params, "prompt_tokens": 16}, identity={}, nodes=("pi1",))
    with pytest.raises(ValidationError, match="must be from 2 to 4096"):
        CellRecord(cell_id="a", params={**params, "prompt_tokens": 9999}, identity={}, nodes=("p",))


def test_the_table_keeps_what_was_asked_apart_from_what_was_read(tmp_path: Path) -> None:
    folder = make_run(tmp_path, nodes=(1,), failed=[])
    plan = json.loads((folder / RUN_FILE).read_text())
    for cell in plan["cells"]:
        cell["params"]["prompt_tokens"] = 32
    (folder / RUN_FILE).write_text(json.dumps(plan))

    trials = tables_of(Account.read(folder)).trials

    assert set(trials["asked_prompt_tokens"]) == {32}
    assert set(trials[trials["engine"] == DLLAMA]["prompt_tokens"].dropna()) == {31}


def test_the_ready_matrix_plans_all_lengths() -> None:
    cells = load_matrix(PROJECT_FOLDER / "experiments/matrices/prompt_length.yml").cells()
    assert {c.workload.prompt_tokens for c in cells} == {16, 256, 1024}
    assert {c.workload.generate_tokens for c in cells} == {128}


def made(study: Study) -> Section:
    (found,) = section.sections(study)
    return found


def said(found: Section) -> str:
    return " ".join(block.text for block in blocks_in(found) if isinstance(block, Prose))


def test_prefill_and_decode_are_scaled_apart() -> None:
    study = study_of(*prompt_lengths())
    (group,) = lengths_of(study.run, study.on_nodes, study.family)
    assert [(one.nodes, one.prompt) for one in group.cells] == [
        (nodes, prompt) for nodes in (1, 2) for prompt in (16, 256, 1024)
    ]
    last = group.cells[-1]
    assert last.decode_speed_up is not None
    assert last.decode_speed_up.value == pytest.approx((105.12 + 0.1) / (55.12 + 0.1), rel=1e-3)
    assert last.against_shortest is not None
    assert last.against_shortest.finding is Claim.SLOWER
    told = said(made(study))
    assert "decoding after a prompt of 1024 tokens is slower than after one of 16" in told
    assert "with a prompt of 1024 tokens: on two nodes prefill is at 1.9" in told
    assert "times as fast" not in told, "these ratios are in no comparison"


def test_a_longer_prompt_of_the_same_speed_is_called_the_same() -> None:
    study = study_of(*prompt_lengths(ms_per_1000=0.0))
    told = said(made(study))
    assert "as fast as after one of 16 within ±3 %" in told
    assert "slower" not in told


def test_the_head_names_all_lengths() -> None:
    head, *_ = sections_of(study_of(*prompt_lengths()))
    told = " ".join(block.text for block in blocks_in(head) if isinstance(block, Prose))
    assert "process a prompt of 16, 256 or 1024 tokens, then generate 64 tokens" in told
    assert "a prompt of 16 tokens on two nodes" in str(head.blocks)


def test_an_engine_that_generates_from_nothing_is_not_said_to_decode_after_a_prompt() -> None:
    study = study_of(*prompt_lengths(LLAMA))
    found = made(study)
    assert "generates from an empty context" in said(found)
    assert "decoding after a prompt" not in said(found)
    assert "decode-length" not in {chart.name for chart in charts_in([found])}


def test_the_slope_over_positions_is_that_of_the_tokens() -> None:
    study = study_of(*prompt_lengths(ms_per_1000=7.0))
    groups = lengths_of(study.run, study.on_nodes, study.family)
    for one in positions_of(groups, study.tables.tokens):
        assert one.slope.value == pytest.approx(7.0)
        assert (one.first, one.last) == (one.of.prompt, one.of.prompt + 63)


def test_the_interval_of_a_slope_is_over_trials_and_holds_the_truth() -> None:
    """Noise of single tokens and a state of each trial; 95 % intervals, 200 runs of 6 trials."""
    rng = np.random.default_rng(1)
    plan, tables = prompt_lengths(ms_per_1000=0.0)
    held = []
    for _ in range(34):
        states = rng.normal(0, 3, size=len(tables.trials))
        own = dict(zip(tables.trials["trial_id"], states, strict=True))
        index = tables.tokens["index"].to_numpy(float)
        slope = 4.0 + tables.tokens["trial_id"].map(own).to_numpy(float)
        noise = rng.normal(0, 0.05, size=len(index))
        tokens = tables.tokens.assign(total_ms=50 + slope * index / 1000 + noise)
        study = study_of(plan, tables)
        groups = lengths_of(study.run, study.on_nodes, study.family)
        held += [o.slope.low <= 4.0 <= o.slope.high for o in positions_of(groups, tokens)]
    assert 0.9 <= np.mean(held) <= 1.0


def test_a_slope_that_may_be_none_is_not_said_to_be_one() -> None:
    run, tables = prompt_lengths(ms_per_1000=0.0)
    noise = np.random.default_rng(2).normal(0, 1, size=len(tables.tokens))
    tokens = tables.tokens.assign(total_ms=50 + noise)
    told = said(made(study_of(run, replace(tables, tokens=tokens))))
    assert "it is unclear whether a token takes longer from position 16 to 79" in told
    assert "from position 16 to 79 a token takes" not in told
    assert "from position 16 to 79 a token takes" in said(made(study_of(*prompt_lengths())))


def test_every_figure_is_in_a_file() -> None:
    found = made(study_of(*prompt_lengths()))
    files = {file.stem: file.data for file in files_in([found])}
    assert set(files) == {"prompt-lengths", "position-slopes"}
    assert pd.api.types.is_float_dtype(files["position-slopes"]["ms_more_per_1000"])
    slower = files["prompt-lengths"].set_index(["nodes", "prompt_tokens"])
    assert slower.loc[(1, 1024), "decode_of_shortest_verdict"] == "slower"


def test_a_run_over_lengths_is_measured_continued_and_reported(tmp_path: Path) -> None:
    axes = {**matrix().axes, "nodes": (1,), "prompt_tokens": (16, 32)}
    asked = matrix(axes=axes, repeats=1)

    begun = run(tmp_path, world(tmp_path), asked=asked)
    again = run(tmp_path, world(tmp_path), asked=asked)

    assert begun.counts["done"] == 2
    assert again.folder == begun.folder
    page = write_report(begun.folder, tmp_path / "reports").index.read_text()
    assert "Prompt length and position" in page
    assert "process a prompt of 16 or 32 tokens" in page


def test_a_run_without_such_an_axis_has_no_such_section() -> None:
    assert not list(section.sections(study_of(*make_frames({(DLLAMA, 1): [10.0] * 6}))))
