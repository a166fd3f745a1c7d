"""Cells of a run become cells of the cost model, and its section says only what its CSV has."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.blocks import Bullets, Prose
from analysis.cells.cells import cell_results
from analysis.cells.series import series_of
from analysis.model.measured import ONE_TRIAL, MeasuredGroup, groups_of
from analysis.network.run_fits import fits_of
from analysis.sections import cost, limits, what_if
from analysis.study import study_of
from analysis.what_if.asking import Consulted
from analysis.what_if.basis import usable
from analysis.what_if.payload import payload_of
from analysis.what_if.told import consulted_lines
from analysis.within import files_in
from collect.run import RunManifest
from collect.tables import Tables
from models.catalogue import load_catalogue
from tests.doubles.cost_run import MODEL, cost_frames
from tests.doubles.known_machines import Machine, incast, machine, truth
from tests.doubles.predicted_run import a_machine, predicted_study
from tests.doubles.run_frames import make_frames
from tests.unit.test_model_probed import record


def known() -> Machine:
    return machine(np.random.default_rng(5))


def groups(run: RunManifest, tables: Tables) -> tuple[MeasuredGroup, ...]:
    series = series_of(cell_results(run, tables.trials, tables.attempts, tables.nodes))
    catalogue = load_catalogue()
    return groups_of(run, series, lambda name: catalogue.get(name).shape, {})


def test_a_cell_keeps_its_times_and_the_error_of_its_median() -> None:
    of = known()
    [group] = groups(*cost_frames(of))
    assert group.wire == "mesh2"
    assert group.counts == (1, 2, 4, 8)
    for one in group.observations:
        computed, synced = truth(of, replace(one.setting, link_mbit=of.link_mbit))
        assert one.total_ms == pytest.approx(computed + synced, rel=0.15)
        assert one.sync_ms == pytest.approx(synced / (computed + synced) * one.total_ms, rel=0.05)
        assert 0 < one.error < 0.05
        assert one.setting.position == 64


@pytest.mark.parametrize("trials", [2, 3])
def test_few_trials_have_the_spread_of_all_cells(trials: int) -> None:
    found = []
    for seed in range(16):
        [group] = groups(*cost_frames(known(), trials=trials, seed=seed))
        (error,) = {one.error for one in group.observations}
        found.append(error)
        assert {one.trials for one in group.observations} == {trials}
    truth_of_mean = known().noise / trials**0.5
    assert truth_of_mean < np.median(found) < 2 * truth_of_mean


def test_one_trial_a_cell_has_an_assumed_error_and_sentences_say_so() -> None:
    [group] = groups(*cost_frames(known(), trials=1))
    assert {one.error for one in group.observations} == {ONE_TRIAL}
    for trials in (1, 2):
        study = study_of(*cost_frames(known(), trials=trials))
        [(basis, _)] = usable(study.bases)
        heading = "\n".join(consulted_lines(Consulted((basis,), ())))
        panel = payload_of([basis])["fits"][0]["measured"]
        [section] = what_if.sections(study)
        files = files_in(limits.sections(study))
        [rows] = [file.data for file in files if file.stem == "limits"]
        fitted = rows[rows["source"] == "fitted"]["sentence"]
        assert len(fitted)
        for told in (heading, panel, section.blocks[0].text):  # type: ignore[union-attr]
            assert ("A cell has one trial" in told) is (trials == 1)
        assert all(("with one trial of a cell)" in one) is (trials == 1) for one in fitted)


def test_models_and_weights_share_a_fit_and_other_axes_do_not() -> None:
    outcomes = {
        (nodes, model, turbo): [10.0 * nodes]
        for nodes in (1, 2, 4)
        for model in (MODEL, "llama3.2-1b-instruct")
        for turbo in (True, False)
    }
    made = make_frames(outcomes, axes=("nodes", "model", "net_turbo"))
    found = groups(*made)
    assert len(found) == 2
    assert all(len(group.observations) == 6 for group in found)
    assert {group.label for group in found} == {"net-turbo on", "net-turbo off"}


def test_rounding_that_hides_the_share_of_syncing_leaves_the_total_alone() -> None:
    run, tables = cost_frames(known())
    tables.trials["sync_share_low"] = 0.1
    tables.trials["sync_share_high"] = 0.4
    [group] = groups(run, tables)
    assert all(one.sync_ms is None for one in group.observations)


def test_machines_that_differ_need_to_be_measured_alone() -> None:
    run, tables = cost_frames(known())
    facts = {name: dict(told) for name, told in run.nodes.items()}
    facts["pi1"] = {**facts["pi1"], "board": None, "cpu_model": "a PC's"}
    [group] = groups(run.model_copy(update={"nodes": facts}), tables)
    assert group.refusal is not None
    assert "the machines differ" in group.refusal
    assert "`on: [each, first]`" in group.refusal
    assert group.observations == ()


def test_machines_measured_alone_have_a_slowness() -> None:
    times = {"pi1": 100.0, "pi2": 200.0}
    outcomes = {(1, name): [1000 / ms] for name, ms in times.items()} | {(2, "pi1+pi2"): [8.0]}
    run, tables = make_frames(outcomes, axes=("nodes", "on"))
    cells = [
        cell.model_copy(update={"nodes": tuple(str(cell.params["on"]).split("+"))})
        for cell in run.cells
    ]
    run = run.model_copy(update={"cells": tuple(cells)})
    [group] = groups(run, tables)
    together = next(one for one in group.observations if one.setting.nodes == 2)
    assert together.setting.slowness == pytest.approx((1.0, 2.0))
    alone = [one.setting.slowness for one in group.observations if one.setting.nodes == 1]
    assert alone == [pytest.approx((1.0,)), pytest.approx((2.0,))]


def on_quota(run: RunManifest, quota: float | None, cores: int = 1) -> RunManifest:
    """The same run on nodes whose container has a quota."""
    facts = {name: {**told, "cores": cores, "cpu_quota": quota} for name, told in run.nodes.items()}
    return run.model_copy(update={"nodes": facts})


@pytest.mark.parametrize(
    ("quota", "cores", "is_whole"),
    [(0.25, 1, True), (1.5, 2, True), (1.0, 1, False), (4.0, 2, False), (None, 4, False)],
)
def test_nodes_that_a_quota_stops_are_fitted_by_whole_tokens(
    quota: float | None, cores: int, *, is_whole: bool
) -> None:
    run, tables = cost_frames(known())
    [group] = groups(on_quota(run, quota, cores), tables)
    assert (group.on_quota != ()) is is_whole
    assert [one.sync_ms is None for one in group.observations] == [is_whole] * 4


def test_more_threads_than_a_quota_gives_cores_are_stopped_by_it() -> None:
    run, tables = make_frames({(n, 4): [10.0 * n] for n in (1, 2)}, axes=("nodes", "threads"))
    [group] = groups(on_quota(run, 2.0, cores=2), tables)
    assert group.on_quota == ("pi1", "pi2")


def test_a_chain_on_a_quota_is_refused_because_nodes_save_it() -> None:
    outcomes = {("llama.cpp", n, "layer"): [10.0] * 3 for n in (1, 2, 4)}
    run, tables = make_frames(outcomes, axes=("engine", "nodes", "split_mode"))
    run = on_quota(run, 0.25)
    [found] = fits_of(run, study_of(run, tables).on_nodes, tables.nodes)
    assert "a node saves its quota while it waits for its turn" in found.refusals[0]
    assert found.outcome.fit is None


def test_the_page_says_why_only_whole_tokens_were_fitted() -> None:
    run, tables = cost_frames(known())
    [section] = cost.sections(study_of(on_quota(run, 0.25), tables))
    told = " ".join(block.text for block in section.blocks if isinstance(block, Prose))
    assert "may use only a share of a core" in told


def test_an_engine_without_a_formula_is_refused() -> None:
    outcomes = {("llama.cpp", n, "tensor"): [10.0] for n in (1, 2, 4)}
    run, tables = make_frames(outcomes, axes=("engine", "nodes", "split_mode"))
    [found] = fits_of(run, study_of(run, tables).on_nodes, tables.nodes)
    assert "no formula" in found.refusals[0]


def test_of_many_groups_only_some_are_fitted_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("analysis.network.run_fits.MOST_FITS", 1)
    outcomes = {(n, t): [10.0 * n, 10.1 * n, 9.9 * n] for n in (1, 2, 4) for t in (1, 2, 3)}
    run, tables = make_frames(outcomes, axes=("nodes", "threads"))
    on_nodes = study_of(run, tables).on_nodes
    first, second = fits_of(run, on_nodes, tables.nodes)
    assert first.outcome.fit is not None
    assert "the first of 2 groups" in second.refusals[0]
    [named] = fits_of(run, on_nodes, tables.nodes, None, "3 threads")
    assert named.outcome.fit is not None


def test_fewer_than_three_numbers_of_nodes_make_no_section() -> None:
    run, tables = make_frames({(1,): [10.0] * 3, (2,): [15.0] * 3}, axes=("nodes",))
    assert list(cost.sections(study_of(run, tables))) == []


@pytest.mark.parametrize(
    ("kind", "is_told"), [({"wire": "chain_client", "engine": "llama.cpp"}, True), ({}, False)]
)
def test_a_chain_says_that_slow_machines_may_look_like_latency(
    kind: dict[str, Any], *, is_told: bool
) -> None:
    of = replace(known(), scatter=0.01, noise=0.01)
    [section] = cost.sections(study_of(*cost_frames(of, **kind)))
    told = " ".join(block.text for block in section.blocks if isinstance(block, Prose))
    assert ("takes part only on eight nodes" in told) == is_told
    assert ("Measure each machine alone (`on: [each, first]`)" in told) == is_told


def test_every_figure_of_the_sentences_is_in_the_csv() -> None:
    [section] = cost.sections(study_of(*cost_frames(known(), models=(MODEL,))))
    files = {file.stem: file.data for file in files_in([section])}
    data = files["cost-model"]
    told = " ".join(block.text for block in section.blocks if isinstance(block, Prose))
    last = data[data["nodes"] == data["nodes"].max()].iloc[0]
    terms = {
        name.removesuffix("_ms"): last[name]
        for name in ("memory_ms", "computing_ms", "latency_ms", "transfer_ms", "waiting_ms")
    }
    largest = max(terms, key=lambda name: float(terms[name]))
    share = float(terms[largest]) / sum(map(float, terms.values()))
    assert f"{100 * share:.0f} %" in told
    assert cost.NAMED[largest] in told  # type: ignore[index]
    assert f"{100 * data['left_out_error'].median():.1f} %" in told
    assert f"{data['left_out_covered'].sum()} of them" in told
    unknown = re.findall(r"do not determine is as it was believed beforehand: (.+?)\.", told)
    determined = files["cost-coefficients"].set_index("coefficient")["determined"]
    assert all(not determined[name] for name in re.split(", | and ", unknown[0]))


def test_one_type_of_weights_does_not_say_what_memory_and_what_computing_takes() -> None:
    """Only their sum is measured, so only the sum is said, and weights of two types divide it."""
    for weights, is_apart in ((("q4_0",), False), (("q4_0", "f32"), True)):
        study = predicted_study(a_machine(), weights=weights)
        (fit,) = (one.outcome.fit for one in study.fits)
        assert fit is not None
        assert ("arithmetic" not in fit.unknown()) is is_apart
        [section] = cost.sections(study)
        told = " ".join(block.text for block in section.blocks if isinstance(block, Prose))
        assert (cost.COMPUTED_NAME in told) is not is_apart


def test_a_probe_of_the_machines_is_where_the_fit_begins() -> None:
    study = study_of(*cost_frames(known()))
    for probe, source in ((None, "usual machines"), (record(), "fab probe")):
        [section] = cost.sections(study.with_probe(probe))
        data = {file.stem: file.data for file in files_in([section])}["cost-coefficients"]
        assert data.set_index("coefficient")["before"]["memory"] == source


def test_a_refused_fit_draws_nothing_and_says_why() -> None:
    made = cost_frames(known(), distort=incast)
    [section] = cost.sections(study_of(*made))
    [warning] = [block for block in section.blocks if isinstance(block, Bullets)]
    assert any("Refused" in item for item in warning.items)
    assert not any(isinstance(block, Prose) for block in section.blocks)
    [file] = files_in([section])
    assert list(file.data["used"].unique()) == [False]


def test_a_run_without_a_benchmark_has_no_section() -> None:
    run, tables = cost_frames(known())
    other = replace(tables, trials=pd.DataFrame(tables.trials))
    study = study_of(run.model_copy(update={"workload": None}), other)
    assert list(cost.sections(study)) == []
