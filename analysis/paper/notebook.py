"""A Jupyter notebook that draws the charts of a paper from the CSV files next to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from analysis.charts.chart import Chart
from analysis.paper.recipes import FUNCTIONS, recipe
from analysis.text.markdown import escaped

NAME = "charts.ipynb"
LEAD = (
    "Every chart, drawn from the CSV file of its name with pandas and Matplotlib. Change what you "
    "like: the next `fab paper` leaves a changed notebook alone."
)
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


def notebook_of(title: str, charts: Mapping[str, Chart]) -> bytes:
    """Make the notebook. No code in it comes from outside: text from runs is in its headings.

    Args:
        title: of the paper.
        charts: stem of a CSV file to the chart that it is behind.
    """
    cells = [*_head(title), *(cell for stem, chart in charts.items() for cell in _of(stem, chart))]
    for place, cell in enumerate(cells):
        cell["id"] = f"cell-{place}"  # by itself it would be another one each time
    made = new_notebook(cells=cells, metadata=KERNEL)
    nbformat.validate(made)
    return str(nbformat.writes(made)).encode()


def _head(title: str) -> Iterator[NotebookNode]:
    yield new_markdown_cell(f"# {escaped(title)}\n\n{LEAD}")
    yield new_code_cell(FUNCTIONS)


def _of(stem: str, chart: Chart) -> Iterator[NotebookNode]:
    yield new_markdown_cell(f"## {escaped(chart.title)}\n\n{escaped(chart.understanding)}")
    yield new_code_cell(f'data = pd.read_csv("{stem}.csv")\n{recipe(stem)}\nplt.show()')
