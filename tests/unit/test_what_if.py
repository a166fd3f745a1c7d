"""What a token would take: questions as people write them, answers, limits, what the page gets."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.blocks import Controls, Section
from analysis.limits.assessment import Assessment, Kind, Source
from analysis.model.cost import COEFFICIENTS, FEATURES, TERMS, Features, terms_of
from analysis.model.fit import TAILS, totals_of
from analysis.pages import Page, render
from analysis.sections import limits as limits_section
from analysis.sections.what_if import answer_frame, sections
from analysis.study import Study, study_of
from analysis.text.wording import number
from analysis.what_if.answer import Predicted, answer, times_as_fast, too_little
from analysis.what_if.asking import Consulted, about_run, bases_of_run, predicted_of
from analysis.what_if.basis import usable
from analysis.what_if.gains import FASTER, LINK, gain_frame, gains_of
from analysis.what_if.payload import offered_counts, payload_of
from analysis.what_if.supposed import Link, Supposed, setting_of, supposed_of
from analysis.what_if.told import consulted_lines
from analysis.what_if.what_if_answer import what_if_answer
from analysis.within import blocks_in, files_in
from collect.run import ATTEMPTS_FOLDER
from collect.workloads import Benchmark
from core.errors import HerdError
from core.json_answer import json_text
from core.language.choice import speaking
from tests.doubles import run_folder
from tests.doubles.cost_run import cost_frames, waiting_less
from tests.doubles.engine_logs import dllama_era_a
from tests.doubles.known_machines import machine, truth
from tests.doubles.limit_rows import from_row
from tests.doubles.placed_run import each_and_roots, placed_frames
from tests.doubles.predicted_run import (
    DLLAMA,
    LLAMA,
    MODEL,
    SMALL,
    a_machine,
    predicted_frames,
    predicted_study,
)
from tests.doubles.run_attempts import Figures, replace_log
from tests.doubles.run_folder import make_run
from tests.doubles.run_frames import make_frames

MANY = (
    MODEL,
    *(
        f"synthetic:dim=2048,hidden=5632,layers={layers},heads=32,kv_heads=8,vocab=32000,context=2048"
        for layers in range(16, 30)
    ),
)
SYNTHETIC = (
    "synthetic:dim=1024,hidden=2816,layers=8,heads=16,kv_heads=8,vocab=4096,context=512,seed=1"
)
ROOM = 100_000
"""Bytes that a page may grow by."""


@cache
def study() -> Study:
    return predicted_study(engines=(DLLAMA, LLAMA), models=(MODEL, SMALL))


def of(asked: Supposed, engine: str = DLLAMA) -> Predicted:
    [(basis, fit)] = [one for one in usable(study().bases) if one[0].engine == engine]
    return answer(basis, fit, asked)


def test_flags_with_several_values_are_every_combination() -> None:
    found = supposed_of({"nodes": "2, 8", "link": "2500,10x", "weights": None, "root": "pi2"})
    assert [(one.nodes, one.link, one.root) for one in found] == [
        (2, Link(mbit=2500.0), "pi2"), (2, Link(times=10.0), "pi2"),
        (8, Link(mbit=2500.0), "pi2"), (8, Link(times=10.0), "pi2"),
    ]  # fmt: skip
    assert supposed_of({}) == (Supposed(),)


def test_the_commas_of_a_synthetic_model_divide_nothing() -> None:
    found = supposed_of({"model": f"{SMALL}, {SYNTHETIC},{MODEL}"})
    assert [one.model for one in found] == [SMALL, SYNTHETIC, MODEL]


@pytest.mark.parametrize(
    ("flag", "text", "right"),
    [
        ("nodes", "0", "whole number from 1 to 64"),
        ("nodes", "two", "whole number from 1 to 64"),
        ("nodes", "1e2", "whole number"),
        ("nodes", "2,,4", "a value is empty"),
        ("link", "fast", "10x"),
        ("link", "0", "from 1 to 400000"),
        ("link", "nan", "Mbit/s"),
        ("latency", "0", "0.5 is half as long"),
        ("nodes", "\u0664", "whole number"),
        ("link", "\u0663x", "Mbit/s"),
        ("memory", "10", "another class of machine"),
        ("processor", "-1", "0.25 to 4"),
        ("weights", "q9", "q4_0"),
        ("memory", "", "a value is empty"),
    ],
)
def test_a_wrong_value_is_refused_with_its_flag_and_what_is_right(
    flag: str, text: str, right: str
) -> None:
    with pytest.raises(HerdError, match=re.escape(right)) as refused:
        supposed_of({flag: text})
    assert str(refused.value).startswith(f"--{flag} {text}")


def test_too_many_settings_are_refused() -> None:
    many = ",".join(map(str, range(1, 40)))
    with pytest.raises(HerdError, match="more than 100 settings"):
        supposed_of({"nodes": many, "latency": "0.5,1,2"})


def test_a_measured_setting_is_predicted_as_it_was_measured() -> None:
    for engine in (DLLAMA, LLAMA):
        found = of(Supposed(MODEL), engine)
        assert found.prediction is not None
        assert found.best is not None
        assert found.prediction.total_ms == pytest.approx(found.best.total_ms, rel=0.05)
        assert found.prediction.extrapolates == ()
        assert found.times == (1.0, 1.0, 1.0)


@cache
def waiting_study() -> Study:
    """A run whose engine reports less waiting than the fit expects a faster link to save."""
    frames = cost_frames(a_machine(rate=0.9), models=(SMALL, MODEL), distort=waiting_less)
    return study_of(*frames)


def test_the_verb_the_chart_and_the_advice_say_the_same_of_each_change() -> None:
    study = waiting_study()
    [(basis, fit)] = usable(study.bases)
    gains = {(one.start.model, str(one.change)): one for one in gains_of([basis])}
    advised = [one for one in findings_of(study) if one.source == Source.FITTED]
    rows = {
        (row["model"], row["change"]): row for row in gain_frame(gains.values()).to_dict("records")
    }
    for model in (SMALL, MODEL):
        for words, change in FASTER.items():
            found = answer(basis, fit, replace(change, model=model))
            if (gain := gains.get((model, words))) is None:
                assert found.times == pytest.approx((1.0, 1.0, 1.0), abs=1e-3)
                continue
            assert found.times == (gain.times, gain.low, gain.high)
            row = rows[model, words]
            assert (row["times"], row["times_low"], row["times_high"]) == found.times
            for one in advised:
                if one.other == words and one.model.startswith(model):
                    assert (one.value, one.low, one.high) == found.times
    assert any(one.other == LINK for one in advised)


@pytest.mark.parametrize("model", [SMALL, MODEL])
def test_no_link_and_no_latency_saves_more_than_the_engine_waits(model: str) -> None:
    [(basis, fit)] = usable(waiting_study().bases)
    cells = {one.setting.nodes: one for one in basis.measured if one.model == model}
    for nodes, cell in cells.items():
        before = setting_of(basis, Supposed(model, nodes))
        assert cell.sync_ms is not None
        most = cell.total_ms / (cell.total_ms - cell.sync_ms)
        for link, latency in itertools.product((0.5, 1, 3, 10, 100), (0.01, 0.5, 1, 2)):
            asked = Supposed(model, nodes, link=Link(times=link), latency=latency)
            times = times_as_fast(fit, before, setting_of(basis, asked))
            assert times.max() <= most * (1 + 1e-9)


def test_the_answer_says_where_it_stops_and_what_the_formula_alone_gives() -> None:
    [(basis, fit)] = usable(waiting_study().bases)
    asked = Supposed(MODEL, 8, link=Link(times=10))
    found = answer(basis, fit, asked)
    assert found.prediction is not None
    assert found.prediction.formula_ms is not None
    alone = np.quantile(fit.totals(found.setting), (0.5, *TAILS))
    assert found.prediction.formula_ms == pytest.approx(tuple(alone))
    assert found.prediction.low_ms > alone[1]
    told = "\n".join(consulted_lines(Consulted((basis,), (found,))))
    assert f"the formula alone gives {number(alone[0])} ms ({number(alone[1])} to" in told
    assert "consists of" not in told
    assert told.index("the formula alone gives") < told.index("the formula's terms (medians, ms)")
    several = "\n".join(consulted_lines(Consulted((basis,), (found, found))))
    assert "the formula alone gives" in several
    assert "the formula alone gives" in answer_frame([found])["note"][0]
    [usual] = predicted_of([basis], [Supposed(MODEL, 8)])
    assert usual.prediction is not None
    assert usual.prediction.formula_ms is None


def test_what_is_beyond_the_measured_cells_is_named() -> None:
    found = of(Supposed(MODEL, 16, "f32", Link(mbit=2500), memory=2.0), LLAMA)
    assert found.prediction is not None
    said = " ".join(found.prediction.extrapolates)
    for word in ("sixteen nodes", "2\u202f500 Mbit/s", "f32", "another speed"):
        assert word in said
    slower = of(Supposed(MODEL, 8, latency=2.0), LLAMA).prediction
    assert slower is not None
    assert slower.extrapolates == ("steps of another latency were not measured",)
    alone = of(Supposed(MODEL, 1, latency=2.0), LLAMA).prediction
    assert alone is not None
    assert alone.extrapolates == ()


def test_the_limits_of_the_engine_are_named() -> None:
    assert "8 KV heads" in of(Supposed(MODEL, 16)).reason
    assert "cannot be divided evenly" in of(Supposed(MODEL, 3)).reason
    assert "q8_0" in of(Supposed(MODEL, 4, "q8_0")).reason
    assert not of(Supposed(MODEL, 3), LLAMA).reason


def test_memory_is_a_limit_unless_such_a_cell_was_measured() -> None:
    found = of(Supposed(MODEL, 1, "f32"))
    assert re.search(r"root needs about \d+ MiB and has 8192 MiB", found.reason)
    assert "the weights alone take" in of(Supposed(MODEL, 1, "f32"), LLAMA).reason
    [(basis, _), _] = usable(study().bases)
    setting = setting_of(basis, Supposed(MODEL, 1, "q4_0"))
    assert too_little(basis, setting) == ""
    unknown = replace(basis, memory_mib=(0,) * 8)
    assert too_little(unknown, replace(setting, weights="f32")) == ""


def test_a_link_whose_rate_is_not_known_is_asked_for_as_a_multiple() -> None:
    told = predicted_study(link_mbit=None)
    [(basis, fit)] = usable(told.bases)
    with pytest.raises(HerdError, match="--link 10x"):
        answer(basis, fit, Supposed(link=Link(mbit=2500)))
    found = answer(basis, fit, Supposed(link=Link(times=10)))
    assert found.times is not None
    assert found.times[0] > 1


def test_another_root_needs_machines_that_were_measured_alone() -> None:
    [(basis, fit), _] = usable(study().bases)
    with pytest.raises(HerdError, match="was not measured"):
        answer(basis, fit, Supposed(root="pi2"))
    with pytest.raises(HerdError, match="pi1, pi2"):
        answer(basis, fit, Supposed(root="desk"))
    paced = replace(basis, slowness={name: 1 + at / 2 for at, name in enumerate(basis.nodes)})
    start = paced.measured[0].setting
    assert paced.pace_of(paced.lineup(start, 3, "pi3"), 3) == (2.0, 1.0, 1.5)
    assert paced.pace_of(paced.lineup(start, 10, None), 10)[8:] == (2.75, 2.75)
    slow, quick = (answer(paced, fit, Supposed(MODEL, 4, root=name)) for name in ("pi4", "pi1"))
    assert slow.prediction is not None
    assert quick.prediction is not None
    assert slow.prediction.total_ms > quick.prediction.total_ms


def page_answer(payload: dict[str, Any], fit: int, model: str, kind: str, count: int) -> Any:  # noqa: ANN401
    """What a page has for a setting: quantiles by the formula, or why there are none."""
    one = payload["fits"][fit]
    [own] = [found for found in one["models"] if found["name"] == model]
    [choice] = [found for found in own["choices"] if found[:2] == [kind, count]]
    if choice[3] >= 0:
        return payload["texts"][choice[3]]
    values = one["same"] | dict(zip(one["features"], choice[2], strict=True))
    features = Features(**{name: np.array([values[name]]) for name in FEATURES})
    draws: Any = {name: np.array(one["coefficients"][name])[:, None] for name in COEFFICIENTS}
    noise = tuple(np.array(one["noise"][name])[:, None] for name in ("computing", "syncing"))
    terms = terms_of(draws, features)
    strays = np.exp(choice[6] * np.array(one["noise"]["strays"]))
    totals = totals_of(terms, noise)[:, 0] * strays  # type: ignore[arg-type]
    assert choice[7] == [[]], "the engine does not report how long it waits"
    ends = np.quantile(totals, (0.5, *TAILS))
    outside = [payload["texts"][at] for at in choice[4]]
    return [*ends, *(float(np.median(terms[term])) for term in TERMS)], outside


def test_the_script_finds_its_names_in_every_language() -> None:
    """What the script looks things up by is no text, even where the catalogue has such a word."""
    controls = Controls("p", payload_of(study().bases))
    english = json.loads(controls.script)
    with speaking("ko"):
        korean = json.loads(controls.script)
    for one, other in zip(english["fits"], korean["fits"], strict=True):
        for name in ("name", "features", "roots", "coefficients", "same"):
            assert other[name] == one[name]
        assert [model["name"] for model in other["models"]] == [m["name"] for m in one["models"]]
    assert korean["words"] != english["words"]


def test_the_page_gets_what_python_computes_from() -> None:
    payload = json.loads(Controls("p", payload_of(study().bases)).script)
    assert payload["tails"] == list(TAILS)
    for place, (basis, fit) in enumerate(usable(study().bases)):
        for model in (MODEL, SMALL):
            for kind in ("q4_0", "f32"):
                for count in offered_counts(fit):
                    found = answer(basis, fit, Supposed(model, count, kind))
                    told = page_answer(payload, place, model, kind, count)
                    if found.prediction is None:
                        assert told == found.reason
                        continue
                    one = found.prediction
                    ends = [one.total_ms, one.low_ms, one.high_ms]
                    expected = [*ends, *(one.terms[term] for term in TERMS)]
                    assert told[0] == pytest.approx(expected, rel=1e-7)
                    assert told[1] == list(one.extrapolates)


def made(of_study: Study) -> list[Section]:
    return list(sections(of_study))


def size_of(found: list[Section]) -> int:
    panels = [one for section in found for one in blocks_in(section) if isinstance(one, Controls)]
    return sum(len(panel.script) for panel in panels)


def test_the_section_has_a_panel_a_table_and_a_chart_and_is_small() -> None:
    [section] = made(study())
    assert [block.kind for block in section.blocks] == ["prose", "controls", "tabled", "grid"]
    assert {file.stem for file in files_in([section])} == {"what-if"}
    assert 10_000 < size_of([section]) < ROOM


def test_the_section_says_when_its_errors_say_little() -> None:
    words = "from four on, these errors say something about further ones"
    few, enough = (
        made(predicted_study(counts=counts))[0].blocks[0].text  # type: ignore[union-attr]
        for counts in ((1, 2, 4), (1, 2, 4, 8))
    )
    assert words in few
    assert words not in enough


def test_a_page_of_very_many_models_offers_what_there_is_room_for() -> None:
    told = predicted_study(models=MANY, counts=(1, 2, 4), engines=(LLAMA,))
    payload = payload_of(told.bases)
    [fit] = payload["fits"]
    assert len(json.dumps(payload)) < ROOM
    assert len(fit["models"]) == len(MANY)
    choices = fit["models"][0]["choices"]
    assert {choice[1] for choice in choices} == {1, 2, 4, 8, 16}
    few = payload_of([*told.bases] * 6)["fits"][0]
    assert len(few["models"]) < len(MANY)
    assert re.fullmatch(r"\d+ more models: ask fab what-if\.", few["left_out"])


def test_a_page_of_very_many_fits_stays_small_and_says_what_it_leaves_out() -> None:
    axes = ("engine", "model", "weights", "nodes", "threads")
    outcomes = {}
    of_machine = a_machine()
    _, tables = predicted_frames(of_machine)
    rates = tables.trials.groupby("nodes")["decode_tokens_per_s"].apply(list)
    for threads in range(1, 13):
        for count, values in rates.items():
            outcomes[DLLAMA, MODEL, "q4_0", count, threads] = values
    [section] = made(study_of(*make_frames(outcomes, axes=axes, sync_share=None)))
    assert size_of([section]) < ROOM
    assert "6 more groups of cells" in section.blocks[0].text  # type: ignore[union-attr]


def test_refused_fits_are_in_the_panel_with_their_reasons() -> None:
    bad = predicted_frames(a_machine(), slow={8: 3.0}, engines=(LLAMA,))
    assert made(study_of(*bad)) == []
    good, refused = study().bases[0], study_of(*bad).bases[0]
    assert refused.refusals
    payload = payload_of([good, refused])
    assert payload["fits"][1] == {"name": LLAMA, "refused": list(refused.refusals)}


@pytest.mark.parametrize("counts", [(1,), (1, 2)])
def test_too_few_numbers_of_nodes_make_no_section(counts: tuple[int, ...]) -> None:
    assert made(predicted_study(counts=counts)) == []


def test_machines_by_name_and_gpus_do_not_break_it() -> None:
    assert made(study_of(*placed_frames(each_and_roots()))) == []


HOSTILE = "</script><script>alert(1)</script><!--\u2028'\"&amp;"


def test_hostile_names_stay_text_inside_the_script_element() -> None:
    data = {"words": {}, "fits": [{"name": HOSTILE}]}
    section = Section("verdict", "Found.", (Controls("panel", data),))
    page = render(Page("t", "r", (section,), {}), "html")
    [text] = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert json.loads(text) == data
    assert "<" not in text
    assert "alert(1)</script>" not in page


def test_a_page_without_a_panel_has_no_script_for_it() -> None:
    page = render(Page("t", "r", (Section("verdict", "Found.", ()),), {}), "html")
    assert "herdPredict" not in page


def findings_of(of_study: Study) -> list[Assessment]:
    """Limits, strengths and what would help, as the file of the section has them."""
    files = files_in(limits_section.sections(of_study))
    [rows] = [file.data.to_dict("records") for file in files if file.stem == "limits"]
    return [from_row(row) for row in rows]  # type: ignore[arg-type]


def test_limits_say_what_the_fit_expects_with_its_source() -> None:
    found = [one for one in findings_of(study()) if one.source == Source.FITTED]
    fitted = [one for one in found if one.kind == Kind.IMPROVEMENT]
    assert fitted
    for one in fitted:
        assert one.sentence.startswith("By the cost model, ")
        assert one.low > 1.03
        assert one.where == "what-if"
    assert len(fitted) <= 3 * 4


def test_what_more_nodes_bring_is_a_gain_and_what_cannot_run_is_not() -> None:
    [basis] = predicted_study(counts=(1, 2, 4)).bases
    [more] = [one for one in gains_of([basis]) if one.more_nodes]
    assert (more.start.setting.nodes, more.more_nodes) == (4, 8)
    assert not [one for one in gains_of(study().bases[:1]) if one.more_nodes]


CHANGES = (Supposed(memory=2.0), Supposed(link=Link(times=10.0)), Supposed(processor=2.0))


def held(seed: int) -> list[bool]:
    """Whether the interval of each gain by a fit has the one in truth."""
    known = replace(machine(np.random.default_rng(seed)), noise=0.01)
    told = study_of(*predicted_frames(known, seed=seed, link_mbit=known.link_mbit))
    found = []
    for basis, fit in usable(told.bases):
        before = setting_of(basis, Supposed(MODEL))
        old = fit.totals(before)
        for change in CHANGES:
            after = setting_of(basis, replace(change, model=MODEL))
            new = fit.totals(after)
            low, high = np.quantile(old / new, TAILS)
            real = sum(truth(known, before)) / sum(truth(known, after))
            found.append(bool(low * 0.99 <= real <= high * 1.01))
    return found


def test_the_intervals_of_gains_hold_the_truth_of_known_machines() -> None:
    found = [one for seed in range(16) for one in held(seed)]
    assert len(found) >= 36
    assert np.mean(found) >= 0.85


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run on disk whose engine without a network follows the formula."""
    monkeypatch.setattr(run_folder, "MODEL", SYNTHETIC)
    figures = {LLAMA: Figures(compute_ms=20.0, serial_ms=20.0, sync_ms=0.3, noise=0.01)}
    return make_run(
        tmp_path / "results", repeats=6, failed=(), retried=(), unavailable={}, figures=figures
    )


def test_the_answer_in_words_says_what_was_fitted_and_what_it_consists_of(run: Path) -> None:
    one = "\n".join(consulted_lines(about_run(run, LLAMA, {"nodes": "8", "memory": "2"})))
    for words in (
        "Each number of nodes was predicted from the others",
        "ms per token",
        "consists of (medians, ms): memory",
        "times as fast as the formula has the fastest measured",
        "Measured: 1, 2, 4 and 8 nodes",
        "extrapolation: machines of another speed",
    ):
        assert words in one
    assert "cannot run: the model has 8 layers" in "\n".join(
        consulted_lines(about_run(run, LLAMA, {"nodes": "16"}))
    )
    several = list(consulted_lines(about_run(run, LLAMA, {"nodes": "2,4,16"})))
    assert len(several) == 6
    assert several[2].startswith("setting ")
    assert "not measured in this run" in "\n".join(
        consulted_lines(about_run(run, LLAMA, {"model": SMALL, "nodes": "2"}))
    )


def test_an_answer_does_not_depend_on_what_else_is_asked() -> None:
    frames = predicted_frames(a_machine(), engines=(DLLAMA, LLAMA))
    asked = [Supposed(MODEL, 4, link=Link(times=10))]
    every = {one.basis.engine: one for one in predicted_of(bases_of_run(*frames), asked)}
    for engine, found in every.items():
        [alone] = predicted_of(bases_of_run(*frames, None, engine), asked)
        assert alone.prediction == found.prediction
        assert alone.times == found.times
    assert len(every) == 2


def test_the_answer_as_json_has_fits_and_answers(run: Path) -> None:
    told = json.loads(json_text(what_if_answer(about_run(run, None, {"nodes": "2,4"}))))
    assert {fit["engine"] for fit in told["fits"]} == {DLLAMA, LLAMA}
    for found in told["answers"]:
        assert found["cannot"] or found["low_ms"] <= found["ms_per_token"] <= found["high_ms"]


def test_a_run_without_a_fit_and_an_engine_that_it_lacks_are_refused(
    run: Path, tmp_path: Path
) -> None:
    with pytest.raises(HerdError, match=r"no fit of it, but of distributed-llama or llama.cpp"):
        about_run(run, "petals", {})
    small = make_run(tmp_path / "small", nodes=(1, 2), failed=(), retried=())
    with pytest.raises(HerdError, match="three numbers of nodes"):
        about_run(small, None, {})


TOKENS = 16
PI_4 = {1: (1312.50, 1.81), 2: (793.69, 52.50), 4: (494.00, 34.06), 8: (588.19, 289.75)}
"""Upstream's table of LLaMA-2-7B: nodes to milliseconds of a token, and of synchronising."""
UPSTREAM = "llama2-7b-chat"


def pi_4(folder: Path, counts: tuple[int, ...]) -> Path:
    """Write a run of which the logs have the table's sums."""
    run = make_run(
        folder / "results",
        engines=(DLLAMA,),
        nodes=counts,
        repeats=2,
        workload=Benchmark(prompt_tokens=2, generate_tokens=TOKENS),
        unavailable={},
        failed=(),
        retried=(),
    )
    for attempt in (run / ATTEMPTS_FOLDER).iterdir():
        nodes = json.loads((attempt / "attempt.json").read_text())["params"]["nodes"]
        total, sync = PI_4[nodes]
        step = (round(total), round(total - sync), round(sync))
        replace_log(attempt, "pi1.root.out", dllama_era_a([step] * TOKENS), samples=TOKENS)
    for file in run.rglob("*.json"):
        text = file.read_text().replace('"synthetic-60m"', f'"{UPSTREAM}"')
        file.write_text(text.replace('"version": "8d624a7"', '"version": "0.1.0"'))
    return run


def test_the_table_of_raspberry_pi_4_is_predicted_without_its_eight_nodes(tmp_path: Path) -> None:
    run = pi_4(tmp_path, (1, 2, 4))
    asked = about_run(run, None, {"nodes": "8", "link": "2500"})
    [found] = asked.answers
    assert found.prediction is not None
    assert found.prediction.total_ms < 494
    told = list(consulted_lines(asked))
    assert told[0].startswith(f"{DLLAMA}: fitted to 3 cells.")
    assert told[1].startswith("Only 3 numbers of nodes")
    assert told == list(consulted_lines(about_run(run, None, {"nodes": "8", "link": "2500"})))
    for flags, reason in (
        ({"root": "desk"}, "no such machine took part"),
        ({"model": "lama"}, "The catalogue has no model `lama`."),
    ):
        with pytest.raises(HerdError, match=reason):
            about_run(run, None, flags)


def test_eight_pi_4_give_no_prediction_but_the_reason(tmp_path: Path) -> None:
    told = "\n".join(consulted_lines(about_run(pi_4(tmp_path, (1, 2, 4, 8)), None, {})))
    assert "not fitted. Refused: " in told
    assert "34.0 ms on four nodes" in told
    assert "ms per token (" not in told


def test_several_fits_share_the_draws_of_a_page() -> None:
    draws = {len(fit.noise[0]) for _, fit in usable(study().bases)}
    assert draws == {300}
    [alone] = predicted_study().bases
    assert alone.fit is not None
    assert len(alone.fit.noise[0]) == 400
