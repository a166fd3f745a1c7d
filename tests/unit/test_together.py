"""Together or apart: what one user gets, what all users get, and what of it is only a sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.blocks import Prose, Section, Tabled
from analysis.cells.divisions import OF_ALL
from analysis.cells.family import Claim
from analysis.charts.together import labels_of
from analysis.model.together import choices_of, claim_of
from analysis.sections import divisions
from analysis.sections import together as section
from analysis.study import Study, study_of
from analysis.within import blocks_in, charts_in, files_in
from tests.doubles.gpu_run import around
from tests.doubles.placed_run import FLEET, LLAMA, placed_frames
from tests.doubles.run_frames import Outcome, make_frames
from tests.doubles.together_run import together_runs

FLEET_SPEEDS = {"desk": 20.0, "pi1": 5.0, "pi2": 4.0}


def alone(**changes: Sequence[Outcome]) -> dict[Any, Sequence[Outcome]]:
    speeds = {name: around(speed) for name, speed in FLEET_SPEEDS.items()} | changes
    return {(LLAMA, name, 1): told for name, told in speeds.items()}


def studied(outcomes: Mapping[Any, Sequence[Outcome]], **options: Any) -> Study:  # noqa: ANN401
    return study_of(*placed_frames(outcomes, fleet=FLEET, **options))


def made(study: Study) -> Section:
    (found,) = section.sections(study)
    return found


def said(study: Study) -> str:
    found = made(study)
    return " ".join(block.text for block in blocks_in(found) if isinstance(block, Prose))


def test_together_that_is_faster_than_every_machine_is_better_for_one_user() -> None:
    study = studied({**alone(), (LLAMA, "desk+pi1+pi2", 3): around(27.0)})
    told = said(study)
    assert (
        "For one user together is better: desk+pi1+pi2 is faster than each machine alone." in told
    )
    assert "the highest medians alone and together: desk 20.0" in told
    assert "lowest" not in told  # the section on machines says which is slow, if one was found so
    assert "desk, pi1 and pi2 apart, each with its own user: 29.0" in told
    assert "summed from cells that were measured one at a time" in told
    assert "From 3 users on" in told


def test_together_that_is_slower_than_a_machine_alone_is_worse_for_all() -> None:
    study = studied({**alone(), (LLAMA, "desk+pi1+pi2", 3): around(7.0)})
    told = said(study)
    assert "For one user a machine alone is better: desk is faster" in told
    assert "The sum of these machines alone is 4.1" in told
    assert "users on" not in told  # one machine alone does: that is told for one user


def test_what_cannot_be_told_apart_is_unclear_and_what_is_alike_the_same() -> None:
    noisy = [27.0, 14.0, 22.0, 15.0, 29.0, 19.0]
    study = studied({**alone(), (LLAMA, "desk+pi1+pi2", 3): noisy})
    assert "it is unclear whether together is better" in said(study)
    alike = {(LLAMA, "a", 1): around(10.0), (LLAMA, "b", 1): around(10.0),
             (LLAMA, "a+b", 2): around(10.0)}  # fmt: skip
    study = study_of(*placed_frames(alike, fleet=("a", "b")))
    assert "it makes no difference within ±3 %" in said(study)


def test_few_trials_support_no_verdict() -> None:
    few = {key: told[:3] for key, told in alone().items()}
    study = studied({**few, (LLAMA, "desk+pi1+pi2", 3): around(40.0)[:3]})
    told = said(study)
    assert "unclear whether together is better" in told
    assert "users on" not in told
    assert "It is unclear whether the sum of these machines alone is faster" in told
    assert "better:" not in told


def test_of_several_orders_the_fastest_is_compared_with_the_sum() -> None:
    orders = {"desk+pi1+pi2": 9.0, "pi2+desk+pi1": 12.0, "pi1+desk+pi2": 7.0}
    told = said(studied({**alone(), **{(LLAMA, on, 3): around(v) for on, v in orders.items()}}))
    assert "machines alone is 2.42" in told
    assert "times as fast as pi2+desk+pi1." in told
    assert "times as fast as desk+pi1+pi2" not in told


def test_virtual_nodes_of_one_machine_are_not_said_to_reach_a_sum() -> None:
    outcomes = {**alone(), (LLAMA, "desk+pi1+pi2", 3): around(7.0)}
    run, tables = placed_frames(outcomes, fleet=FLEET)
    nodes = {name: {**facts, "boot_id": "one"} for name, facts in run.nodes.items()}
    lab = study_of(run.model_copy(update={"nodes": nodes}), tables)
    notes = [
        note for block in blocks_in(made(lab)) if isinstance(block, Tabled) for note in block.notes
    ]
    assert any("virtual and share one machine" in note for note in notes)


def test_a_model_that_fits_no_machine_alone_leaves_together_alone() -> None:
    outcomes = {key: ["unavailable"] * 6 for key in alone()}
    study = studied({**outcomes, (LLAMA, "desk+pi1+pi2", 3): around(3.0)})
    told = said(study)
    assert "No machine can run stories15m (f32) with llama.cpp alone" in told
    assert "so together is the only way" in told
    assert "desk+pi1+pi2 3.0" in told
    assert "apart" not in told


def test_a_machine_that_cannot_run_it_serves_no_one() -> None:
    study = studied({**alone(pi2=["unavailable"] * 6), (LLAMA, "desk+pi1+pi2", 3): around(7.0)})
    told = said(study)
    assert "desk and pi1 apart, each with its own user: 25.0" in told
    assert "pi2 cannot run it alone" in told


def test_a_machine_that_was_not_measured_yet_makes_no_sum() -> None:
    study = studied({**alone(pi2=["pending"] * 6), (LLAMA, "desk+pi1+pi2", 3): around(7.0)})
    assert "in sum" not in said(study)
    assert "apart, each" not in said(study)


def test_a_run_over_nodes_of_one_list_has_no_such_section() -> None:
    study = study_of(*make_frames({(LLAMA, n): around(10.0 * n) for n in (1, 2, 4)}))
    assert not list(section.sections(study))


def test_the_comparison_of_a_sum_is_among_those_of_the_report() -> None:
    study = studied({**alone(), (LLAMA, "desk+pi1+pi2", 3): around(7.0)})
    rows = study.family.frame()
    (row,) = rows[rows["numerator"].str.contains("each alone, in sum")].to_dict("records")
    assert row["denominator"] == "desk+pi1+pi2"
    assert row["ratio"] == pytest.approx(29 / 7, rel=1e-3)
    assert row["verdict"] == "faster"


def test_every_figure_is_in_a_file() -> None:
    study = studied({**alone(), (LLAMA, "desk+pi1+pi2", 3): around(27.0)})
    found = made(study)
    (chart,) = charts_in([found])
    assert set(chart.data["kind"]) == {"alone", "together", "apart, summed"}
    (file,) = [file for file in files_in([found]) if file.stem == "users"]
    (row,) = file.data.to_dict("records")
    assert row["apart_tokens_per_s"] == pytest.approx(29.0, rel=0.01)
    assert row["apart_low"] < row["apart_tokens_per_s"] < row["apart_high"]
    assert (row["from_users"], row["machines"]) == (3, 3)
    assert row["apart_is"] == "summed"


def runs(
    rng: np.random.Generator, speeds: Mapping[str, float], cv: float
) -> dict[Any, list[float]]:
    names = {**{name: 1 for name in speeds if "+" not in name}}
    return {
        (LLAMA, name, names.get(name, name.count("+") + 1)): list(
            speed * np.exp(cv * rng.normal(size=6))
        )
        for name, speed in speeds.items()
    }


def test_the_interval_of_a_sum_holds_the_truth() -> None:
    rng, held = np.random.default_rng(1), []
    speeds = {**FLEET_SPEEDS, "desk+pi1+pi2": 12.0}
    for _ in range(150):
        study = studied(runs(rng, speeds, 0.05))
        (choice,) = choices_of(study.on_nodes, study.family)
        total = choice.matches[0].apart.total
        held.append(total.low <= 29.0 <= total.high)
    assert np.mean(held) >= 0.91


def test_equal_ways_are_rarely_called_better() -> None:
    """Two machines and both together make the same: one user cannot have it better."""
    rng, claims = np.random.default_rng(2), []
    for _ in range(150):
        study = study_of(
            *placed_frames(runs(rng, {"a": 10.0, "b": 10.0, "a+b": 10.0}, 0.04), fleet=("a", "b"))
        )
        (choice,) = choices_of(study.on_nodes, study.family)
        claims.append(claim_of(choice, study.family)[0] in (Claim.FASTER, Claim.SLOWER))
    assert np.mean(claims) <= 0.05


def test_deployments_measured_at_once_replace_the_sum() -> None:
    study = together_runs(at_once=22.0)
    told = said(study)
    assert "desk+pi1+pi2 as 3x1, measured at once: 22" in told
    assert "apart, each with its own user" not in told
    assert "in the middle" not in told  # told by the section on several at once
    assert "The sum of these machines alone is 1.32" in told
    assert "All users of desk+pi1+pi2 as 3x1 together are 1.83 (" in told
    assert "times as fast as desk+pi1+pi2." in told
    rows = study.family.frame()
    assert (rows["numerator"] == "all users of desk+pi1+pi2 as 3x1").sum() == 1


def test_deployments_at_once_need_no_machine_alone() -> None:
    outcomes = {(LLAMA, "", "1x2", 2): around(12.0), (LLAMA, "", "2x1", 2): around(9.0)}
    run, tables = make_frames(outcomes, axes=("engine", "on", "groups", "nodes"))
    several = tables.trials["groups"] == "2x1"
    trials = tables.trials.assign(
        sum_tokens_per_s=(2 * tables.trials["decode_tokens_per_s"]).where(several),
        all_overlap=1.0,
    )
    study = study_of(run, replace(tables, trials=trials))
    assert said(study) == ""  # the section on several at once says it
    (told,) = (section for section in divisions.sections(study))
    sentences = " ".join(block.text for block in blocks_in(told) if isinstance(block, Prose))
    assert "2 at once, each of 1 node: one user gets 9.00" in sentences
    assert "all together 18.0" in sentences
    assert "make 1.50 (1.50" in sentences
    rows = study.family.frame()
    assert rows["what"].tolist().count(OF_ALL) == 1
    assert not rows["numerator"].str.contains("all users").any()
    (chart,) = charts_in([made(study)])
    assert set(chart.data["kind"]) == {"together", "at once"}


def test_a_machine_that_failed_is_not_said_to_be_slower() -> None:
    study = studied({**alone(desk=["failed"] * 6), (LLAMA, "desk+pi1+pi2", 3): around(7.0)})
    told = said(study)
    assert (
        "For one user, of what was measured, together is better: desk+pi1+pi2 is faster than pi1 "
        "and pi2 alone. Not measured: desk." in told
    )
    assert "each machine alone" not in told


def test_one_machine_that_can_run_it_makes_no_sum() -> None:
    none = ["unavailable"] * 6
    study = studied({**alone(pi1=none, pi2=none), (LLAMA, "desk+pi1+pi2", 3): around(30.0)})
    told = said(study)
    assert "desk+pi1+pi2 is faster than desk alone." in told
    assert "sum of these machines" not in told
    assert "users" not in told


def test_from_how_many_users_on_does_not_contradict_what_one_user_gets() -> None:
    alike = {(LLAMA, "a", 1): [10.0, 10.01, 9.99, 10.0, 10.02, 9.98],
             (LLAMA, "b", 1): [9.99, 10.0, 10.01, 10.02, 9.98, 10.0],
             (LLAMA, "a+b", 2): [10.0, 9.99, 10.0, 9.98, 10.01, 10.02]}  # fmt: skip
    told = said(study_of(*placed_frames(alike, fleet=("a", "b"))))
    assert "it makes no difference" in told
    assert "From 2 users on at the latest, and from 1 on at the earliest" in told


def test_marks_that_touch_share_a_label_and_long_names_are_cut() -> None:
    rows = [
        {"kind": "alone", "machines": name, "all_tokens_per_s": x, "one_tokens_per_s": x}
        for name, x in (("desk", 10.0), ("pi1", 2.0), ("pi2", 2.1), ("a" * 50, 5.0))
    ]
    rows.append({"kind": "together", "machines": "pi1+pi2", "all_tokens_per_s": 2.0,
                 "one_tokens_per_s": 2.0})  # fmt: skip
    labels = [names for _, _, _, names in labels_of(pd.DataFrame(rows), 0.4, 0.4)]
    assert labels == ["desk", "pi1; pi2", "a" * 35 + "…", "pi1+pi2"]


def test_machines_alone_are_not_called_together() -> None:
    failed = {(LLAMA, "desk+pi1+pi2", 3): ["failed"] * 6}
    told = said(studied({**alone(), **failed}))
    assert "the highest median of a machine alone: desk 20.0" in told
    assert "together" not in told
