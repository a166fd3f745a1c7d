"""The section on documents: bits per byte of each cell, and what more nodes change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.blocks import Tabled
from analysis.cells.documents import scored_cells
from analysis.sections.documents import sections
from analysis.study import study_of
from collect.workloads import Benchmark
from tests.doubles.documents_run import documents_run


def _shown(change: float = 0.0, count: int = 8) -> Tabled:
    (section,) = sections(study_of(*documents_run(change, count)))
    table = section.blocks[0]
    assert isinstance(table, Tabled)
    return table


def test_bits_per_byte_are_over_all_documents() -> None:
    run, tables = documents_run()
    one, two = scored_cells(run, study_of(run, tables).all_series)
    bits = sum((0.8 + 0.05 * place) * (99 if place == 0 else 100) for place in range(8))
    assert one.bits_per_byte == pytest.approx(bits / 799)
    assert (one.documents, one.size, one.tokens) == (8, 799, 239)
    assert one.low is not None
    assert one.high is not None
    assert one.low < one.bits_per_byte < one.high
    assert (one.largest_change, two.largest_change) == (None, 0.0)


def test_it_says_whether_more_nodes_change_something() -> None:
    assert any("no document by more than 0.001" in note for note in _shown().notes)
    assert any("by up to 0.20 (" in note for note in _shown(0.2).notes)


def test_what_has_no_probability_and_what_was_split_differently_is_said() -> None:
    told = " ".join(_shown().notes)
    assert "the first token of a text has no probability" in told
    assert "2 cells split some texts into other tokens" in told


def test_few_documents_have_no_interval() -> None:
    told = " ".join(_shown(count=5).notes)
    assert "no interval with fewer than 6 documents" in told
    assert "bootstrap" not in told


def test_the_headline_names_no_cell_as_the_best() -> None:
    """The one with the fewest bits may have them by chance."""
    alike = study_of(*documents_run()).verdict.headline
    assert alike == "2 cells need 0.975 bits per byte over 8 documents."
    apart = study_of(*documents_run(0.2)).verdict.headline
    assert apart.startswith("2 cells need 0.97")
    assert " to " in apart


def test_a_cell_that_lacks_documents_is_not_called_the_best() -> None:
    run, tables = documents_run()
    rows = tables.trials
    is_lost = (rows["nodes"] == 1) & (rows["repeat"] > 2)
    left = replace(tables, trials=rows.assign(state=rows["state"].mask(is_lost, "failed")))
    headline = study_of(run, left).verdict.headline
    assert "on two nodes needs 0.97" in headline
    assert "over 8 documents" in headline


def test_another_run_has_no_such_section() -> None:
    run, tables = documents_run()
    other = run.model_copy(update={"workload": Benchmark()})
    assert scored_cells(other, study_of(run, tables).all_series) == ()
