"""What the report makes of the answers of several systems."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.answers.comparison import Comparison, comparison_of
from analysis.answers.detail import said_again, script_of
from analysis.cells.cells import cell_results
from analysis.cells.series import series_of
from analysis.reading import Evidence
from analysis.report import compose
from analysis.text.wording import DASH
from collect.questions import AnswerKey, Question
from collect.ratings import Judgement, answer_hash
from collect.run import Price, SystemRecord
from tests.doubles.asked import API, Asked, make_asked

SIX = tuple(
    Question(id=f"q{n}", text=f"What is {n} + {n}?", key=AnswerKey(kind="numeric", value=2.0 * n))
    for n in range(6)
)
FORTY = tuple(
    Question(id=f"q{n}", text=f"What is {n} + {n}?", key=AnswerKey(kind="numeric", value=2.0 * n))
    for n in range(40)
)
OPEN = (Question(id="why", text="Why is it slow?"), Question(id="왜", text="왜 느립니까?"))


def right(questions: Sequence[Question], wrong: int = 0) -> list[str]:
    """The answers of a system that errs on the first so many questions."""
    sums = [question.key.value for question in questions if question.key]
    return ["nothing" if n < wrong else f"It is {value}." for n, value in enumerate(sums)]


def compared(questions: Sequence[Question], *systems: Asked) -> Comparison:
    run, tables = make_asked(questions, systems)
    found = comparison_of(run, tables, series_of(cell_results(run, tables.trials)))
    assert found is not None
    return found


def test_answers_are_warned_of_by_questions_and_not_by_trials(tmp_path: Path) -> None:
    one, other = (Asked(name, [right(FORTY)], API) for name in ("one", "other"))
    page = page_of(tmp_path, FORTY, one, replace(other, params={"engine": "llama.cpp", "model": "m",
                   "nodes": 2, "weights": "q4_0"}))  # fmt: skip
    assert "The speed of each cell is from" not in page
    assert "Below six trials" not in page


def page_of(folder: Path, questions: Sequence[Question], *systems: Asked) -> str:
    compose(*make_asked(questions, systems), folder)
    return (folder / "index.html").read_text("utf-8")


def timed(text: str = "Yes.", **columns: Any) -> Mapping[str, Any]:  # noqa: ANN401 - any column
    return {"text": text, **columns}


def test_six_questions_never_name_a_winner_even_if_one_system_gets_all_and_one_none() -> None:
    found = compared(SIX, Asked("good", [right(SIX)]), Asked("bad", [right(SIX, wrong=6)]))

    told = " ".join((*found.sentences, *found.caveats))
    assert told.startswith("On these six questions, ")
    assert "good 6 (95 %: 61-100 %) and bad 0 (95 %: 0-39 %)" in told.replace(DASH, "-")
    assert "No system can be called more accurate than another: that takes 30" in told
    assert found.accuracy_pairs is not None
    assert [row[-1].text for row in found.accuracy_pairs.rows] == [
        "6 questions: too few to name one"
    ]
    assert "right more often" not in told


def test_many_questions_name_the_better_one_with_the_test_that_says_so() -> None:
    systems = [
        Asked("a", [right(FORTY)]),
        Asked("b", [right(FORTY, 12)]),
        Asked("c", [right(FORTY, 13)]),
    ]
    told = " ".join(compared(FORTY, *systems).sentences)

    better = "a is right more often than b: it alone was right on 12 questions, and wrong on 0"
    assert better in told
    assert "(exact McNemar, Holm over 12 comparisons: p = 0.005)" in told
    assert "b is right more often than c" not in told
    assert "For no other pair of systems is it clear which is more accurate." in told


def test_a_question_asked_several_times_is_right_if_more_than_half_of_its_answers_are() -> None:
    half = Asked("half", [right(SIX), right(SIX, wrong=6)])
    most = Asked("most", [right(SIX), right(SIX), right(SIX, wrong=6)])
    assert compared(SIX, half).accuracy.rows[0][1].text == "0"  # type: ignore[union-attr]
    assert compared(SIX, most).accuracy.rows[0][1].text == "6"  # type: ignore[union-attr]


def test_an_answer_that_is_missing_counts_as_wrong_and_stays_in_the_denominator() -> None:
    silent = Asked("silent", [[timed(""), *right(SIX)[1:]]])
    found = compared(SIX, silent, Asked("other", [right(SIX)]))
    assert found.accuracy is not None
    assert [cell.text for cell in found.accuracy.rows[0][1:3]] == ["5", "6"]
    assert found.accuracy.rows[0][-1].text == "1"
    assert "Answered 1 keyed question with nothing" in improvements(found, "silent")


def test_times_of_an_api_are_said_to_be_of_the_internet_wherever_they_stand(tmp_path: Path) -> None:
    fast = [timed(ttft_ms=50.0, total_ms=500.0)] * 2
    page = page_of(tmp_path, OPEN, Asked("chatgpt", [fast], API), Asked("pc", [["Yes."] * 2]))

    headline = re.search("<h1>(.*?)</h1>", page)
    assert headline
    told = f"chatgpt after 0.500 (range 0.500{DASH}0.500, 50 %) s (end-to-end over the Internet)"
    assert told in headline[1]
    assert "not the speed of an engine" in page
    assert "chatgpt (over the Internet): 0.500 s" in page
    chart = pd.read_csv(tmp_path / "whole-answer.csv")
    told = dict(zip(chart["system"], chart["measured"], strict=True))
    assert told == {
        "chatgpt": "end-to-end over the Internet",
        "pc": "on the cluster, by the node's clock",
    }
    cells = pd.read_csv(tmp_path / "decode-rate.csv")
    assert set(cells["series"]) == {"pc"}, "an API has no nodes to be drawn over"


def test_replayed_answers_are_read_but_not_timed(tmp_path: Path) -> None:
    kept = [timed(replayed=True, ttft_ms=None, total_ms=None, tokens_per_s=None, decode_ms=None)]
    page = page_of(tmp_path, OPEN[:1], Asked("kept", [kept], API), Asked("pc", [["No."]]))

    assert "Answers of kept were replayed from a record" in page
    assert "not: replayed answers" in page
    assert set(pd.read_csv(tmp_path / "whole-answer.csv")["system"]) == {"pc"}
    assert "replayed, not timed" in page


def test_a_run_of_apis_alone_has_no_speed_over_nodes_and_misses_none(tmp_path: Path) -> None:
    page = page_of(tmp_path, OPEN, Asked("one", [["a", "b"]], API), Asked("two", [["c", "d"]], API))
    assert "Nothing was measured" not in page
    assert "One node decodes" not in page
    assert not (tmp_path / "decode-rate.csv").exists()
    assert (tmp_path / "whole-answer.csv").exists()


def test_times_that_a_replayed_answer_still_has_are_left_out() -> None:
    mixed = [timed(total_ms=9000.0, replayed=True), timed(total_ms=1000.0)]
    (system,) = compared(OPEN, Asked("mixed", [mixed])).systems
    assert system.by_question("total_ms") == {"왜": 1000.0}


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://api.example.org/v1", "the Internet"),
        ("https://8.8.8.8/v1", "the Internet"),
        ("http://127.0.0.1:8080/v1", "near by"),
        ("http://192.168.1.7:11434/v1", "near by"),
        ("http://[::1]:80/v1", "near by"),
        ("http://desk:8080/v1", "near by"),
        ("http://desk.local/v1", "near by"),
    ],
)
def test_a_server_in_the_own_network_is_not_called_the_internet(url: str, place: str) -> None:
    run, tables = make_asked(
        OPEN, [Asked("api", [["Yes.", "네."]], API)], {"api": SystemRecord(url=url, model="m")}
    )
    found = comparison_of(run, tables, series_of(cell_results(run, tables.trials)))
    assert found is not None
    assert found.systems[0].is_remote == (place == "the Internet")
    assert ("over the Internet" in found.sentences[0]) == (place == "the Internet")


def test_the_bill_has_every_paid_attempt_and_no_replayed_answer(tmp_path: Path) -> None:
    price = Price(input=1.0, output=10.0, currency="EUR", date=date(2026, 11, 1))
    paid = SystemRecord(url="https://api.example.org/v1", model="m", price=price)
    answers = [
        [timed(prompt_tokens=100, tokens=50), timed(prompt_tokens=300, tokens=150)],
        [timed(prompt_tokens=100, tokens=50, replayed=True), timed(prompt_tokens=300, tokens=150)],
    ]
    run, tables = make_asked(
        OPEN, [Asked("paid", answers, API), Asked("pc", [["a", "b"]] * 2)], {"paid": paid}
    )
    lost = tables.answers.iloc[:1].assign(attempt_id="cell0-r1-a0", tokens=1000)
    tables = replace(tables, answers=pd.concat([tables.answers, lost], ignore_index=True))
    page_folder = tmp_path / "page"
    page_folder.mkdir()
    compose(run, tables, page_folder)

    (row,) = pd.read_csv(page_folder / "price.csv").to_dict("records")
    assert (row["tokens_read"], row["tokens_generated"]) == (800, 1350)
    assert (row["bill"], row["currency"]) == (pytest.approx(0.0143), "EUR")
    assert row["per_1000_answers"] == pytest.approx(1.2, 0.01)
    strengths = pd.read_csv(page_folder / "strengths.csv")
    assert "Costs 1.20 EUR for 1000 answers, by the prices of 2026-11-01" in set(strengths["what"])
    assert 'id="price"' in (page_folder / "index.html").read_text("utf-8")


def test_every_dot_is_an_answer_and_intervals_are_over_questions(tmp_path: Path) -> None:
    trials = [
        [timed(total_ms=1000.0 * (n + 1) + 10 * trial) for n in range(6)] for trial in range(3)
    ]
    compose(*make_asked(SIX, [Asked("pc", trials)]), tmp_path)
    chart = pd.read_csv(tmp_path / "whole-answer.csv")

    assert (chart["kind"] == "answer").sum() == 18
    (median,) = chart[chart["kind"] == "median"].to_dict("records")
    assert median["value_ms"] == 3510.0
    assert median["low_ms"] < 2000, "as wide as the questions differ, not as the trials do"
    assert median["high_ms"] > 5000


def alike(systems: int, questions: Sequence[Question], **columns: Any) -> list[Asked]:  # noqa: ANN401
    """Systems whose times differ by nothing but noise."""
    rng = np.random.default_rng(4)
    return [
        Asked(
            f"s{n}",
            [[timed(total_ms=2000 * float(rng.lognormal(0, 0.05)), **columns) for _ in questions]],
        )
        for n in range(systems)
    ]


def test_forty_questions_tell_which_of_two_systems_is_sooner_and_six_do_not() -> None:
    def systems(questions: Sequence[Question]) -> list[Asked]:
        slow = [timed(total_ms=4000.0 + 10 * n) for n in range(len(questions))]
        quick = [timed(total_ms=2000.0 + 9 * n) for n in range(len(questions))]
        return [Asked("quick", [quick]), Asked("slow", [slow])]

    many, few = compared(FORTY, *systems(FORTY)), compared(SIX, *systems(SIX))

    (row,) = (row for row in many.family.rows if row.pair.what == "whole answer")
    assert (row.pair.numerator.name, row.finding, row.pair.n) == ("quick", "faster", 40)
    assert "Whole answer soonest: 2.18 s, sooner than slow" in strengths(many, "quick")
    assert any(
        figure.name == "Fastest whole answer" and figure.about == "quick" for figure in many.figures
    )
    assert all(row.finding == "cannot tell" for row in few.family.rows)
    assert "sooner than the other on 6 of 6" in strengths(few, "quick")
    told = " ".join((*few.sentences, strengths(few, "quick"), *(f.name for f in few.figures)))
    for word in ("soonest", "fastest", "best", "faster"):
        assert word not in told.lower()
    (answer,) = (figure for figure in few.figures if figure.name == "Whole answer")
    assert answer.about == "quick 2.02 s and slow 4.03 s; on these six questions"


def test_of_systems_that_are_alike_none_is_named_the_first() -> None:
    found = compared(FORTY, *alike(4, FORTY))
    (answer,) = (
        figure for figure in found.figures if figure.unit == "s" and "nswer" in figure.name
    )
    assert answer.name == "Whole answer"
    assert answer.about.endswith("not distinguishable")
    two = compared(FORTY, *alike(2, FORTY)).sentences
    assert "It is unclear which of the two systems is more accurate." in two
    assert "soonest" not in " ".join(strengths(found, f"s{n}") for n in range(4))


def test_what_a_user_waited_for_answers_that_were_asked_again_is_in_every_time() -> None:
    again = [timed(total_ms=2480.0, ttft_ms=300.0, tries=4, waited_ms=45_000.0)] * 4
    once = [timed(total_ms=2480.0, ttft_ms=300.0)] * 2
    systems = [
        Asked("chatgpt", [[*again, *once]], API),
        Asked("pc", [[timed(total_ms=15_800.0)] * 6]),
    ]
    found = compared(SIX, *systems)

    assert found.sentences[0].startswith("On these six questions, the whole answer came from pc ")
    assert "chatgpt after 47.5 (" in found.sentences[0]
    assert "sooner than the other on 4 of 6" in strengths(found, "pc")
    assert "Whole answer" not in strengths(found, "chatgpt")
    assert any("chatgpt for 4 of 6 answers" in caveat for caveat in found.caveats)
    waiting = found.frames["waiting"].set_index("system")
    assert waiting.loc["chatgpt", "answers_asked_again"] == 4
    assert waiting.loc["chatgpt", "last_try_s"] == pytest.approx(2.48, 0.2)
    assert waiting.loc["chatgpt", "whole_answer_s"] == pytest.approx(47.5, 0.01)
    answers = found.frames["answers"]
    assert answers["asked_to_whole_ms"].max() == 47_480.0


def improvements(found: Comparison, name: str) -> str:
    (traits,) = (traits for traits in found.traits if traits.system == name)
    return "; ".join(line.text for line in traits.to_improve)


def strengths(found: Comparison, name: str) -> str:
    (traits,) = (traits for traits in found.traits if traits.system == name)
    return "; ".join(line.text for line in traits.strengths)


def test_strengths_and_shortcomings_are_told_with_their_figures() -> None:
    circle = "on and on and on and on and on and on and on"
    slow = [timed(circle, total_ms=8000.0, truncated=True, tries=3, waited_ms=2500.0)] * 2
    odd = [timed("Yes.", total_ms=520.0, refused=True), timed("네.", total_ms=400.0)]
    found = compared(OPEN, Asked("slow", [slow, slow]), Asked("quick", [odd, ["No.", "네."]]))

    assert "Whole answer on these 2 questions: 10.5 s, later than the other on 2 of 2" in (
        improvements(found, "slow")
    )
    assert "Cut off at the most tokens allowed: 4 of 4 answers" in improvements(found, "slow")
    assert "Repeats itself: 82 %" in improvements(found, "slow")
    assert "In another writing than the question: 1 of 2 answers" in improvements(found, "slow")
    assert "asked again for 4 of 4 answers, up to 2.50 s longer" in improvements(found, "slow")
    assert "The same answer in every trial to 2 questions" in strengths(found, "slow")
    assert "Whole answer on these 2 questions: 1.28 s, sooner than the other on 2 of 2" in (
        strengths(found, "quick")
    )
    assert "Refused to answer: 1 of 4 answers" in improvements(found, "quick")
    assert "Another answer from trial to trial to 1 of 2 questions" in improvements(found, "quick")


def test_what_raters_gave_is_a_strength_where_most_questions_agree(tmp_path: Path) -> None:
    questions = SIX[:3]
    systems = [Asked("liked", [["a", "b", "c"]]), Asked("not", [["d", "e", "f"]])]
    given = {"a": (5, 3), "b": (4, 3), "c": (3, 3), "d": (1, 2), "e": (2, 4), "f": (4, 4)}
    judged = [
        Judgement(
            question=questions[place % 3].id,
            answer=answer_hash(text),
            quality=quality,
            detail=detail,
            at=1.0,
        )
        for place, (text, (quality, detail)) in enumerate(given.items())
    ]
    run, tables = make_asked(questions, systems)
    compose(run, tables, tmp_path, Evidence(ratings={"ann": judged}))

    told = pd.read_csv(tmp_path / "strengths.csv").groupby(["system", "kind"])["what"].apply(list)
    assert (
        "Rated for quality on these 3 questions: 4.00 of 5, above the other on 2 of 3"
        in (told["liked", "strength"])
    )
    assert (
        "Rated for quality on these 3 questions: 2.33 of 5, below the other on 2 of 3"
        in (told["not", "to improve"])
    )
    assert (
        "Rated for detail on these 3 questions: 3.33 of 5, above the other on 2 of 3"
        in (told["not", "strength"])
    )
    assert 'id="ratings"' in (tmp_path / "index.html").read_text("utf-8")


def test_a_median_that_most_questions_contradict_is_no_strength() -> None:
    one = [timed(total_ms=ms) for ms in (10.0, 20.0, 29.0, 31.0, 90.0)]
    two = [timed(total_ms=ms) for ms in (9.0, 19.0, 30.0, 32.0, 89.0)]
    found = compared(SIX[:5], Asked("one", [one]), Asked("two", [two]))
    assert "Whole answer" not in strengths(found, "one")


def test_every_line_leads_to_a_part_of_the_page(tmp_path: Path) -> None:
    systems = [Asked("a", [right(SIX)]), Asked("b", [right(SIX, 3)]), Asked("c", [["?"] * 6], API)]
    page = page_of(tmp_path, SIX, *systems)
    wanted = set(re.findall(r'href="#([^"]+)"', page))
    assert {"accuracy", "answers", "side-by-side"} <= wanted
    assert wanted <= set(re.findall(r'id="([^"]+)"', page))


def test_what_a_system_answers_cannot_break_the_page_or_the_markdown(tmp_path: Path) -> None:
    nasty = '</p><script>alert(1)</script> | a | b |\n\n# c "quoted" `\u2028'
    page = page_of(tmp_path, OPEN[:1], Asked("<b>x</b>", [[nasty]]), Asked("y", [["ok"]]))
    assert "<script>alert" not in page
    assert "<b>x</b>" not in page
    rows = [
        line for line in (tmp_path / "report.md").read_text("utf-8").splitlines() if "alert" in line
    ]
    assert len(rows) == 1
    assert rows[0].replace("\\|", "").count("|") == 0


def test_every_table_is_a_file_too(tmp_path: Path) -> None:
    compose(*make_asked(SIX, [Asked("a", [right(SIX)]), Asked("b", [right(SIX, 3)])]), tmp_path)
    for name in (
        "answers",
        "waiting",
        "waiting-pairs",
        "accuracy",
        "accuracy-pairs",
        "detail",
        "strengths",
    ):
        assert len(pd.read_csv(tmp_path / f"{name}.csv")), name
    answers = pd.read_csv(tmp_path / "answers.csv")
    assert answers.groupby("system")["right"].sum().to_dict() == {"a": 6, "b": 3}


def test_a_single_system_is_shown_without_being_compared(tmp_path: Path) -> None:
    page = page_of(tmp_path, OPEN, Asked("alone", [["Yes.", "네."]]))
    assert "On these two questions, the whole answer came from alone after" in page
    assert not (tmp_path / "waiting-pairs.csv").exists()


@pytest.mark.parametrize(
    ("text", "share"),
    [("", 0), ("a b", 0), ("one two three four", 0), ("a a a a a", 2 / 3), ("A b. a B a b", 2 / 4)],
)
def test_how_much_is_said_again(text: str, share: float) -> None:
    assert said_again(text) == pytest.approx(share)


@pytest.mark.parametrize(
    ("text", "script"),
    [("Yes", "LATIN"), ("네, yes 그렇습니다", "HANGUL"), ("42 !", ""), ("да", "CYRILLIC")],
)
def test_the_writing_of_a_text(text: str, script: str) -> None:
    assert script_of(text) == script
