"""What engines say is held against the reference: texts by token, probabilities by their logs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis.agreement.agreement import Agreement, agreements
from analysis.agreement.report import agreed, agreement_table
from analysis.cells.cells import cell_results
from analysis.cells.series import Series, series_of
from analysis.cells.tabulate import lines
from analysis.reading import Evidence
from analysis.report import compose
from collect.cells import CellRecord, TrialRecord
from collect.columns import ANSWERS, ATTEMPTS, NODES, SERVERS, TEXTS, TOKENS
from collect.reference import REFERENCE_FILE, References, ReferenceSays, ReferenceText
from collect.run import RunManifest
from collect.tables import Tables
from collect.workloads import Greedy
from core.errors import HerdError

WORKLOAD = Greedy(prompts=("Once upon", "A cat"), positions=8, text="Once upon a time")
FIRST = (" a", " time", ",", " there")
SECOND = (" sat", ".", "</s>", " Then")
SCORED = (math.log(0.5), math.log(0.001))
EXACT = ReferenceSays(
    continuations=(
        ReferenceText(pieces=FIRST, compared=4, margins=(3.0, 2.0, 0.0004, 1.0)),
        ReferenceText(pieces=SECOND, compared=2, margins=(1.0, 1.0, 1.0, 1.0)),
    ),
    scored=SCORED,
)
ROUNDED = EXACT.model_copy(
    update={
        "continuations": (
            ReferenceText(pieces=(" a", " day", ",", " a"), compared=4, margins=(1.0,) * 4),
            EXACT.continuations[1],
        ),
        "scored": (SCORED[0] - 0.1, SCORED[1] + 0.3),
    }
)
REFERENCES = References(models={"stories15m": {"f32": EXACT, "q4_0": ROUNDED}})

Said = Sequence[tuple[str | None, float | None]]


def texts(*pieces: str) -> Said:
    return [(piece, None) for piece in pieces]


def scores(*values: float | None) -> Said:
    return [(None, value) for value in values]


GOOD: Mapping[int, Said] = {1: texts(*FIRST), 2: texts(*SECOND), 3: scores(*SCORED)}


def manifest(weights: str) -> RunManifest:
    params = {"engine": "llama.cpp", "model": "stories15m", "nodes": 2, "weights": weights}
    cell = CellRecord(cell_id="c", params=params, identity={}, nodes=("pi1", "pi2"))
    return RunManifest(
        run="agreement",
        title="Agreement",
        plan_id="p",
        created_at=1.0,
        matrix_file="experiments/matrices/agreement.yml",
        workload=WORKLOAD,
        axes={},
        repeats=3,
        seed=1,
        warmup=0,
        max_attempts=1,
        cells=(cell,),
        trials=tuple(
            TrialRecord(trial_id=f"c-r{n}", cell_id="c", repeat=n, block=n, order=n)
            for n in (1, 2, 3)
        ),
        nodes={"pi1": {}, "pi2": {}},
        engines={},
        models={},
        command=("fab", "check-agreement"),
        toolkit="1",
    )


def tables(said: Mapping[int, Said], weights: str) -> Tables:
    trials = pd.DataFrame(
        [
            {
                "run": "agreement", "trial_id": f"c-r{n}", "cell_id": "c", "engine": "llama.cpp",
                "model": "stories15m", "nodes": 2, "weights": weights, "workload": "greedy",
                "repeat": n, "block": n, "order": n, "state": "done", "attempts": 1,
                "attempt_id": f"c-r{n}-a1", "perplexity": 2.5 if n == 3 else None,
                "text_sha256": f"{n}", "decode_tokens_per_s": 10.0 * n,
            }
            for n in said
        ]
    ).reindex(columns=_trial_columns())  # fmt: skip
    rows = [
        {"trial_id": f"c-r{n}", "index": i, "text": text, "log_probability": score}
        for n, tokens in said.items()
        for i, (text, score) in enumerate(tokens)
    ]
    return Tables(
        trials=trials,
        tokens=pd.DataFrame(columns=list(TOKENS)),
        servers=pd.DataFrame(columns=list(SERVERS)),
        nodes=pd.DataFrame(columns=list(NODES)),
        attempts=pd.DataFrame(columns=list(ATTEMPTS)),
        answers=pd.DataFrame(columns=list(ANSWERS)),
        texts=pd.DataFrame(rows, columns=list(TEXTS)).astype({"log_probability": "Float64"}),
    )


def _trial_columns() -> list[str]:
    from collect.columns import FIRST_AXES, TRIALS_AFTER_AXES, TRIALS_BEFORE_AXES  # noqa: PLC0415

    return [*TRIALS_BEFORE_AXES, *FIRST_AXES, *TRIALS_AFTER_AXES]


def found(said: Mapping[int, Said], weights: str = "f32") -> tuple[Agreement, tuple[Series, ...]]:
    made = tables(said, weights)
    all_series = series_of(cell_results(manifest(weights), made.trials))
    (one,) = agreements(WORKLOAD, all_series, made.trials, made.texts, REFERENCES)
    return one, all_series


def run_folder(folder: Path) -> Path:
    (folder / REFERENCE_FILE).write_text(REFERENCES.model_dump_json())
    return folder


def test_what_says_the_same_agrees() -> None:
    one, _ = found(GOOD)
    assert one.agrees
    assert (one.prompts, one.differences, one.beyond, one.misread) == (2, (), 0, False)
    assert one.changes == (0.0, 0.0)
    assert one.perplexity == 2.5


def test_after_a_sign_between_texts_engines_may_go_on_as_they_like() -> None:
    one, _ = found({**GOOD, 2: texts(" sat", ".", "", " Once")})
    assert one.agrees


def test_a_text_is_told_from_its_first_other_token_on() -> None:
    one, _ = found({**GOOD, 1: texts(" a", " time", " there", " was")})
    assert one.is_wrong
    (differs,) = one.differences
    assert (differs.prompt, differs.token) == ("Once upon", 3)
    assert (differs.expected, differs.found) == (", there", " there was")
    assert differs.margin == 0.0004


def test_a_text_that_ends_early_differs_where_it_ends() -> None:
    one, _ = found({**GOOD, 1: texts(" a", " time")})
    assert [(d.token, d.found) for d in one.differences] == [(3, "")]


def test_probabilities_may_differ_by_what_32_bits_and_six_decimals_lose() -> None:
    # Of a probability of 0.001 six decimals tell 0.001 of its logarithm.
    one, _ = found({**GOOD, 3: scores(SCORED[0] + 0.0009, SCORED[1] + 0.0019)})
    assert one.agrees
    for wrong in ((SCORED[0] + 0.0012, SCORED[1]), (SCORED[0], SCORED[1] + 0.0022)):
        one, _ = found({**GOOD, 3: scores(*wrong)})
        assert (one.is_wrong, one.beyond) == (True, 1)


def test_a_probability_that_was_not_told_is_not_judged() -> None:
    one, _ = found({**GOOD, 3: scores(SCORED[0], None)})
    assert one.agrees
    assert one.changes == (0.0,)


def test_a_text_that_was_split_into_other_tokens_is_wrong() -> None:
    one, _ = found({**GOOD, 3: scores(SCORED[0])})
    assert (one.misread, one.is_wrong, one.changes) == (True, True, ())


def test_quantised_weights_are_held_against_the_same_weights_and_not_judged() -> None:
    one, _ = found({**GOOD, 3: scores(*ROUNDED.scored)}, weights="q4_0")
    assert [d.token for d in one.differences] == [2]
    assert one.changes == (0.0, 0.0)
    assert not one.is_wrong


def test_cells_without_the_scored_text_have_no_perplexity() -> None:
    one, _ = found({1: GOOD[1]})
    assert (one.prompts, one.perplexity, one.misread) == (1, None, False)


def test_the_table_has_the_reference_and_every_cell(tmp_path: Path) -> None:
    whole = agreed(manifest("f32"), tables(GOOD, "f32"), run_folder(tmp_path))
    assert whole is not None
    assert not whole.is_wrong
    assert whole.sentences == ()
    assert whole.headline == (
        "With 32-bit weights every text matches the reference token by token: 2 texts in 1 cell."
    )
    told = [line.split() for line in lines(agreement_table(whole.cells))]
    assert told[1][:2] == ["reference,", "f32"]
    assert told[2][:8] == ["reference,", "q4_0", "\N{EN DASH}", "2", "1", "2", "2", "2.0e-01"]
    assert told[3] == ["llama.cpp", "2", "2", "2", *["\N{EN DASH}"] * 2, "0.0e+00", "0.0e+00",
                       "2.5000", "agrees"]  # fmt: skip


def test_a_cell_that_differs_is_told_in_words_and_on_the_page(tmp_path: Path) -> None:
    said = {**GOOD, 2: texts(" ran", "."), 3: scores(SCORED[0] + 0.5, SCORED[1])}
    made = tables(said, "f32")
    whole = agreed(manifest("f32"), made, run_folder(tmp_path))
    assert whole is not None
    assert whole.is_wrong
    assert whole.headline == "1 of 1 cell with 32-bit weights differs from the reference."
    (sentence,) = whole.sentences
    assert "1 of 2 texts differs" in sentence
    assert "A cat" in sentence
    assert "at token 1 (' ran.' instead of ' sat.')" in sentence
    assert "by up to 0.5" in sentence

    page_folder = tmp_path / "page"
    page_folder.mkdir()
    spoken = compose(manifest("f32"), made, page_folder, Evidence(agreement=whole))
    assert spoken.startswith(whole.headline)
    page = (page_folder / "index.html").read_text()
    assert "DIFFERS" in page
    assert "differing-texts.csv" in page
    assert "tokens/s" not in (page_folder / "report.md").read_text().partition("## Every")[0]
    assert len(pd.read_csv(page_folder / "agreement.csv")) == 3
    assert list(pd.read_csv(page_folder / "differing-texts.csv")["token"]) == [1]


def test_an_engine_that_is_not_installed_makes_nothing_wrong(tmp_path: Path) -> None:
    run, made = manifest("f32"), tables(GOOD, "f32")
    params = {"engine": "petals", "model": "stories15m", "nodes": 2, "weights": "f32"}
    reason = "petals is not installed on pi1"
    absent = CellRecord(cell_id="p", params=params, identity={}, nodes=(), unavailable=reason)
    row = {**params, "run": "agreement", "cell_id": "p", "repeat": 1, "state": "unavailable"}
    trials = pd.concat([made.trials, pd.DataFrame([{**row, "trial_id": "p-r1", "reason": reason}])])
    whole = agreed(
        run.model_copy(update={"cells": (*run.cells, absent)}),
        replace(made, trials=trials),
        run_folder(tmp_path),
    )
    assert whole is not None
    assert not whole.is_wrong
    assert "2 texts in 1 cell" in whole.headline


def test_a_report_without_what_the_reference_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HerdError, match="is missing, which holds the expected texts"):
        agreed(manifest("f32"), tables(GOOD, "f32"), tmp_path)
    (tmp_path / REFERENCE_FILE).write_text("{")
    with pytest.raises(HerdError, match="is damaged"):
        agreed(manifest("f32"), tables(GOOD, "f32"), tmp_path)
