"""Several deployments at once in a report: the speed of one user, and the tokens/s of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from analysis.cells.divisions import OF_ALL, division_frame, divisions_of
from analysis.charts.together import together_frame
from analysis.model.together import choices_of
from analysis.study import Study, study_of
from analysis.text.wording import DASH, TIMES
from core.record import Scalar
from tests.doubles.gpu_run import around
from tests.doubles.run_frames import Outcome, make_frames
from tests.doubles.shared_kinds import study_of_kind
from tests.unit.test_additions import page_of, sentences

LLAMA = "llama.cpp"
SUM = {"4x1": 3.9, "2x2": 2.0, "1x4": 1.0}
"""Tokens/s of all over those of one user."""


def divided(
    speeds: Mapping[str, Sequence[Outcome]],
    all_times: Mapping[str, float],
    overlap: float = 0.97,
    engine: str = LLAMA,
) -> Study:
    """A run of four nodes, divided in several ways."""

    def of_all(params: Mapping[str, Scalar]) -> float:
        return all_times[str(params["groups"])]

    run, tables = make_frames(
        {(engine, groups, 4): values for groups, values in speeds.items()},
        axes=("engine", "groups", "nodes"),
    )
    trials = tables.trials
    times = trials["groups"].map(all_times)
    trials["all_tokens_per_s"] = trials["decode_tokens_per_s"] * times
    trials["sum_tokens_per_s"] = trials["decode_tokens_per_s"] * times
    trials["slowest_tokens_per_s"] = trials["decode_tokens_per_s"]
    trials["all_overlap"] = overlap
    of_several = trials["groups"] != "1x4"
    for name in ("compute_ms_per_token", "sync_ms_per_token", "sent_kib_per_token"):
        trials[name] = trials[name].mask(of_several)
    return study_of(run, tables)


@pytest.fixture(scope="module")
def study() -> Study:
    return divided({"4x1": around(5.0), "2x2": around(6.0), "1x4": around(7.0)}, SUM)


def text(study: Study) -> str:
    return page_of(study).replace(DASH, "-").replace("\\", "")


def test_one_user_and_all_are_said_of_every_division(study: Study) -> None:
    said = text(study)
    assert "4 at once, each of 1 node: one user gets 5.00 (4.95-5.05) tokens/s, and all" in said
    assert "all together 19.5 (19.3-19.7) tokens/s" in said
    assert "1 deployment of 4 nodes: one user gets 7.00" in said


def test_divisions_are_compared_by_what_all_make_together(study: Study) -> None:
    said = text(study)
    four, two, one = (f"4 {TIMES} 1 node", f"2 {TIMES} 2 nodes", f"1 {TIMES} 4 nodes")
    assert f"All together, {four} make 1.62 (1.62-1.63) times the tokens/s of {two}." in said
    assert f"All together, {four} make 2.79 (2.79-2.79) times the tokens/s of {one}." in said
    found = [row for row in study.family.rows if row.pair.what == OF_ALL]
    assert len(found) == 3


def test_what_is_said_is_in_the_file(study: Study) -> None:
    frame = division_frame(divisions_of(study.on_nodes), study.on_nodes)
    assert frame["all"].round(1).tolist() == [19.5, 12.0, 7.0]
    assert frame["one_user"].round(2).tolist() == [5.0, 6.0, 7.0]
    assert frame["deployments"].tolist() == [4, 2, 1]


def test_rows_that_differ_in_another_axis_say_so() -> None:
    study = study_of_kind("machines and prompts and groups and noise")
    frame = division_frame(divisions_of(study.on_nodes), study.on_nodes)
    assert len(frame) > 1
    assert not frame[["model", "weights", "series", "groups"]].duplicated().any()
    assert "llama.cpp (desk+pi1+pi2, a prompt of 16 tokens)" in set(frame["series"])


def test_a_window_in_which_few_ran_together_is_said() -> None:
    speeds = {"4x1": around(5.0), "1x4": around(7.0)}
    assert "at the same time in only" not in text(divided(speeds, SUM))
    assert "all generated at the same time in 40 % of the window" in text(
        divided(speeds, SUM, overlap=0.4)
    )


def test_nothing_is_claimed_that_was_not_found() -> None:
    noisy = [3.0, 5.0, 4.0, 6.0, 3.5, 5.5]
    said = text(divided({"4x1": noisy, "1x4": noisy[::-1]}, {"4x1": 1.0, "1x4": 1.0}))
    assert "It is unclear whether" in said
    assert "make more tokens/s together" in said
    assert "All together, 4" not in said


def test_a_cell_without_figures_is_in_the_table_and_in_no_sentence() -> None:
    study = divided({"4x1": ["failed"] * 6, "1x4": around(7.0)}, SUM)
    assert "4 at once, each of 1 node: one user" not in text(study)
    assert division_frame(divisions_of(study.on_nodes), study.on_nodes)["all"].isna().tolist() == [
        True,
        False,
    ]


def test_divisions_are_no_series_over_nodes(study: Study) -> None:
    assert len(study.all_series) == 3
    assert "A user gets 5.00" in sentences(study)
    assert "odes decode" not in sentences(study)
    assert "not planned" not in text(study)
    assert "more nodes" not in sentences(study)


def test_of_deployments_that_were_at_work_one_after_another_no_sum_is_said() -> None:
    speeds = {"4x1": around(5.0), "2x2": around(6.0)}
    said = text(divided(speeds, SUM, overlap=0.0))
    assert "hardly generated at the same time (0 % of the window)" in said
    assert "All together" not in said
    assert "and all together" not in said
    caveat = "4 at once, each of 1 node and 2 at once, each of 2 nodes hardly generated at the same"
    assert caveat in said
    assert caveat not in text(divided(speeds, SUM))


def test_such_a_sum_is_in_no_table_chart_or_comparison_either() -> None:
    speeds = {"4x1": around(5.0), "2x2": around(6.0), "1x4": around(7.0)}
    study = divided(speeds, SUM, overlap=0.0)
    assert division_frame(divisions_of(study.on_nodes), study.on_nodes)["all"].isna().tolist() == [
        True, True, False,
    ]  # fmt: skip
    assert [row for row in study.family.rows if row.pair.what == OF_ALL] == []
    frame = together_frame(choices_of(study.on_nodes, study.family))
    assert frame.set_index("users")["all_tokens_per_s"].isna().to_dict() == {
        1: False, 2: True, 4: True,
    }  # fmt: skip


def test_of_several_at_once_the_report_blames_no_engine_for_what_it_does_not_keep() -> None:
    speeds = {"4x1": around(5.0), "2x2": around(6.0), "1x4": around(4.0)}
    said = text(divided(speeds, SUM, engine="distributed-llama"))
    assert "of several deployments at once, the report has speeds" in said
    assert "Not shown: several deployments at once" in said
    assert "the engine does not report" not in said
    assert "Not shown: distributed-llama" not in said
