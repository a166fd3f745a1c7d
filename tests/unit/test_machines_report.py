"""Cells that name their machines are series of their own, and no sentence makes steps of them."""

from __future__ import annotations

import pytest

from analysis.blocks import Charted
from analysis.cells.places import contests_of
from analysis.cells.scaling import places_of
from analysis.cells.series import Series
from analysis.charts import style
from analysis.charts.places import place_frame, two_lines
from analysis.sections import machines, sections_of
from analysis.study import Study, study_of
from analysis.text.wording import DASH
from analysis.verdict.places_text import place_sentences
from analysis.within import blocks_in
from tests.doubles.gpu_run import around
from tests.doubles.placed_run import LLAMA, each_and_roots, placed_frames
from tests.doubles.run_frames import Outcome
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

    rows = [row for row in study.family.rows if "in sum" not in row.pair.numerator.name]
    alone = [row for row in rows if "alone" in row.pair.numerator.name]
    assert len(alone) == len(rows) - len(alone) == 16 * 15 // 2
    assert len(study.family.rows) - len(rows) == 16, "the sum with each order of the machines"
    assert all("alone" in row.pair.denominator.name for row in alone)


# -- what is said about them


def told(study: Study) -> str:
    all_contests = contests_of(study.on_nodes, study.family)
    return " ".join(one for fleet in all_contests for one in place_sentences(fleet, "±3 %"))


def placed(speeds: dict[str, list[float]]) -> Study:
    outcomes = {(LLAMA, on, on.count("+") + 1): values for on, values in speeds.items()}
    names = tuple(dict.fromkeys(name for on in speeds for name in on.split("+")))
    return study_of(*placed_frames(outcomes, fleet=names))


def test_the_slowest_machine_and_the_best_root_are_named(study: Study) -> None:
    assert told(study).replace(DASH, "-") == (
        "For stories15m (f32) with llama.cpp, desk is the fastest of 3 machines alone, with 20.0 "
        "(19.8-20.2) tokens/s; pi2 is the slowest alone, with 2.00 (1.98-2.02) tokens/s: 0.10 "
        "(0.10-0.10) times the speed of desk. For stories15m (f32) with llama.cpp, the best of 3 "
        "roots of the same 3 machines is desk, with 7.00 (6.93-7.07) tokens/s: 1.75 (1.75-1.75) "
        "times the speed with pi2."
    )


def test_a_machine_that_was_measured_among_the_first_nodes_takes_part() -> None:
    first = {(LLAMA, "first", 1): around(20.0), (LLAMA, "pi1", 1): around(5.0)}
    said = told(study_of(*placed_frames(first)))
    assert "desk is the fastest of 2 machines alone" in said


def test_nothing_is_named_that_was_not_found() -> None:
    noisy = [3.0, 5.0, 4.0, 6.0, 3.5, 5.5]
    said = told(placed({"a": noisy, "b": noisy[::-1], "c": [*noisy[3:], *noisy[:3]]}))
    assert "no machine of 3 was found faster or slower alone than another" in said
    assert "fastest" not in said
    assert "slowest" not in said


def test_machines_of_the_same_speed_are_called_so() -> None:
    same = around(5.0)
    said = told(placed({"a": same, "b": [*same], "a+b": same, "b+a": [*same]}))
    assert "the 2 machines are equally fast alone, within ±3 %" in said
    assert "the 2 roots of the same 2 machines are equally fast, within ±3 %" in said


def test_two_slow_machines_are_both_named() -> None:
    noisy = [2.0, 2.3, 1.9, 2.2, 2.1, 2.4]
    said = told(placed({"a": around(9.0), "b": noisy, "c": noisy[::-1]}))
    assert "a is the fastest of 3 machines alone" in said
    assert "no machine alone was found slower than b (" in said
    assert " and c (" in said


def test_a_machine_that_was_compared_with_none_is_neither_fast_nor_slow() -> None:
    said = told(placed({"a": around(9.0), "b": around(5.0), "c": [7.0, 7.1]}))
    assert "a is the fastest of 2 machines alone" in said
    assert "b is the slowest alone" in said
    assert "fewer than 6 blocks are shared with c, so nothing can be found there" in said


def test_from_too_few_trials_nothing_is_found() -> None:
    said = told(placed({"a": [5.0, 5.1], "b": [2.0, 2.1]}))
    assert "no machine of 2 was found faster or slower alone than another" in said
    assert "with fewer than" in said


def test_a_machine_without_a_figure_is_shown_and_not_ranked() -> None:
    values: dict[str, list[Outcome]] = {
        "a": [*around(5.0)],
        "b": [*around(3.0)],
        "c": ["failed"] * 6,
    }
    outcomes = {(LLAMA, on, 1): speeds for on, speeds in values.items()}
    study = study_of(*placed_frames(outcomes, fleet=("a", "b", "c")))
    assert "of 2 machines alone" in told(study)
    frame = place_frame(contests_of(study.on_nodes, study.family))
    assert frame.loc[frame["machines"] == "c", "kind"].tolist() == ["missing"]


def test_orders_with_the_same_root_are_called_by_all_names() -> None:
    study = placed({"a+b+c": around(5.0), "a+c+b": around(3.0), "b+a+c": around(2.0)})
    assert "is a+b+c, with 5.00" in told(study)


def test_every_ratio_and_median_said_is_in_the_table(study: Study) -> None:
    frame = place_frame(contests_of(study.on_nodes, study.family))
    medians = frame[frame["kind"] == "median"].set_index("machines")
    assert medians["value"].round(2).to_dict() == {
        "desk": 20.0,
        "pi1": 5.0,
        "pi2": 2.0,
        "desk+pi1+pi2": 7.0,
        "pi1+desk+pi2": 6.0,
        "pi2+desk+pi1": 4.0,
    }
    assert medians.loc["pi2", "times_fastest"] == pytest.approx(0.1)
    assert medians.loc["pi2", "root"] == "pi2"


@pytest.mark.parametrize("name", ["$x$", "a|b", "<b>", "{n}", "*x*", "_1_"])
def test_odd_names_of_machines_are_text(name: str) -> None:
    study = placed({name: around(5.0), "b": around(2.0), f"{name}+b": around(3.0)})
    (section,) = machines.sections(study)
    assert f"{name} is the fastest of 2 machines alone" in told(study)
    assert section.blocks


def test_a_run_without_names_has_no_such_section() -> None:
    firsts = {(LLAMA, "first", n): around(speed) for n, speed in ((1, 20.0), (2, 9.0))}
    study = study_of(*placed_frames(firsts))
    assert list(machines.sections(study)) == []
    assert not any(isinstance(one, Series) and one.is_named for one in study.all_series)


def test_tables_of_charts_count_trials_in_whole_numbers(study: Study) -> None:
    made = [block for section in sections_of(study) for block in blocks_in(section)]
    tables = [block.table.table for block in made if isinstance(block, Charted)]
    counted = [
        row[table.columns.index("trials")].text
        for table in tables
        if "trials" in table.columns
        for row in table.rows
    ]
    assert counted
    assert set(counted) == {"6"}


def test_titles_of_the_chart_are_as_wide_as_it_is() -> None:
    made = "stories15m (f32) with llama.cpp (a prompt of 256 tokens): each machine alone"
    lines = two_lines(made).split("\n")
    assert " ".join(lines) == made
    assert max(map(len, lines)) <= style.TITLE_CHARACTERS


def test_of_a_long_name_the_title_keeps_its_end() -> None:
    model = "synthetic:dim=512,hidden=1536,layers=8,heads=8,kv_heads=8,vocab=4096,context=512"
    lines = two_lines(f"{model} (q4_0) with distributed-llama: each machine alone").split("\n")
    assert len(lines) == 2
    assert max(map(len, lines)) <= style.TITLE_CHARACTERS
    assert lines[0].startswith("synthetic:dim=512")
    assert lines[1].endswith("distributed-llama: each machine alone"[-25:])
    assert "…" in lines[1]
