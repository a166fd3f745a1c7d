"""From judgements to the report: agreement against known figures, means over questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.report import write_report
from analysis.statistics.kappa import weighted_kappa
from analysis.text.wording import DASH, NOTHING
from collect.ratings import RUBRICS, Judgement, answer_hash
from experiments.rating.store import judgements_of
from tests.doubles.asked_run import make_asked_run


def scores(digits: str) -> list[int]:
    return [int(digit) for digit in digits]


@pytest.mark.parametrize(
    ("first", "second", "kappa"),
    [
        # By scikit-learn 1.9: cohen_kappa_score(first, second, weights="quadratic").
        ("533514212134", "545434113135", 0.75),
        ("533514212134", "212554221122", 0.23972602739726034),
        ("545434113135", "212554221122", 0.16521739130434787),
        ("333333333334", "433333333333", -0.09090909090909105),
        ("12345123451", "12345123451", 1.0),
        ("1515151515", "5151515151", -1.0),
    ],
)
def test_kappa_is_as_others_compute_it(first: str, second: str, kappa: float) -> None:
    assert weighted_kappa(scores(first), scores(second)) == pytest.approx(kappa)
    assert weighted_kappa(scores(second), scores(first)) == pytest.approx(kappa)


def test_kappa_is_what_its_definition_by_tables_says() -> None:
    generator = np.random.default_rng(3)
    weights = np.subtract.outer(np.arange(5), np.arange(5)) ** 2
    for _ in range(50):
        pairs = generator.integers(0, 5, size=(2, 17))
        seen = np.zeros((5, 5))
        np.add.at(seen, (pairs[0], pairs[1]), 1)
        by_chance = np.outer(seen.sum(1), seen.sum(0)) / 17
        expected = 1 - (weights * seen).sum() / (weights * by_chance).sum()
        first, second = ([int(score) + 1 for score in one] for one in pairs)
        assert weighted_kappa(first, second) == pytest.approx(expected)


def test_kappa_says_nothing_of_too_few_answers_or_of_raters_who_never_vary() -> None:
    assert weighted_kappa(scores("123451234"), scores("123451234")) is None
    assert weighted_kappa([], []) is None
    assert weighted_kappa([3] * 12, [3] * 12) is None
    assert weighted_kappa([3] * 12, [4] * 12) == 0


QUESTIONS = {f"q{number:02d}": f"Question {number}?" for number in range(1, 13)}
GIVEN = {
    1: [{name: f"good {name}" for name in QUESTIONS}],
    2: [{name: f"bad {name}" for name in QUESTIONS}],
    4: [{name: f"bad {name}" for name in QUESTIONS}],
}


def rate(run: Path, rater: str, texts: Sequence[str], digits: str, **more: object) -> None:
    """Give the answers of that text, by question, one score in every rubric each."""
    with judgements_of(run, rater) as store:
        for name, text, score in zip(QUESTIONS, texts, digits, strict=False):
            judged = dict.fromkeys(RUBRICS, int(score)) | more
            answer = answer_hash(text)
            store.add(
                Judgement.model_validate({"at": 0, "question": name, "answer": answer} | judged)
            )


GOOD, BAD = list(GIVEN[1][0].values()), list(GIVEN[2][0].values())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_asked_run(tmp_path / "results", QUESTIONS, GIVEN)


def report(run: Path) -> tuple[str, str, Path]:
    index = write_report(run, run.parents[1] / "reports").index
    markdown = (index.parent / "report.md").read_text()
    return index.read_text(), markdown, index.parent / "ratings.csv"


def test_a_report_without_ratings_has_no_such_section(run: Path) -> None:
    page, markdown, csv = report(run)
    assert "Ratings" not in page + markdown
    assert not csv.exists()


def test_means_are_over_raters_then_over_questions_and_a_shared_answer_counts_for_all(
    run: Path,
) -> None:
    rate(run, "kim", GOOD, "555")
    rate(run, "lee", GOOD, "3")
    rate(run, "kim", BAD, "12", comment="짧다")

    page, markdown, csv = report(run)

    # (4 + 5 + 5) / 3, not (5 + 5 + 5 + 3) / 4; two questions give no interval.
    row = f"| llama.cpp, one node | 4.7 (range 4.0{DASH}5.0), 3 questions |"
    assert row in markdown
    assert row.replace("one node", "two nodes") not in markdown
    for nodes in ("two", "four"):
        assert f"| llama.cpp, {nodes} nodes | 1.5 (range 1.0{DASH}2.0), 2 questions |" in markdown
    assert "for these 3 questions and for no others" in page
    assert "<td>kim: 짧다</td>" in page
    assert '<td class="number">5, 3</td>' in page, "every point is shown"
    rows = pd.read_csv(csv)
    assert len(rows) == 3 + 1 + 2 + 2
    assert list(rows[rows["rater"] == "lee"]["quality"]) == [3]


def test_who_rated_and_how_much_is_told(run: Path) -> None:
    rate(run, "kim", GOOD, "555")
    rate(run, "김철수", BAD, "44", accuracy=None)
    _, markdown, _ = report(run)
    assert "| kim | 3 of 24 | 0 | 1970-01-01 | 1970-01-01 |" in markdown
    assert "| 김철수 | 0 of 24 | 2 | 1970-01-01 | 1970-01-01 |" in markdown


def test_agreement_is_of_pairs_over_the_answers_that_both_judged(run: Path) -> None:
    rate(run, "a", GOOD, "533514212134")
    rate(run, "b", GOOD, "545434113135")
    rate(run, "b", BAD, "111")
    _, markdown, _ = report(run)
    assert "| a, b | 0.75 (n = 12) | 0.75 (n = 12) |" in markdown
    assert "Mean of" not in markdown

    rate(run, "c", GOOD, "212554221122", detail=None)
    rate(run, "d", GOOD, "2")
    _, markdown, _ = report(run)
    assert f"| a, c | 0.24 (n = 12) | {NOTHING} (n = 0) |" in markdown
    assert f"| a, d | {NOTHING} (n = 1) | {NOTHING} (n = 1) |" in markdown
    assert "| Mean of 6 pairs | 0.38 (3 pairs) | 0.75 (1 pair) |" in markdown
