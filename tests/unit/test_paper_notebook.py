"""The notebook of a paper draws what the CSV files next to it hold, without this toolkit."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import nbformat
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from analysis.paper.paper import data_of, files_of, paper_of
from analysis.study import study_of
from tests.doubles.run_frames import make_frames
from tests.doubles.shared_kinds import study_of_kind
from tests.unit.test_paper_latex import HOSTILE

DRAWN = ("laws", "named machines", "questions", "smart plugs", "GPU and Pis",
         "cost model", "noise", "prompt lengths", "fine-tuned, questions", "fine-tuned, speeds",
         "together or apart", "one trial", "links")  # fmt: skip
"""Kinds of run that have every chart among them."""
LIBRARIES = {"matplotlib", "numpy", "pandas"}


def drawn(axes: Axes) -> set[float]:
    """Every number that a chart shows: of its points, and of the lengths of its bars."""
    found: list[float] = []
    for line in axes.lines:
        for values in (line.get_xdata(orig=False), line.get_ydata(orig=False)):
            found += [float(value) for value in np.asarray(values)]
    found += [float(bar.get_width()) for bar in axes.patches if hasattr(bar, "get_width")]
    return {round(value, 6) for value in found if np.isfinite(value)}


@pytest.fixture(params=DRAWN)
def notebook(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Any]]:
    files = data_of(paper_of([study_of_kind(request.param)]), with_notebook=True)
    for name, content in files.items():
        (tmp_path / Path(name).name).write_bytes(content)
    yield tmp_path, nbformat.read(tmp_path / "charts.ipynb", as_version=4)
    plt.close("all")


def test_every_chart_is_drawn_with_the_numbers_of_its_file(
    notebook: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, read = notebook
    nbformat.validate(read)
    monkeypatch.chdir(folder)
    mpl.use("Agg")
    head, *cells = [cell.source for cell in read.cells if cell.cell_type == "code"]
    room: dict[str, Any] = {}
    exec(head, room)  # noqa: S102 - it is what a reader runs
    assert cells
    for cell in cells:
        exec(cell.replace("plt.show()", ""), room)  # noqa: S102 - as above
        data = room["data"]
        shown = {value for axes in plt.gcf().axes for value in drawn(axes)}
        rows = data[data["kind"] != "missing"] if "kind" in data else data
        column = quantity(cell)
        for name in column:
            wanted = {round(float(value), 6) for value in rows[name].dropna()}
            assert wanted <= shown, (cell, name)
        plt.close("all")


def test_korean_and_long_names_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {("llama.cpp", f"라마-모델-{'n' * 90}", n): [10.0 * n] * 6 for n in (1, 2, 4)}
    run, tables = make_frames(speeds, axes=("engine", "model", "nodes"))
    for name, content in files_of(paper_of([study_of(run, tables)]), with_notebook=True).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path / "data")
    mpl.use("Agg")
    room: dict[str, Any] = {}
    read = nbformat.read("charts.ipynb", as_version=4)
    with warnings.catch_warnings(), mpl.rc_context():
        warnings.simplefilter("error", UserWarning)
        for cell in (cell.source for cell in read.cells if cell.cell_type == "code"):
            exec(cell.replace("plt.show()", ""), room)  # noqa: S102 - it is what a reader runs
            for figure in map(plt.figure, plt.get_fignums()):
                figure.savefig("it.png")
            plt.close("all")


def quantity(cell: str) -> list[str]:
    """The columns that a cell's call draws: those among its arguments with numbers."""
    call = ast.parse(cell).body[1]
    assert isinstance(call, ast.Expr)
    assert isinstance(call.value, ast.Call)
    arguments = call.value.args
    function = call.value.func
    assert isinstance(function, ast.Name), "a chart of the toolkit has a recipe"
    place = {"over": 2, "in_rows": 2, "stacked": 2, "many": 2}[function.id]
    found = ast.literal_eval(arguments[place])
    return [found] if isinstance(found, str) else list(found)


def test_code_of_a_notebook_needs_pandas_and_matplotlib_alone(tmp_path: Path) -> None:
    study = study_of_kind("lab")
    title = "".join(HOSTILE)
    hostile = study.run.model_copy(update={"title": title})
    files = data_of(paper_of([replace(study, run=hostile)]), with_notebook=True)
    read = nbformat.reads(files["data/charts.ipynb"].decode(), as_version=4)
    code = "\n".join(cell.source for cell in read.cells if cell.cell_type == "code")
    imported = {
        name.name.partition(".")[0]
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Import)
        for name in node.names
    }
    assert imported - sys.stdlib_module_names == LIBRARIES
    assert not [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    assert "write18" not in code
    assert "write18" in read.cells[0].source
