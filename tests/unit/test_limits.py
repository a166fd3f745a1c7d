"""What limits an engine, what it is good at, what would help: on runs whose truth is known."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from analysis.blocks import Tabled
from analysis.limits.assessment import COLUMNS, Assessment, Kind, Source
from analysis.limits.limits import TOO_LITTLE
from analysis.sections.limits import sections
from analysis.study import Study, study_of
from analysis.verdict.fastest import fastest_clauses, fastest_of
from analysis.verdict.summary import key_figures
from analysis.what_if.basis import Basis
from analysis.what_if.gains import (
    LATENCY,
    LINK,
    MEMORY,
    OF_COMPUTING,
    WAITING,
    gains_of,
    starting_from,
)
from analysis.within import blocks_in, files_in
from experiments.engines import common
from experiments.fleet.cluster import Node
from models.memory import NodeMemory
from models.shape import Weights
from tests.doubles.limit_rows import from_row
from tests.doubles.placed_run import each_and_roots, placed_frames
from tests.doubles.predicted_run import MODEL, SMALL, a_machine, predicted_study
from tests.doubles.run_frames import Outcomes, make_frames
from tests.doubles.shared_kinds import ALL_KINDS, sections_of_kind, study_of_kind
from tests.unit.test_scaling import steady

DLLAMA, LLAMA = "distributed-llama", "llama.cpp"


def findings(study: Study) -> list[Assessment]:
    """Those of a study, as its CSV file has them."""
    files = [file for file in files_in(sections(study)) if file.stem == "limits"]
    text = "".join(file.data.to_csv(index=False) for file in files)
    return [from_row(row) for row in _rows(text)] if text else []


def _rows(text: str) -> list[dict[str, Any]]:
    return pd.read_csv(io.StringIO(text), keep_default_na=True).to_dict("records")


def of(outcomes: Outcomes, **options: Any) -> list[Assessment]:  # noqa: ANN401 - handed on
    return findings(study_of(*make_frames(outcomes, **options)))


def named(found: list[Assessment], what: str) -> list[Assessment]:
    return [one for one in found if one.what == what]


def _of_each_part(study: Study) -> Iterator[Study]:
    yield from study.parts.values() or [study]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_each_sentence_is_derived_again_from_its_row(kind: str) -> None:
    """What the page says is what the file says: nothing of a sentence comes from elsewhere."""
    for study in _of_each_part(study_of_kind(kind)):
        made = list(sections(study))
        said = [
            row[1].text
            for section in made
            for block in blocks_in(section)
            if isinstance(block, Tabled)
            for row in block.table.rows
        ]
        files = [file for file in files_in(made) if file.stem == "limits"]
        rows = [row for file in files for row in _rows(file.data.to_csv(index=False))]
        assert said == [row["sentence"] for row in rows]
        assert said == [from_row(row).sentence for row in rows]
        assert all(list(file.data.columns) == list(COLUMNS) for file in files)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_each_link_leads_to_a_place_of_the_page(kind: str) -> None:
    made = sections_of_kind(kind)
    anchors = {section.anchor for section in made}
    links = [
        cell.anchor
        for section in made
        if section.anchor.endswith("limits")
        for block in blocks_in(section)
        if isinstance(block, Tabled)
        for row in block.table.rows
        for cell in row
        if cell.anchor
    ]
    assert set(links) <= anchors


@pytest.mark.parametrize(
    ("share", "limit"), [(0.1, "computing"), (0.8, "waiting"), (None, "unknown")]
)
def test_what_takes_most_of_a_token_limits_it(share: float | None, limit: str) -> None:
    found = of({(DLLAMA, 1): steady(10), (DLLAMA, 4): steady(20)}, sync_share=share)
    (one,) = [row for row in found if row.kind is Kind.LIMIT]
    assert one.what == limit
    if share is not None:
        assert one.value == pytest.approx(share)
        (bound,) = named(found, "no waiting")
        assert bound.value == pytest.approx(1 / (1 - share))
        assert bound.source is Source.BOUND
    else:
        assert one.source is Source.NOT_MEASURED
        assert not named(found, "no waiting")


def test_bounds_that_rounding_leaves_open_name_both() -> None:
    ends = {"sync_share_low": 0.4, "sync_share_high": 0.6}
    found = of({(DLLAMA, 1): steady(10), (DLLAMA, 2): steady(15)}, columns=ends)
    assert named(found, "computing and waiting")[0].sentence.count("40 to 60 %") == 1
    far = {"sync_share_low": 0.05, "sync_share_high": 0.9}
    found = of({(DLLAMA, 1): steady(10), (DLLAMA, 2): steady(15)}, columns=far)
    assert named(found, "unknown share")
    assert not named(found, "no waiting")


def test_fewer_nodes_help_only_where_more_were_found_slower() -> None:
    turned = {(DLLAMA, n): steady(v) for n, v in ((1, 100), (2, 170), (4, 85))}
    (one,) = named(of(turned), "nodes")
    assert (one.subject, one.other) == ("two nodes", "four nodes")
    assert one.value == pytest.approx(2.0)
    assert one.low <= 2.0 <= one.high
    level = {(DLLAMA, n): steady(v) for n, v in ((1, 100), (2, 170), (4, 169))}
    assert not named(of(level), "nodes")
    few = {(DLLAMA, n): steady(v, 5) for n, v in ((1, 100), (2, 170), (4, 85))}
    assert not named(of(few), "nodes")


def test_a_setting_helps_only_where_nothing_else_differs() -> None:
    axes = ("engine", "nodes", "net_turbo", "threads")
    outcomes: Outcomes = {
        (DLLAMA, 2, False, 0): steady(100),
        (DLLAMA, 2, True, 0): steady(10),
        (DLLAMA, 2, True, 2): steady(9),
    }
    found = named(of(outcomes, axes=axes), "setting")
    assert [(one.subject, one.other) for one in found] == [
        ("net-turbo off", "net-turbo on on two nodes"),
        ("all cores", "2 threads on two nodes"),
    ]
    assert found[0].value == pytest.approx(10.0)


def test_an_engine_is_compared_at_its_best_with_the_same_model_and_weights() -> None:
    axes = ("engine", "nodes", "weights")
    outcomes: Outcomes = {
        (DLLAMA, 1, "f32"): steady(10),
        (LLAMA, 1, "f32"): steady(20),
        (LLAMA, 1, "q4_0"): steady(80),
    }
    (one,) = named(of(outcomes, axes=axes), "engine")
    assert one.engine == DLLAMA
    assert one.value == pytest.approx(2.0)
    assert one.subject.startswith(f"{LLAMA} on one node")


def test_a_faster_link_is_told_by_comparison_of_the_same_cell() -> None:
    axes = ("engine", "nodes", "link_mbit", "link_delay_ms")
    outcomes: Outcomes = {(DLLAMA, 2, 1000, 0): steady(100), (DLLAMA, 2, 100, 0): steady(40)}
    (one,) = named(of(outcomes, axes=axes), "link")
    assert one.value == pytest.approx(2.5)
    assert (one.subject, one.other) == (
        "1000 Mbit/s, no delay",
        "100 Mbit/s, no delay on two nodes",
    )


def test_prefill_limits_it_where_it_takes_most_of_the_time() -> None:
    slow = {"prompt_ms": 900.0, "decode_ms": 100.0}
    (one,) = named(of({(DLLAMA, 1): steady(10)}, columns=slow), "prompt")
    assert one.value == pytest.approx(0.9)
    quick = {"prompt_ms": 100.0, "decode_ms": 900.0}
    assert not named(of({(DLLAMA, 1): steady(10)}, columns=quick), "prompt")


def test_too_little_memory_is_a_limit_and_holding_the_model_a_strength() -> None:
    run, tables = make_frames({(LLAMA, 1): ["unavailable"], (LLAMA, 2): steady(3)})
    why = "pi1 has 900 MiB of memory free but would need about 4000 MiB: give a smaller `context`"
    cells = tuple(
        cell.model_copy(update={"unavailable": why}) if cell.unavailable else cell
        for cell in run.cells
    )
    found = findings(study_of(run.model_copy(update={"cells": cells}), tables))
    (limit,) = named(found, "memory")
    assert (limit.subject, limit.low, limit.high) == ("pi1", 900, 4000)
    assert named(found, "less memory")[0].source is Source.NOT_MEASURED
    (strength,) = named(found, "memory of several")
    assert (strength.subject, strength.other) == ("two nodes", "one")


def test_an_engine_says_too_little_memory_in_the_words_that_are_looked_for() -> None:
    node = Node("pi1", "192.0.2.1", "192.0.2.1", memory_mib=1000, available_mib=900, away=None)
    told = common._lacking_memory((node,), [NodeMemory(4000 << 20)], "")
    assert told is not None
    match = TOO_LITTLE.search(told)
    assert match is not None
    assert match.groupdict() == {"node": "pi1", "free": "900", "need": "4000"}


def test_a_throttled_node_is_named_with_what_to_do() -> None:
    run, tables = make_frames({(DLLAMA, 1): steady(10), (DLLAMA, 2): steady(15)})
    hot = tables.nodes["node"] == "pi2"
    nodes = tables.nodes.assign(throttled_before=0, throttled_after=0, throttled_meanwhile=0)
    nodes.loc[hot, "throttled_meanwhile"] = 4
    found = findings(study_of(run, replace(tables, nodes=nodes)))
    (limit,) = named(found, "throttling")
    assert (limit.subject, limit.value, limit.n) == ("pi2", 6, 6)
    assert [one.subject for one in named(found, "cooling")] == ["pi2"]


def test_the_slowest_machine_the_best_root_and_those_to_leave_out_are_named() -> None:
    found = findings(study_of(*placed_frames(each_and_roots())))
    told = {one.what: (one.subject, one.other, one.value) for one in found}
    assert told["slowest machine"] == ("pi2", "desk", pytest.approx(10.0, rel=0.02))
    assert told["root"] == ("desk", "pi2", pytest.approx(7 / 4, rel=0.02))
    assert told["machines"] == ("desk alone", "desk+pi1+pi2", pytest.approx(20 / 7, rel=0.02))


def test_a_bad_root_is_no_reason_to_leave_machines_out() -> None:
    """In another order the same machines are the fastest: nothing says that one should be alone."""
    outcomes: dict[tuple[str, str, int], list[float]] = {
        (LLAMA, "desk", 1): steady(20.0),
        (LLAMA, "pi1", 1): steady(5.0),
        (LLAMA, "desk+pi1", 2): steady(25.0),
        (LLAMA, "pi1+desk", 2): steady(10.0),
    }
    found = findings(study_of(*placed_frames(outcomes)))
    assert not named(found, "machines")
    assert [(one.subject, one.other) for one in named(found, "root")] == [("desk", "pi1")]


def test_machines_of_each_prompt_are_named_with_it_and_shown_in_their_sections() -> None:
    axes = ("engine", "on", "nodes", "prompt_tokens", "generate_tokens")
    outcomes = {
        (*key, prompt, 64): speeds
        for key, speeds in each_and_roots().items()
        for prompt in (16, 256)
    }
    found = findings(study_of(*placed_frames(outcomes, axes=axes)))
    for what, where in (("slowest machine", "machines"), ("root", "machines")):
        rows = named(found, what)
        assert [row.where for row in rows] == [where] * 2
        assert len({row.sentence for row in rows}) == 2
    assert [row.where for row in named(found, "machines")] == ["together"] * 2


def test_the_fastest_of_cells_that_cannot_be_told_apart_is_not_called_the_fastest() -> None:
    alike: dict[tuple[str, str, int], list[float]] = {
        (LLAMA, "desk", 1): [20.0, 20.9, 19.2, 20.1, 20.2, 19.1],
        (LLAMA, "pi1", 1): [20.1, 19.0, 21.2, 19.9, 19.1, 20.3],
        (LLAMA, "desk+pi1", 2): steady(5.0),
    }
    found = findings(study_of(*placed_frames(alike)))
    assert not named(found, "fastest")
    (one,) = named(found, "one of the fastest")
    assert one.sentence.endswith("is one of 2 cells that no comparison distinguishes.")


def test_an_engine_that_failed_everywhere_and_a_cell_that_lost_most_attempts_are_named() -> None:
    lost = ["failed", "failed", *steady(30, 2)]
    found = of({(DLLAMA, 1): steady(10), (DLLAMA, 2): lost, (LLAMA, 1): ["failed"] * 6})
    rows = {row.engine: row for row in named(found, "attempts")}
    assert (rows[DLLAMA].subject, rows[DLLAMA].value, rows[DLLAMA].n) == ("two nodes", 4, 6)
    assert rows[LLAMA].sentence == (
        "12 of 12 attempts on one node failed or do not count (worker on pi4: killed by signal 9)."
    )


@pytest.mark.parametrize(
    ("truth", "models", "limit"),
    [({}, (MODEL,), "fitted computing"), ({"rate": 0.3}, (SMALL, MODEL), "fitted network")],
)
def test_the_cost_model_says_what_limits_an_engine_that_does_not(
    truth: dict[str, float], models: tuple[str, ...], limit: str
) -> None:
    found = findings(predicted_study(a_machine(**truth), models=models))
    assert not named(found, "unknown")
    (one,) = named(found, limit)
    assert one.source is Source.FITTED
    assert one.where == "cost-model"
    assert 0.5 < one.low <= one.value <= one.high < 1


def test_a_fit_that_is_refused_says_nothing_about_limits() -> None:
    found = findings(predicted_study(slow={8: 6.0}))
    assert [row.what for row in found if row.kind is Kind.LIMIT] == ["unknown"]


def test_the_slowest_of_those_measured_is_not_called_the_slowest_of_all() -> None:
    outcomes = {**each_and_roots(), (LLAMA, "pi2", 1): ["failed"] * 6}
    (one,) = named(findings(study_of(*placed_frames(outcomes))), "slowest machine")
    assert one.sentence.startswith("Of the machines that were measured alone, pi1 is the slowest")


def test_of_machines_as_fast_as_each_other_none_is_slowest() -> None:
    alike: dict[tuple[str, str, int], list[float]] = {
        (LLAMA, "desk", 1): [20.0, 20.3, 19.8, 20.1, 20.2, 19.9],
        (LLAMA, "pi1", 1): [20.1, 20.0, 20.2, 19.9, 19.8, 20.3],
        (LLAMA, "pi2", 1): steady(30.0),
    }
    assert not named(findings(study_of(*placed_frames(alike))), "slowest machine")


def test_a_machine_with_the_lowest_speed_is_named_where_not_every_other_is_apart() -> None:
    outcomes: dict[tuple[str, str, int], list[float]] = {
        (LLAMA, "desk", 1): steady(20.0),
        (LLAMA, "pi1", 1): [12.0, 19.0, 9.0, 16.0, 11.0, 20.0],
        (LLAMA, "pi2", 1): steady(10.0),
    }
    found = findings(study_of(*placed_frames(outcomes)))
    assert not named(found, "slowest machine")
    (one,) = named(found, "slow machine")
    assert (one.subject, one.other) == ("pi2", "desk")


def test_a_root_that_is_worse_than_its_own_speed_explains_has_a_link_to_look_at() -> None:
    outcomes: dict[tuple[str, str, int], list[float]] = {
        **{(LLAMA, name, 1): steady(20.0) for name in ("pi1", "pi2")},
        (LLAMA, "pi3", 1): steady(10.0),
        (LLAMA, "pi1+pi2+pi3", 3): steady(8.0),
        (LLAMA, "pi2+pi1+pi3", 3): steady(4.0),
        (LLAMA, "pi3+pi1+pi2", 3): steady(6.0),
    }
    (one,) = named(findings(study_of(*placed_frames(outcomes))), "slow link")
    assert (one.subject, one.other) == ("pi2", "pi1")
    assert one.value == pytest.approx(2.0, rel=0.02)
    assert one.sentence.startswith("Look at the link of pi2: the same machines are 2.0")


def test_waiting_of_nodes_on_a_quota_is_not_the_networks() -> None:
    run, tables = make_frames({(DLLAMA, n): steady(10.0 * n) for n in (1, 2)}, sync_share=0.9)
    on_quota = {name: {**told, "cores": 1, "cpu_quota": 0.25} for name, told in run.nodes.items()}
    usual = findings(study_of(run, tables))
    found = findings(study_of(run.model_copy(update={"nodes": on_quota}), tables))
    assert named(usual, "no waiting")
    assert not named(found, "no waiting")
    assert not named(found, "waiting")
    (one,) = named(found, "quota")
    assert one.other == "pi1 and pi2"
    limited = study_of(run.model_copy(update={"nodes": on_quota}), tables)
    for made, is_shown in ((study_of(run, tables), True), (limited, False)):
        figures = key_figures(made.all_series, made.scalings, made.family)
        assert any(one.name == "Spent on sync" for one in figures) is is_shown
    said = limited.verdict.caveats
    assert any("A CPU quota stops pi1 and pi2 again and again" in one for one in said)


def test_a_run_without_a_speed_has_no_such_section() -> None:
    assert of({(DLLAMA, 1): ["failed"], (DLLAMA, 2): ["pending"]}) == []


def test_a_prompt_is_named_once_of_the_fastest_cell_with_it() -> None:
    axes = ("engine", "nodes", "prompt_tokens", "generate_tokens")
    outcomes: Outcomes = {
        (LLAMA, nodes, prompt, 64): steady(10 * nodes - prompt / 256)
        for nodes in (1, 2)
        for prompt in (16, 256)
    }
    study = study_of(*make_frames(outcomes, axes=axes))
    said = " ".join(fastest_clauses(fastest_of(study.scalings, study.family), study.all_series))
    assert "with a prompt of 256 tokens is llama.cpp on two nodes with" in said


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_no_fitted_gain_of_a_link_is_beyond_the_bound_of_the_same_cell(kind: str) -> None:
    """“No faster link gains more” holds for what the cost model expects of links, too."""
    for part in _of_each_part(study_of_kind(kind)):
        bounds = {
            (one.engine, one.subject): one.value for one in named(findings(part), "no waiting")
        }
        for gain in gains_of(part.bases):
            bound = bounds.get((gain.basis.engine, starting_from(gain)), math.inf)
            if str(gain.change) in (LINK, LATENCY, WAITING):
                assert gain.high <= bound * 1.001


def hardly_waiting(basis: Basis) -> Basis:
    """The same fit, of cells whose engine says that it waits for a twentieth of its time."""
    assert basis.fit is not None
    measured = tuple(replace(one, sync_ms=one.total_ms / 20) for one in basis.fit.observations)
    return replace(basis, measured=measured, fit=replace(basis.fit, observations=measured))


def test_a_fit_that_expects_more_of_a_link_than_the_engine_waits_is_held_to_the_bound() -> None:
    """The engine says that it waits for a twentieth of its time: no link makes up for more."""
    (basis,) = predicted_study(a_machine(rate=0.3), models=(SMALL, MODEL)).bases
    free = {str(one.change): one for one in gains_of([basis])}
    held = {str(one.change): one for one in gains_of([hardly_waiting(basis)])}
    assert free[LINK].times > 20 / 19
    assert held[LINK].high == pytest.approx(20 / 19)
    assert held[MEMORY].times == pytest.approx(free[MEMORY].times)


@pytest.mark.parametrize(
    ("weights", "is_assumed"), [(("q4_0",), {True}), (("q4_0", "f32"), {False})]
)
def test_gains_of_memory_say_so_where_its_share_is_only_assumed(
    weights: tuple[Weights, ...], is_assumed: set[bool]
) -> None:
    (basis,) = predicted_study(a_machine(), weights=weights).bases
    gains = gains_of([basis])
    of_computing = {gain.is_assumed_apart for gain in gains if gain.change in OF_COMPUTING}
    assert of_computing == is_assumed
    assert not any(gain.is_assumed_apart for gain in gains if gain.change not in OF_COMPUTING)


def test_such_a_gain_is_promised_on_a_condition() -> None:
    gains = [one for one in findings(predicted_study()) if one.what.startswith("predicted change")]
    memory = [one for one in gains if one.other == MEMORY]
    assert memory
    assert all("divides into memory and arithmetic as assumed" in one.sentence for one in memory)
