"""Cells that name their machines are series of their own, and no sentence makes steps of them."""

from __future__ import annotations

import pytest

from analysis.cells.scaling import places_of
from analysis.study import Study, study_of
from tests.doubles.gpu_run import around
from tests.doubles.placed_run import LLAMA, each_and_roots, placed_frames
from tests.unit.test_additions import page_of, sentences


@pytest.fixture(scope="module")
def study() -> Study:
    return study_of(*placed_frames(each_and_roots()))


def test_every_place_is_a_series_with_the_names_of_its_machines(study: Study) -> None:
    assert [series.label for series in study.all_series] == [
        "desk alone",
        "pi1 alone",
        "pi2 alone",
        "desk+pi1+pi2",
        "pi1+desk+pi2",
        "pi2+desk+pi1",
    ]
    assert all(series.is_named and len(series.cells) == 1 for series in study.all_series)


def test_fewer_nodes_of_named_machines_are_not_called_unplanned(study: Study) -> None:
    assert "Three nodes decode 7.00" in sentences(study)
    assert "not planned" not in page_of(study)
    assert "more nodes" not in sentences(study)


def test_named_machines_are_no_additions_to_each_other(study: Study) -> None:
    assert study.setups == ()
    assert "adding" not in page_of(study)


def test_the_first_nodes_stay_a_series_over_their_number() -> None:
    named = {
        key: told
        for key, told in each_and_roots().items()
        if key[1] not in ("desk", "desk+pi1+pi2")
    }
    firsts = {(LLAMA, "first", n): around(speed) for n, speed in ((1, 20.0), (2, 9.0), (3, 7.0))}
    study = study_of(*placed_frames({**firsts, **named}))

    first, *rest = study.all_series
    assert (first.label, len(first.cells), first.is_named) == ("the first nodes", 3, False)
    assert all(series.is_named for series in rest)
    assert [len(placed) for placed in places_of(study.all_series)] == [5]


def test_machines_and_roots_are_compared_even_where_rivals_are_too_many() -> None:
    names = tuple(f"m{n:02}" for n in range(16))
    outcomes = {(LLAMA, name, 1): around(5.0 + n) for n, name in enumerate(names)}
    for n, root in enumerate(names):
        others = (name for name in names if name != root)
        outcomes[LLAMA, "+".join((root, *others)), 16] = around(3.0 + n / 10)
    study = study_of(*placed_frames(outcomes, fleet=names))

    alone = [row for row in study.family.rows if "alone" in row.pair.numerator.name]
    assert len(alone) == len(study.family.rows) - len(alone) == 16 * 15 // 2
    assert all("alone" in row.pair.denominator.name for row in alone)
