"""Questions about machines that differ: who takes part, who is the root, whose memory counts."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from analysis.cells.cells import cell_results
from analysis.cells.series import series_of
from analysis.limits.assessment import Kind, Source
from analysis.limits.combinations import combinations_of
from analysis.limits.fitted import fitted_limit
from analysis.model.cost import features_of
from analysis.model.measured import groups_of
from analysis.model.posterior import sum_of
from analysis.sections import cost, limits
from analysis.sections.what_if import answer_frame
from analysis.study import Study, study_of
from analysis.what_if.answer import Predicted, answer
from analysis.what_if.asking import Consulted, bases_of_run, predicted_of
from analysis.what_if.basis import Basis, usable
from analysis.what_if.gains import gains_of, starting_from
from analysis.what_if.payload import payload_of
from analysis.what_if.supposed import Supposed
from analysis.what_if.told import consulted_lines
from analysis.what_if.what_if_answer import what_if_answer
from analysis.within import files_in
from models.catalogue import load_catalogue
from tests.doubles.limit_rows import from_row
from tests.doubles.paced_run import SLOWNESS, paced_frames
from tests.doubles.predicted_run import DLLAMA, LLAMA, MODEL

BOTH = (DLLAMA, LLAMA)


@cache
def study() -> Study:
    return study_of(*paced_frames(BOTH))


def basis_of(engine: str) -> Basis:
    [basis] = [one for one, _ in usable(study().bases) if one.engine == engine]
    return basis


def of(asked: Supposed, engine: str = DLLAMA) -> Predicted:
    basis = basis_of(engine)
    assert basis.fit is not None
    return answer(basis, basis.fit, asked)


def ms(asked: Supposed, engine: str = DLLAMA) -> float:
    found = of(asked, engine).prediction
    assert found is not None
    return found.total_ms


@pytest.mark.parametrize("engine", BOTH)
def test_nothing_changed_is_the_fastest_measured_cell_on_its_own_machine(engine: str) -> None:
    found = of(Supposed(), engine)
    assert found.setting.names == ("desk",)
    assert found.best is not None
    assert found.prediction is not None
    assert found.prediction.total_ms == pytest.approx(found.best.total_ms, rel=0.03)
    assert found.times == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("engine", BOTH)
def test_measured_orders_are_predicted_with_their_root(engine: str) -> None:
    basis = basis_of(engine)
    for one in basis.measured:
        names = one.setting.names
        asked = Supposed(nodes=len(names), root=names[0])
        if of(asked, engine).setting.names == names:
            assert ms(asked, engine) == pytest.approx(one.total_ms, rel=0.06)
    assert ms(Supposed(nodes=4, root="desk")) < ms(Supposed(nodes=4, root="pi1"))


@pytest.mark.parametrize("engine", BOTH)
def test_slower_machines_beside_a_fast_one_are_no_gain(engine: str) -> None:
    [more] = [one for one in gains_of([basis_of(engine)]) if one.more_nodes]
    assert more.high < 1, "a Pi beside a desk that is four times as fast"
    assert starting_from(more) == "one node (desk)"


def test_a_chain_of_machines_is_never_faster_than_its_fastest_alone() -> None:
    alone = ms(Supposed(nodes=1, root="desk"), LLAMA)
    for nodes in (2, 3, 4, 8, 16):
        assert ms(Supposed(nodes=nodes, root="desk"), LLAMA) > alone


def test_machines_alone_are_not_counted_among_the_errors() -> None:
    """Their times gave their slowness: that they are predicted well says nothing."""
    run, tables = paced_frames(BOTH)
    series = series_of(cell_results(run, tables.trials, tables.attempts, tables.nodes))
    shapes = load_catalogue()
    for group in groups_of(run, series, lambda name: shapes.get(name).shape, {}):
        assert group.reference == "pi1"
        assert len(group.observations) == 8
        assert [one.setting.names for one in group.fitted if one.setting.nodes == 1] == [("pi1",)]
        assert group.slowness == pytest.approx(SLOWNESS, rel=0.05)
    [section] = cost.sections(study())
    told = " ".join(block.text for block in section.blocks if block.kind == "prose")  # type: ignore[union-attr]
    assert "half of the 5 cells" in told
    assert "only those of pi1 count among these" in told


def test_the_page_begins_with_the_root_of_the_fastest_cell() -> None:
    for fit in payload_of(study().bases)["fits"]:
        [model] = fit["models"]
        assert fit["roots"] == ["pi1", "desk", "pi2", "pi3"]
        assert fit["roots"][model["root"]] == "desk"
        assert model["best"][3] == "one node (desk)"
        [one] = [choice for choice in model["choices"] if choice[:2] == ["q4_0", 1]]
        assert [pace[0] for pace in one[5]] == pytest.approx([1.0, 0.25, 1.05, 1.6], rel=0.05)


def told_of(bases: tuple[Basis, ...]) -> str:
    """The answer about another root, in words."""
    found = predicted_of(bases[:1], [Supposed(nodes=4, root="pi3")])
    return "\n".join(consulted_lines(Consulted(bases[:1], tuple(found))))


def test_the_answer_names_the_machines() -> None:
    bases = bases_of_run(*paced_frames(BOTH))
    asked = [Supposed(nodes=count, root=root) for count in (1, 4) for root in ("desk", "pi3")]
    consulted = Consulted(bases, tuple(predicted_of(bases, asked)))
    told = "\n".join(consulted_lines(consulted))
    for words in ("one node (desk)", "one node (pi3)", "four nodes (root desk)", "(root pi3)"):
        assert words in told
    answers = what_if_answer(consulted).answers
    assert answers[3].machines == ("pi3", "desk", "pi1", "pi2")
    one = "\n".join(consulted_lines(Consulted(bases[:1], (consulted.answers[0],))))
    assert "as fast as the fastest measured cell: " in one
    assert " ms were measured on one node (desk) with q4_0" in one
    assert "formula has the fastest measured cell, one node (desk) with q4_0 (" in told_of(bases)
    assert set(answer_frame(consulted.answers)["nodes"]) == {1, 4}


def test_the_memory_that_counts_is_that_of_the_machines_that_take_part() -> None:
    bases = study_of(*paced_frames((DLLAMA,), {"desk": 131072})).bases
    [(basis, fit)] = usable(bases)
    large, small = (
        answer(basis, fit, Supposed(MODEL, 1, "f32", root=root)) for root in ("desk", "pi1")
    )
    assert not large.reason
    assert "has 8192 MiB" in small.reason


def test_machines_that_the_run_does_not_know_take_no_part() -> None:
    basis = basis_of(DLLAMA)
    strange = replace(basis.measured[0].setting, names=("\u202egone", "pi2"))
    assert basis.lineup(strange, 2, None) == ("pi2", "pi1")
    assert "\u202e" not in json.dumps(
        payload_of([replace(basis, measured=(replace(basis.measured[1], setting=strange),))]),
        ensure_ascii=False,
    )


def test_limits_speak_of_the_cell_that_they_name_where_machines_were_measured_alone() -> None:
    files = files_in(limits.sections(study()))
    [rows] = [file.data.to_dict("records") for file in files if file.stem == "limits"]
    found = [from_row(row) for row in rows if row["source"] == Source.FITTED]  # type: ignore[arg-type]
    [one, _] = [one for one in found if one.kind == Kind.LIMIT]
    assert "four nodes (desk+pi1+pi2+pi3), waiting for the slowest node, pi3" in one.sentence
    basis = basis_of(DLLAMA)
    names = ("desk", "pi1", "pi2", "pi3")
    [cell] = [cell for cell in basis.measured if cell.setting.names == names]
    assert basis.fit is not None
    terms = basis.fit.terms(features_of([cell.setting]))
    share = float(np.median(terms["waiting"] / sum_of(terms)))
    assert one.value == pytest.approx(share, rel=0.02)


def test_waiting_by_the_cost_model_names_the_machine_that_is_slowest_alone() -> None:
    """Where machines were measured alone, and the fit has most of a token's time waiting."""
    found = study()
    [one] = [group for group in found.fits if group.group.engine == DLLAMA and not group.refusals]
    fit = one.outcome.fit
    assert fit is not None
    longer = replace(fit, draws={**fit.draws, "waiting": 5000 * fit.draws["waiting"]})
    waits = replace(one, outcome=replace(one.outcome, fit=longer))
    [combination] = [
        own for own in combinations_of(found.on_nodes, found.scalings) if own.engine == DLLAMA
    ]
    cells = {cell.record.cell_id: cell for cell in combination.cells}
    cell = max((cells[name] for name in one.group.cell_ids), key=lambda cell: cell.nodes)
    said = fitted_limit(combination, cell, [waits])
    assert said is not None
    assert said.what == "fitted waiting for"
    assert said.other == max(cell.record.nodes, key=lambda name: SLOWNESS[name])
    assert f"waiting for the slowest node, {said.other}, takes" in said.sentence
    alike = replace(waits, group=replace(one.group, slowness={}))
    unnamed = fitted_limit(combination, cell, [alike])
    assert unnamed is not None
    assert (unnamed.what, unnamed.other) == ("fitted waiting", "")
