"""A matrix says what to measure, and what is wrong with it by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import HerdError
from experiments.planning.matrix import Matrix, load_matrix
from tests.doubles.matrix_files import complaint, written
from verbs.matrices import matrix_of

GOOD = """\
title: Study
workload: {kind: benchmark, prompt_tokens: 8, generate_tokens: 16}
axes:
  engine: [distributed-llama, llama.cpp]
  model: [stories15m]
  nodes: [1, 2]
  net_turbo: [true, false]
  split_mode: [layer]
repeats: 3
"""


def test_cells_are_the_product_of_the_axes_that_their_engine_has(tmp_path: Path) -> None:
    cells = load_matrix(written(tmp_path, GOOD)).cells()

    told = [
        (c.engine, c.nodes, c.params.get("net_turbo"), c.params.get("split_mode")) for c in cells
    ]
    assert told == [
        ("distributed-llama", 1, True, None),
        ("distributed-llama", 1, False, None),
        ("distributed-llama", 2, True, None),
        ("distributed-llama", 2, False, None),
        ("llama.cpp", 1, None, "layer"),
        ("llama.cpp", 2, None, "layer"),
    ]


def test_an_axis_that_is_not_named_has_its_default(tmp_path: Path) -> None:
    (cell, *_) = load_matrix(written(tmp_path, GOOD)).cells()

    assert (cell.weights, cell.params["workers"], cell.params["threads"]) == ("f32", "fresh", 0)


def test_a_value_named_twice_is_one_cell(tmp_path: Path) -> None:
    matrix = load_matrix(written(tmp_path, GOOD)).override(nodes="2,2", engine="llama.cpp")

    assert [cell.nodes for cell in matrix.cells()] == [2]


def test_a_constraint_keeps_only_what_it_allows(tmp_path: Path) -> None:
    text = GOOD + "constraints:\n  - {when: {nodes: 1}, only: {net_turbo: false}}\n"

    cells = load_matrix(written(tmp_path, text)).cells()

    kept = [(c.nodes, c.params["net_turbo"]) for c in cells if c.engine == "distributed-llama"]
    assert kept == [(1, False), (2, True), (2, False)]
    assert sum(cell.engine == "llama.cpp" for cell in cells) == 2, "they lack the axis"


def test_constraints_that_leave_nothing_are_an_error(tmp_path: Path) -> None:
    text = GOOD + "constraints:\n  - {when: {model: stories15m}, only: {nodes: 7}}\n"

    with pytest.raises(HerdError, match="leave no cell"):
        load_matrix(written(tmp_path, text)).cells()


@pytest.mark.parametrize(
    ("good", "bad", "line", "wrong", "right"),
    [
        ("nodes: [1, 2]", "node: [1, 2]", 6, "unknown axis node", "did you mean nodes?"),
        ("llama.cpp]", "lama.cpp]", 4, "invalid value 'lama.cpp' for axis engine", "llama.cpp?"),
        (
            "nodes: [1, 2]",
            "nodes: [1, two]",
            6,
            "invalid value 'two' for axis nodes",
            "whole number",
        ),
        ("nodes: [1, 2]", "nodes: ~", 6, "invalid `axes.nodes`", "must be a word or a number"),
        ("nodes: [1, 2]", "nodes: [1, ~]", 6, "invalid `axes.nodes`", "a word or a number"),
        ("nodes: [1, 2]", "nodes: [0]", 6, "invalid value 0 for axis nodes", "at least 1"),
        ("nodes: [1, 2]", "nodes: []", 6, "invalid `axes.nodes`", "give at least 1."),
        ("nodes: [1, 2]", "nodes: [2001-01-01]", 6, "`axes.nodes`", "a word or a number"),
        ("nodes: [1, 2]", "nodes: [9007199254740993]", 6, "too large", "up to 9007199254740992"),
        ("nodes: [1, 2]", f"on: [{'pi1+' * 1200}pi1]", 6, "4803 characters", "at most 4000"),
        ("nodes: [1, 2]", "groups: [0x1]", 6, "`0x1` is read as 1", "or quotes around it"),
        ("[true, false]", "[1]", 7, "invalid value 1 for axis net_turbo", "true or false"),
        ("stories15m", "storis15m", 5, "storis15m", "stories15m"),
        ("repeats: 3", "repeets: 3", 9, "unknown key `repeets`", "`repeats`"),
        ("repeats: 3", "repeats: none", 9, "invalid `repeats`", "give a whole number"),
        ("prompt_tokens", "promt_tokens", 2, "unknown key `promt_tokens`", "`prompt_tokens`"),
        ("repeats: 3", "equivalence_margin: 3 %", 9, "invalid `equivalence_margin`", "0.03 is 3 %"),
        ("repeats: 3", "equivalence_margin: 0", 9, "(`0`)", "greater than 0"),
        ("repeats: 3", "equivalence_margin: 3", 9, "(`3`)", "less than or equal to 0.5"),
        ("repeats: 3", "title: Again", 9, "twice", "line 1"),
        ("repeats: 3", "flags: [--foo]", 9, "unknown key `flags`", "Known keys"),
        ("repeats: 3", "file: other.yml", 9, "unknown key `file`", "`title`"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_would_be_right(
    tmp_path: Path, good: str, bad: str, line: int, wrong: str, right: str
) -> None:
    message = complaint(tmp_path, GOOD.replace(good, bad, 1))

    assert f"study.yml, line {line}: " in message
    assert wrong in message
    assert right in message
    assert len(message.splitlines()) == 1, "one mistake is one line"


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    assert "`title` is missing" in complaint(tmp_path, GOOD.replace("title: Study\n", ""))


def test_what_is_not_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    assert "line 4" in complaint(tmp_path, GOOD.replace("engine: [distr", "engine: [ {distr"))


def test_a_missing_file_is_told() -> None:
    with pytest.raises(HerdError, match="No such file"):
        load_matrix(Path("nowhere.yml"))


def test_flags_override_axes_as_text(tmp_path: Path) -> None:
    matrix = load_matrix(written(tmp_path, GOOD)).override(
        nodes="1,2,4", axes={"net_turbo": "false"}, repeats="7", seed="9"
    )

    assert matrix.axes["nodes"] == (1, 2, 4)
    assert matrix.axes["net_turbo"] == (False,)
    assert (matrix.repeats, matrix.seed) == (7, 9)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"nodes": "1,x"}, "--nodes: invalid value 'x' for axis nodes"),
        ({"axes": {"net_trubo": "true"}}, "--set net_trubo: unknown axis net_trubo; did you mean"),
        ({"axes": {"qq": "1"}}, "--set qq: unknown axis qq. Known axes: "),
        ({"axes": {"workers": "warm"}}, "Allowed values: fresh, kept"),
        ({"axes": {"spans": "4to2"}}, "even, memory, layers of each node, such as 4-2"),
        ({"repeats": "0"}, "--repeats 0"),
        ({"repeats": "many"}, "--repeats many"),
    ],
)
def test_a_wrong_flag_is_told(tmp_path: Path, flags: dict[str, str], told: str) -> None:
    matrix = load_matrix(written(tmp_path, GOOD))

    with pytest.raises(HerdError) as caught:
        matrix.override(**flags)
    assert told in str(caught.value)


def test_the_matrices_that_come_with_the_toolkit_are_sound() -> None:
    folder = Path(__file__).resolve().parents[2] / "experiments" / "matrices"
    # Those need a model which a user trains first: see test_models_not_made.py.
    names = {path.name for path in folder.glob("*.yml")} - {"before_after.yml", "prompts.yml"}
    for path in (folder / name for name in sorted(names)):
        assert load_matrix(path).cells(), path
    assert isinstance(load_matrix(folder / "scaling.yml"), Matrix)


@pytest.mark.parametrize(
    ("axis", "value", "right"),
    [
        ("threads", 2**60, "give a number up to"),
        ("context", -(2**60), "give a number up to"),
        ("spans", "1-" * 3000 + "1", "give at most 1000 characters"),
        ("shares", "1-" * 3000 + "1", "give at most 1000 characters"),
    ],
)
def test_a_value_that_no_run_could_keep_is_refused(axis: str, value: object, right: str) -> None:
    matrix = Matrix(title="T")
    with pytest.raises(HerdError, match=right) as raised:
        matrix.override(axes={axis: str(value)})
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("repeats", "1e5", "give a whole number"),
        ("repeats", "0", "give 1 to 10000"),
        ("repeats", "10001", "give 1 to 10000"),
        ("repeats", "9" * 5000, "give a whole number"),
        ("seed", str(2**60), "give -9007199254740992 to"),
    ],
)
def test_a_number_of_a_flag_has_the_bounds_of_the_file(name: str, value: str, right: str) -> None:
    with pytest.raises(HerdError, match=right) as raised:
        Matrix(title="T").override(**{name: value})  # type: ignore[arg-type]
    assert len(str(raised.value)) < 150


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("until: 3%", "line 2: invalid `until`: a matrix does not say how long a run measures"),
        ("noise: maybe", "line 2: invalid `noise` (`maybe`): give true or false"),
        ("axes: {on: no}", "give a word. YAML reads plain yes, no, on and off as true and false"),
    ],
)
def test_what_belongs_elsewhere_or_is_read_as_something_else_is_named(
    tmp_path: Path, written: str, told: str
) -> None:
    path = tmp_path / "m.yml"
    path.write_text(f"title: T\n{written}\n")
    with pytest.raises(HerdError) as raised:
        load_matrix(path)
    assert told in str(raised.value)


@pytest.mark.parametrize("given", [["on=each", "on=first"], ["nodes=2"], ["on=each", " on =each"]])
def test_an_axis_that_flags_give_twice_is_refused(given: list[str]) -> None:
    """Or the first values would be left out without a word."""
    with pytest.raises(HerdError, match="is given twice"):
        matrix_of(None, given, {"nodes": "4"}, None, None)
