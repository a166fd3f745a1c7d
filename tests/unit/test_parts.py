"""A matrix with parts: several workloads, each with its repeats, planned and measured as one."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from collect.columns import TRIALS_OF_DOCUMENTS
from collect.load import load_run
from collect.run import RunManifest
from collect.tables import Tables, build_tables
from collect.workloads import Benchmark, Greedy
from core.errors import HerdError
from experiments.nodes.facts import ask_facts
from experiments.planning.compare import comparison
from experiments.planning.describe import describe
from experiments.planning.matrix import Matrix, load_matrix
from experiments.planning.plan import make_plan, plan_id
from tests.doubles.asked_run import make_asked_run
from tests.doubles.documents_run import documents_run
from tests.doubles.matrix_files import complaint, written
from tests.doubles.parts_run import make_parts_run
from tests.doubles.run_folder import make_run
from tests.doubles.scripted import GENERATED_TOKENS, PROMPT_TOKENS, ScriptedLauncher, cluster
from tests.doubles.scripted_run import matrix, run, world

GOOD = """\
title: Study
axes: {engine: [llama.cpp], nodes: [1, 2], split_mode: [layer]}
parts:
  speed:
    workload: {kind: benchmark, prompt_tokens: 8}
    repeats: 6
  texts:
    title: Greedy texts
    workload: {kind: greedy, prompts: [One day, The sun], text: Once upon a time}
    repeats: 3
"""


def two_parts() -> Matrix:
    """Two benchmarks that the scripted herd can run."""
    done = {"prompt_tokens": PROMPT_TOKENS, "generate_tokens": GENERATED_TOKENS}
    plain = matrix().model_dump(exclude={"workload", "repeats", "parts"})
    parts = {
        name: {"workload": {"kind": "benchmark", **done}, "repeats": repeats}
        for name, repeats in (("often", 2), ("once", 1))
    }
    axes = {**plain["axes"], "nodes": (1,)}
    changed = {"warmup": 0, "parts": parts, "axes": axes, "file": "scripted.yml"}
    return Matrix(**{**plain, **changed})


def test_every_part_has_every_cell_with_its_own_workload_and_repeats(tmp_path: Path) -> None:
    asked = load_matrix(written(tmp_path, GOOD))

    told = [(cell.params["part"], cell.nodes, type(cell.workload)) for cell in asked.cells()]
    assert told == [
        ("speed", 1, Benchmark), ("texts", 1, Greedy),
        ("speed", 2, Benchmark), ("texts", 2, Greedy),
    ]  # fmt: skip
    assert [asked.repeats_of(cell) for cell in asked.cells()] == [6, 3, 6, 3]
    assert list(asked.cells()[0].params)[:6] == [
        "engine", "model", "nodes", "weights", "workers", "part",
    ]  # fmt: skip


def test_a_constraint_may_limit_an_axis_to_some_parts(tmp_path: Path) -> None:
    text = GOOD + "constraints:\n  - {when: {part: texts}, only: {nodes: 1}}\n"

    told = [
        (cell.params["part"], cell.nodes) for cell in load_matrix(written(tmp_path, text)).cells()
    ]
    assert told == [("speed", 1), ("texts", 1), ("speed", 2)]


def test_the_command_line_may_choose_parts(tmp_path: Path) -> None:
    chosen = load_matrix(written(tmp_path, GOOD)).override(axes={"part": "speed"})

    assert {cell.params["part"] for cell in chosen.cells()} == {"speed"}
    with pytest.raises(HerdError, match="no part sped; its parts are speed, texts"):
        load_matrix(written(tmp_path, GOOD)).override(axes={"part": "sped"})
    with pytest.raises(HerdError, match="no part speed; it has no `parts`"):
        matrix().override(axes={"part": "speed"})


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        (("repeats: 3", "repeats: 4"), 10, "write `repeats: 3`"),
        (("title: Study", "workload: {kind: benchmark}\ntitle: Study"), 4, "either one `workload`"),
        (("title: Study", "repeats: 3\ntitle: Study"), 1, "each part has its own `repeats`"),
        (("  texts:", "  Texts:"), 7, "Texts"),
        (("title: Greedy texts", "titel: Greedy texts"), 8, "Did you mean `title`?"),
        (("axes: {", "axes: {part: [sped], "), 2, "has no part sped"),
        (
            ("parts:", "constraints:\n  - when: {part: sped}\n    only: {nodes: 1}\nparts:"),
            4,
            "has no part sped; its parts are speed, texts",
        ),
        (
            ("{kind: benchmark, prompt_tokens: 8}\n    repeats: 6",
             "{kind: greedy, prompts: [A], text: B}\n    repeats: 2"),
            9,
            "the part speed is greedy, too",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_parts_is_named_by_line(
    tmp_path: Path, change: tuple[str, str], line: int, said: str
) -> None:
    told = complaint(tmp_path, GOOD.replace(*change))

    assert f"study.yml, line {line}:" in told
    assert said in told


def test_questions_of_two_parts_must_have_different_ids(tmp_path: Path) -> None:
    asked = "{kind: questions, file: experiments/questions/six.yml}"
    parts = f"parts:\n  a: {{workload: {asked}}}\n  b:\n    workload: {asked}\n"

    told = complaint(tmp_path, GOOD.split("parts:", maxsplit=1)[0] + parts)

    assert "study.yml, line 6: the part a also has a question " in told


def test_repeats_of_the_command_line_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HerdError, match="each part of Study has its own repeats"):
        load_matrix(written(tmp_path, GOOD)).override(repeats=3)


def test_a_comparison_refuses_parts_by_name(tmp_path: Path) -> None:
    with pytest.raises(HerdError, match="it has `parts`, and a comparison asks the questions"):
        comparison(matrix=str(written(tmp_path, GOOD)))


def test_blocks_interleave_parts_and_end_where_their_repeats_do(tmp_path: Path) -> None:
    asked = ask_facts(cluster(1), ScriptedLauncher(world(tmp_path)))
    plan = make_plan(two_parts(), asked)

    names = {cell.cell_id: cell.params["part"] for cell in plan.cells}
    blocks = [(trial.block, names[trial.cell_id]) for trial in plan.trials]
    assert Counter(blocks) == Counter([(1, "often"), (1, "once"), (2, "often")])
    assert len(names) == 2, "cells of two parts with one workload are two cells"
    assert any("q4_0 fresh often" in line for line in describe(plan))


def test_another_workload_of_a_part_is_another_plan() -> None:
    asked, nodes = two_parts(), cluster(1)
    changed = asked.parts["once"].model_copy(update={"workload": Benchmark(prompt_tokens=9)})
    other = asked.model_copy(update={"parts": {**asked.parts, "once": changed}})
    titled = asked.parts["once"].model_copy(update={"title": "Another title"})
    same = asked.model_copy(update={"parts": {**asked.parts, "once": titled}})

    assert plan_id(asked, nodes) != plan_id(other, nodes)
    assert plan_id(asked, nodes) == plan_id(same, nodes)
    assert plan_id(asked, nodes) != plan_id(asked.override(axes={"part": "once"}), nodes)


def test_a_run_measures_all_parts_and_is_continued(tmp_path: Path) -> None:
    the_world = world(tmp_path)
    result = run(tmp_path, the_world, nodes=1, asked=two_parts())

    manifest = load_run(result.folder)
    assert manifest.workload is None
    assert {name: part.repeats for name, part in manifest.parts.items()} == {"often": 2, "once": 1}
    trials = build_tables(result.folder).trials
    assert sorted(trials["part"]) == ["often", "often", "once"]
    assert list(trials["state"]) == ["done"] * 3
    again = run(tmp_path, the_world, nodes=1, asked=two_parts())
    assert again.already_complete
    assert again.folder == result.folder


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose parts are a benchmark and questions."""
    folder = tmp_path_factory.mktemp("mixed")
    speed = make_run(folder, name="speed", nodes=(1, 2), repeats=2, failed=(), retried=())
    answers = {1: [{"why": "Because.", "sum": "4"}], 2: [{"why": "So.", "sum": "5"}]}
    asked = make_asked_run(folder, {"why": "Why?", "sum": "2+2?"}, answers)
    return make_parts_run(folder, {"speed": speed, "answers": asked})


def _rows(table: pd.DataFrame) -> pd.DataFrame:
    """A table without what depends on the other part."""
    table = table.drop(columns=["run", "order"], errors="ignore")
    keys = ("trial_id", "attempt_id", "index", "node", "question")
    return table.sort_values([key for key in keys if key in table], ignore_index=True)


def test_a_part_is_a_run_of_its_own(mixed: Path) -> None:
    whole, tables = load_run(mixed), build_tables(mixed)
    for name, alone in (("speed", "speed"), ("answers", "asked-20261124-120000")):
        part = whole.of_part(name)
        RunManifest.model_validate(dict(part))
        before, found = build_tables(mixed.parent / alone), tables.of_part(part)
        for table in ("trials", "tokens", "nodes", "attempts", "answers"):
            assert_frame_equal(_rows(getattr(found, table)), _rows(getattr(before, table)))
    with pytest.raises(KeyError):
        whole.of_part("none")


def test_only_a_part_that_scored_documents_has_their_columns() -> None:
    run, tables = documents_run()
    first = run.trials[0].trial_id
    empty = tables.trials.copy()
    for name in TRIALS_OF_DOCUMENTS:
        empty.loc[empty["trial_id"] == first, name] = pd.NA
    others = {table.name: empty[["trial_id"]] for table in fields(tables)}
    whole = Tables(**{**others, "trials": empty})

    scored = whole.of_part(run.model_copy(update={"trials": run.trials[1:]}))
    other = whole.of_part(run.model_copy(update={"trials": run.trials[:1]}))

    assert_frame_equal(scored.trials, empty[empty["trial_id"] != first].reset_index(drop=True))
    assert len(other.trials) == 1
    assert not set(other.trials) & set(TRIALS_OF_DOCUMENTS)


def test_the_column_workload_is_right_per_trial(mixed: Path) -> None:
    trials = build_tables(mixed).trials

    assert set(zip(trials["part"], trials["workload"], strict=True)) == {
        ("speed", "benchmark"), ("answers", "questions"),
    }  # fmt: skip


def test_a_record_of_a_run_has_a_workload_or_parts(mixed: Path) -> None:
    run = dict(load_run(mixed))

    with pytest.raises(ValueError, match="either a workload or parts"):
        RunManifest(**{**run, "workload": Benchmark()})
    with pytest.raises(ValueError, match="of a part that does not exist"):
        RunManifest(**{**run, "parts": {"speed": run["parts"]["speed"]}})
