"""Before and after: a change is called one only if it is one, and only of a base's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from analysis.blocks import Bullets, Prose
from analysis.cells.family import Claim
from analysis.sections.tuning import section_of, sections
from analysis.study import study_of
from analysis.text.sentence import Sentence, say
from analysis.tuning.changes import BeforeAfter, Changed, PartFigures, before_after_of
from analysis.tuning.figures import documents_scored
from analysis.tuning.pairs import Effect, ScoredText
from analysis.tuning.sentences import MINUS, verdict_sentences
from analysis.within import blocks_in, charts_in, files_in
from collect.run import RunManifest
from collect.tables import Tables
from models.tuned import Change, TunedRecord
from tests.doubles.run_frames import Outcomes
from tests.doubles.tuned_run import (
    AXES,
    BASE,
    EXPORT,
    SAMENESS,
    TUNED,
    asked_before_and_after,
    figures_of_documents,
    make_benchmark,
    make_record,
)

LLAMA = "llama.cpp"
ONE_PAIR: Outcomes = {(LLAMA, model, 1): [10.0] * 6 for model in (BASE, TUNED)}
READ_BASE, READ_TUNED, READ_PROMPTS = "ba" * 32, "5a" * 32, "9e" * 32
DRAWN = np.random.default_rng(7)
DOCUMENTS = [1.2 + 0.4 * float(DRAWN.random()) for _ in range(20)]
NOISE = [0.02 * (float(DRAWN.random()) - 0.5) for _ in range(20)]
GAIN = [before - 0.1 + noise for before, noise in zip(DOCUMENTS, NOISE, strict=True)]
LOSS = [before + 0.1 + noise for before, noise in zip(DOCUMENTS, NOISE, strict=True)]


def documents(after: Sequence[float], count: int = 20) -> tuple[RunManifest, list[PartFigures]]:
    run, tables = make_benchmark(ONE_PAIR)
    bits = {BASE: DOCUMENTS[:count], TUNED: after[:count]}
    return run, [figures_of_documents(run, tables, bits)]


def said_of(run: RunManifest, parts: Sequence[PartFigures]) -> tuple[Sentence, ...]:
    return verdict_sentences(before_after_of(run, parts).rows, run.equivalence_margin)


def only(run: RunManifest, parts: Sequence[PartFigures]) -> Changed:
    (row,) = before_after_of(run, parts).rows
    return row


@pytest.mark.parametrize(
    ("after", "effect", "begins"),
    [
        (GAIN, Effect.GAINED, "Gained on held-out tales: stories15m-tales predicts the text bett"),
        (LOSS, Effect.FORGOTTEN, "Forgotten on held-out tales: stories15m-tales predicts the text"),
        (DOCUMENTS, Effect.NO_DIFFERENCE, "On held-out tales no difference is shown between"),
    ],
)
def test_documents_show_a_gain_only_where_there_is_one(
    after: list[float], effect: Effect, begins: str
) -> None:
    run, parts = documents(after)
    assert only(run, parts).effect is effect
    (said,) = said_of(run, parts)
    assert said.startswith(begins)


def test_a_known_gain_is_said_with_its_figures() -> None:
    run, parts = documents([before - 0.125 for before in DOCUMENTS])
    (said,) = said_of(run, parts)
    before = sum(DOCUMENTS) / 20
    assert f"{before - 0.125:.3f} bits per byte instead of {before:.3f}" in said
    assert (
        f"change {MINUS}0.125, 95 % interval {MINUS}0.125 to {MINUS}0.125, paired over 20 "
        "documents; p < 0.001 after correction)" in said
    )


def test_chance_is_seldom_called_a_change() -> None:
    drawn = np.random.default_rng(3)
    called = 0
    for _ in range(20):
        after = [before + float(drawn.normal(0, 0.05)) for before in DOCUMENTS]
        called += only(*documents(after)).effect is not Effect.NO_DIFFERENCE
    assert called <= 3


def test_few_documents_show_nothing() -> None:
    run, parts = documents(GAIN, count=5)
    assert only(run, parts).effect is Effect.TOO_FEW
    (said,) = said_of(run, parts)
    assert "too few documents" in said
    assert "it takes 6" in said


@pytest.mark.parametrize(
    ("right", "effect"),
    [((5, 25), Effect.GAINED), ((25, 5), Effect.FORGOTTEN), ((12, 12), Effect.NO_DIFFERENCE)],
)
def test_questions_are_paired(right: tuple[int, int], effect: Effect) -> None:
    run, (part,) = documents(GAIN)
    grades = {
        cell.record.cell_id: {f"q{n}": n < hits for n in range(30)}
        for cell, hits in zip(part.cells, right, strict=True)
    }
    row = only(run, [replace(part, documents={}, grades=grades)])
    assert row.effect is effect
    assert row.change is not None
    assert (row.change.before, row.change.after) == (right[0] / 30, right[1] / 30)


def test_answers_of_a_run_are_graded_for_it() -> None:
    study = asked_before_and_after({BASE: 1, TUNED: 3}, questions=4)
    row = only(study.run, [study.figures])
    assert row.change is not None
    assert (row.change.before, row.change.after, row.effect) == (0.25, 0.75, Effect.TOO_FEW)
    assert study.verdict.details[0].startswith("On this run there are too few questions")


@pytest.mark.parametrize(
    ("shift", "effect"), [(1, Effect.GAINED), (-1, Effect.FORGOTTEN), (0, Effect.NO_DIFFERENCE)]
)
def test_ratings_are_paired(shift: int, effect: Effect) -> None:
    run, (part,) = documents(GAIN)
    before, after = (cell.record.cell_id for cell in part.cells)
    scores = {f"q{n}": 2.0 + n % 3 for n in range(30)}
    rated = {before: scores, after: {name: one + shift for name, one in scores.items()}}
    parts = [replace(part, documents={}, ratings={"quality": rated})]
    assert only(run, parts).effect is effect
    (said,) = said_of(run, parts)
    assert "rated" in said
    assert "for quality" in said


@pytest.mark.parametrize(
    ("speed", "claim", "words"),
    [
        (10.0, Claim.SAME, "must not change the speed, and it did not"),
        (8.0, Claim.SLOWER, "but it did: stories15m-tales is slower"),
        (12.0, Claim.FASTER, "but it did: stories15m-tales is faster"),
    ],
)
def test_the_control_says_whether_the_speed_changed(speed: float, claim: Claim, words: str) -> None:
    steps = [0.004 * step for step in (0, 3, 1, 4, 2, 5, 1, 0)]
    speeds: Outcomes = {
        (LLAMA, BASE, 1): [10.0 + step for step in steps],
        (LLAMA, TUNED, 1): [speed + step for step in reversed(steps)],
    }
    study = study_of(*make_benchmark(speeds))
    row = only(study.run, [study.figures])
    assert row.speed is not None
    assert row.speed.finding is claim
    (said,) = said_of(study.run, [study.figures])
    assert words in said
    assert claim in set(study.family.frame()["verdict"])


def test_speeds_of_few_trials_leave_it_open() -> None:
    study = study_of(*make_benchmark({key: [10.0, 10.1] for key in ONE_PAIR}))
    (said,) = said_of(study.run, [study.figures])
    assert "whether it did cannot be determined" in said


def refused(read: dict[str, str] | None, record: TunedRecord | None = None) -> tuple[str, ...]:
    study = study_of(*make_benchmark(ONE_PAIR, [record or make_record()], read))
    found = before_after_of(study.run, [study.figures])
    assert bool(found.rows) != bool(found.refusals)
    return found.refusals


def test_arms_that_read_the_same_weights_are_refused() -> None:
    (why,) = refused({BASE: READ_BASE, TUNED: READ_BASE})
    assert why.endswith(f"with llama.cpp, f32, one node are not compared: both read the same "
                        f"weights ({READ_BASE[:12]}).")  # fmt: skip


@pytest.mark.parametrize("refusals", [(), ("Both read the same weights.",)])
def test_a_refused_comparison_is_not_said_to_come_later(refusals: tuple[str, ...]) -> None:
    run, _ = documents([0.8] * 20)
    empty = BeforeAfter((), tuple(say("{what}", what=one) for one in refusals), ())
    told = str(section_of(run, empty).blocks)

    assert ("Nothing can be compared yet" in told) == (not refusals)
    assert all(one in told for one in refusals)


def test_weights_that_are_not_those_of_the_proof_are_refused() -> None:
    (why,) = refused({BASE: "00" * 32, TUNED: READ_TUNED})
    assert "the weights of stories15m in this run are 000000000000" in why
    (why,) = refused({BASE: READ_BASE, TUNED: "00" * 32})
    assert "it read the weights 000000000000" in why
    assert refused({BASE: READ_BASE, TUNED: READ_TUNED}) == ()


def test_weights_that_are_unknown_are_said_to_be() -> None:
    study = study_of(*make_benchmark(ONE_PAIR))
    warned = [block for block in blocks_in(*sections(study)) if isinstance(block, Bullets)]
    assert any("Of llama.cpp, f32, one node it is unknown" in one.items[0] for one in warned)


def test_a_tuned_model_without_its_base_has_no_before() -> None:
    run, tables = make_benchmark({(LLAMA, TUNED, 1): [10.0] * 6})
    study = study_of(run, tables)
    (why,) = before_after_of(run, [study.figures]).refusals
    assert why == (
        "stories15m-tales has no before: this run has no cell of stories15m, the model it was "
        "made of."
    )


def test_a_cell_without_its_partner_is_named() -> None:
    study = study_of(*make_benchmark({**ONE_PAIR, (LLAMA, TUNED, 2): [10.0] * 6}))
    found = before_after_of(study.run, [study.figures])
    assert len(found.rows) == 1
    (why,) = found.refusals
    assert why == (
        "stories15m-tales with llama.cpp, f32, two nodes has no before: this run has no cell of "
        "stories15m that is the same."
    )


def test_padded_models_are_pairs_of_their_own() -> None:
    speeds: Outcomes = {(LLAMA, f"{model}+kv8", 1): [10.0] * 6 for model in (BASE, TUNED)}
    study = study_of(*make_benchmark({**ONE_PAIR, **speeds}))
    found = before_after_of(study.run, [study.figures])
    assert [(row.arms.base, row.arms.tuned) for row in found.rows] == [
        (BASE, TUNED), (f"{BASE}+kv8", f"{TUNED}+kv8"),
    ]  # fmt: skip


ADAPTED = make_record(
    "swarm-tales",
    parentage=make_record().parentage.model_copy(
        update={"method": "petals-ptune", "base_sha256": READ_BASE}
    ),
    files={},
    adapter={"prompts.safetensors": READ_PROMPTS},
    sameness=None,
)


def adapted(base: str, prompts: str | None) -> tuple[RunManifest, Tables]:
    """Cells of a base without and with an adapter, which read these weights and prompts."""
    speeds: Outcomes = {
        ("petals", BASE, 1, adapter): [10.0 + 0.001 * step for step in range(8)]
        for adapter in ("none", "swarm-tales")
    }
    run, tables = make_benchmark(speeds, [ADAPTED], {BASE: base}, (*AXES, "adapter"))
    if prompts is None:
        return run, tables
    (own,) = (one.cell_id for one in run.cells if one.params["adapter"] == "swarm-tales")
    trials = {trial.trial_id for trial in run.trials if trial.cell_id == own}
    read = [prompts if trial in trials else None for trial in tables.attempts["trial_id"]]
    return run, replace(tables, attempts=tables.attempts.assign(adapter_sha256=read))


def test_an_adapter_is_an_arm_and_never_merged() -> None:
    run, tables = adapted(READ_BASE, READ_PROMPTS)
    study = study_of(run, tables)
    found = before_after_of(run, [study.figures])
    (row,) = found.rows
    assert (row.arms.tuned, row.arms.base, row.arms.is_adapter) == ("swarm-tales", BASE, True)
    assert (found.refusals, found.unchecked) == ((), ())
    said = " ".join(prose.text for prose in blocks_in(*sections(study)) if isinstance(prose, Prose))
    assert "The adapter costs no speed" in said
    assert "swarm-tales was never merged" in said
    assert "merging" not in said


@pytest.mark.parametrize(
    ("base", "prompts", "said"),
    [
        (READ_TUNED, READ_PROMPTS, f"the weights of {BASE} in this run are 5a5a5a5a"),
        (READ_BASE, READ_TUNED, "the prompts 5a5a5a5a"),
    ],
)
def test_an_adapter_beside_another_base_or_another_adapter_is_not_compared(
    base: str, prompts: str, said: str
) -> None:
    run, tables = adapted(base, prompts)
    found = before_after_of(run, [study_of(run, tables).figures])
    assert found.rows == ()
    assert said in found.refusals[0]


def test_an_adapter_whose_hash_no_attempt_has_is_named_as_unchecked() -> None:
    run, tables = adapted(READ_BASE, None)
    found = before_after_of(run, [study_of(run, tables).figures])
    assert len(found.rows) == 1
    assert found.unchecked == (found.rows[0].arms.where,)


def test_an_adapter_without_a_record_is_named() -> None:
    speeds: Outcomes = {("petals", BASE, 1, name): [10.0] for name in ("none", "lost")}
    run, tables = make_benchmark(speeds, axes=(*AXES, "adapter"))
    refusals = before_after_of(run, [study_of(run, tables).figures]).refusals
    assert refusals[0].startswith("lost has no before and after: this run does not say what")


def test_faults_of_the_proof_are_warnings_with_the_first_differing_token() -> None:
    differs = ("the chat template differs from token 3 on: <s> instead of [INST]",)
    export = EXPORT.model_copy(update={"differs": differs})
    sameness = SAMENESS.model_copy(update={"exports": (export,), "faults": ("no logit changed",)})
    study = study_of(*make_benchmark(ONE_PAIR, [make_record(sameness=sameness)]))
    warned = [
        item
        for block in blocks_in(*sections(study))
        if isinstance(block, Bullets) and block.is_warning
        for item in block.items
    ]
    assert "stories15m-tales: no logit changed" in warned
    assert f"stories15m-tales, the file of llama.cpp with f32 weights: {differs[0]}" in warned


def test_the_section_has_its_charts_and_files() -> None:
    run, parts = documents(GAIN)
    section = section_of(run, before_after_of(run, parts))
    assert [chart.name for chart in charts_in([section])] == [
        "gained-and-forgotten",
        "tuning-curve",
    ]
    assert {file.stem for file in files_in([section])} == {"before-after", "sameness", "tuned"}
    (file,) = [file for file in files_in([section]) if file.stem == "before-after"]
    (row,) = file.data.to_dict("records")
    assert (row["tuned"], row["base"], row["quantity"]) == (TUNED, BASE, "bits per byte")
    assert row["change"] == pytest.approx(-0.1, abs=0.01)
    assert row["result"] == "gained"


def test_many_pairs_are_summed_up() -> None:
    speeds: Outcomes = {
        (LLAMA, model, nodes): [10.0] * 6 for model in (BASE, TUNED) for nodes in range(1, 9)
    }
    run, tables = make_benchmark(speeds)
    parts = [figures_of_documents(run, tables, {BASE: DOCUMENTS, TUNED: GAIN})]
    (said,) = said_of(run, parts)
    assert said.startswith(
        "Gained on held-out tales: stories15m-tales is better than stories15m in all 8 pairs"
    )


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.01, 0.05, "with more copied lines after tuning"),
        (-0.05, -0.01, "with fewer copied lines after tuning"),
        (-0.01, 0.05, "no difference shown"),
        (None, None, "from too few documents for an interval"),
    ],
)
def test_memorised_lines_are_said(low: float | None, high: float | None, words: str) -> None:
    change = Change(before=0.0, after=0.02, low=low, high=high, count=60)
    study = study_of(*make_benchmark(ONE_PAIR, [make_record(memorised=change)]))
    said = [prose.text for prose in blocks_in(*sections(study)) if isinstance(prose, Prose)]
    (found,) = [text for text in said if text.startswith("Memorisation")]
    assert words in found


def test_parts_of_a_document_count_together() -> None:
    run, tables = make_benchmark(ONE_PAIR)
    cells = study_of(run, tables).cells
    cells[0].done[["document", "document_bits", "document_bytes"]] = [
        ("a", 10.0, 8), ("b", 7.0, 6), ("a", 5.0, 4), (None, None, None), (None, None, None),
        (None, None, None),
    ]  # fmt: skip
    assert documents_scored(cells[:1]) == {
        cells[0].record.cell_id: {"a": ScoredText(15.0, 12), "b": ScoredText(7.0, 6)}
    }


def test_a_run_without_tuned_models_has_no_section() -> None:
    run, tables = make_benchmark(ONE_PAIR, [])
    study = study_of(run, tables)
    assert list(sections(study)) == []
    assert said_of(run, [study.figures]) == ()


def test_sentences_keep_their_templates() -> None:
    run, parts = documents(GAIN)
    assert all(isinstance(said, Sentence) for said in said_of(run, parts))
