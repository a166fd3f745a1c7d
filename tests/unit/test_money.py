"""What asking costs: the estimate, the ceiling, the bill; and the matrix of `fab compare`."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from collect.account import Account
from collect.workloads import Questions
from core.errors import HerdError
from experiments.fleet.cluster import Cluster
from experiments.planning.compare import comparison, require_writable
from experiments.planning.describe import describe
from experiments.planning.money import most_of_trial, parse_sum
from experiments.planning.plan import make_plan
from experiments.planning.systems import load_systems
from experiments.runner import RunResult
from tests.doubles.api_server import (
    DONE,
    Behaviour,
    answering,
    delta,
    refusing,
    saying,
    serving,
)
from tests.doubles.asking_run import cell, matrix, run, systems_file

PRICE = "{input: 10, output: 100, currency: EUR, date: 2026-01-01}"
"""A token read is 10 millionths, a token generated 100."""
MOST_READ = len("Why?") + 64
MOST = (10 * MOST_READ + 100 * 16) / 1e6


def priced(
    tmp_path: Path,
    *behaviours: Behaviour,
    questions: Sequence[str] = ("Why?",),
    max_cost: float | None = None,
    price: str = PRICE,
    **more: object,
) -> tuple[RunResult, int, str]:
    """The result, how many requests there were, and what was printed."""
    printed = StringIO()
    with serving(*behaviours) as (url, requests):
        path = systems_file(tmp_path, url.removesuffix("/chat/completions"), price=price)
        console = Console(file=printed, width=1000)
        asked = matrix(path, *questions, **more)
        result = run(tmp_path, asked, console=console, max_cost=max_cost)
    return result, len(requests), printed.getvalue()


def test_the_most_that_a_trial_can_cost_is_reckoned_from_bytes_and_the_longest_answer(
    tmp_path: Path,
) -> None:
    path = systems_file(tmp_path, "https://a/v1", price=PRICE)
    most = most_of_trial(cell(matrix(path, "Why?", "왜?")))
    assert most is not None
    assert most.most_read_tokens == (4 + 64) + (4 + 64)
    assert most.most_generated_tokens == 32
    replayed = matrix(path, "Why?", axes={"system": ("api",), "answers": ("replayed",)})
    assert most_of_trial(cell(replayed)) is None


def test_the_estimate_comes_first_and_the_bill_by_usage_last(tmp_path: Path) -> None:
    result, _, printed = priced(tmp_path, saying("yes", 10, 2), saying("no", 20, 3), repeats=2)

    estimate = f"api: 2 answers to ask, at most {2 * MOST:.4f} EUR (prices of 2026-01-01)"
    assert printed.startswith(f"{estimate}\n{RULE}\n")
    assert result.bill == (
        "api: 2 answers, 30 tokens read, 5 generated: 0.0008 EUR (prices of 2026-01-01)",
    )


RULE = "Questions that fail are asked again and cost again; `--max-cost` limits the total."


def test_the_plan_tells_what_priced_systems_cost_at_most_and_what_limits_it(
    tmp_path: Path,
) -> None:
    path = two_systems(tmp_path, f"price: {PRICE}", f"price: {PRICE}")
    asked = matrix(path, "Why?", axes={"system": ("one", "other")}, repeats=3)

    lines = describe(make_plan(asked, Cluster(())))

    assert lines[lines.index("Money:") + 1 :] == [
        f"one: 3 answers to ask, at most {3 * MOST:.4f} EUR (prices of 2026-01-01)",
        f"other: 3 answers to ask, at most {3 * MOST:.4f} EUR (prices of 2026-01-01)",
        f"together at most {6 * MOST:.4f} EUR",
        RULE,
    ]


def test_the_plan_names_what_has_no_price_and_adds_up_one_currency_only(tmp_path: Path) -> None:
    path = two_systems(tmp_path, f"price: {PRICE}", "key_env: A_KEY")
    asked = matrix(path, "Why?", axes={"system": ("one", "other")})
    lines = describe(make_plan(asked, Cluster(())))
    assert lines[-2:] == ["other: no price is given", RULE]

    load_systems.cache_clear()
    path = two_systems(tmp_path, f"price: {PRICE}", f"price: {PRICE.replace('EUR', 'USD')}")
    lines = describe(make_plan(asked, Cluster(())))
    assert not [line for line in lines if "together" in line]


def test_a_plan_without_a_price_says_nothing_of_money(tmp_path: Path) -> None:
    path = two_systems(tmp_path, "key_env: A_KEY", "about: free")
    asked = matrix(path, "Why?", axes={"system": ("one", "other")})
    assert "Money:" not in describe(make_plan(asked, Cluster(())))


def two_systems(folder: Path, one: str, other: str) -> Path:
    """A file of the systems `one` and `other`, each with a line of its own."""
    path = folder / "systems.yml"
    system = "engine: openai, url: https://a/v1, model: m"
    path.write_text(f"systems:\n  one: {{{system}, {one}}}\n  other: {{{system}, {other}}}\n")
    return path


def test_more_than_the_ceiling_is_refused_with_the_figures_and_nothing_begins(
    tmp_path: Path,
) -> None:
    with pytest.raises(HerdError) as caught:
        priced(tmp_path, saying("yes"), max_cost=0.001)

    assert "may cost more than --max-cost 0.001" in str(caught.value)
    assert f"1 answers to ask, at most {MOST:.4f} EUR" in str(caught.value)
    assert not list((tmp_path / "results").glob("asked-*"))


def test_a_ceiling_that_is_high_enough_lets_pass(tmp_path: Path) -> None:
    result, requests, printed = priced(tmp_path, saying("yes"), max_cost=MOST)
    assert (result.counts["done"], requests) == (1, 1)
    assert f"--max-cost {MOST:g}: no question is asked that could exceed it." in printed


def test_attempts_that_fail_do_not_break_the_ceiling(tmp_path: Path) -> None:
    cut = answering(delta("Hel"), end="")
    with pytest.raises(HerdError) as caught:
        priced(tmp_path, cut, saying("yes"), max_cost=1.5 * MOST)

    assert "once more may cost" in str(caught.value)
    (folder,) = (tmp_path / "results").glob("asked-*")
    account = Account.read(folder)
    assert account.counts()["pending"] == 1
    assert len(account.trials[0].attempts) == 1, "what was asked is kept"


def test_what_was_spent_before_counts_when_a_run_goes_on(tmp_path: Path) -> None:
    cut = answering(delta("Hel"), end="")
    with serving(cut, refusing("401 No", "x")) as (url, requests):
        path = systems_file(tmp_path, url.removesuffix("/chat/completions"), price=PRICE)
        asked = matrix(path, "Why?", max_attempts=3)
        first = run(tmp_path, asked)
        assert first.counts["failed"] == 0
        with pytest.raises(
            HerdError, match=r"may cost more than .*so far api: 2 answers"
        ) as caught:
            run(tmp_path, asked, max_cost=1.5 * MOST)

    assert len(requests) == 2
    assert f"at most {MOST:.4f} EUR for 1 not counted" in str(caught.value)


def test_answers_whose_usage_is_not_told_are_reckoned_at_the_most(tmp_path: Path) -> None:
    result, _, _ = priced(tmp_path, answering(delta("yes"), DONE))

    (line,) = result.bill
    assert line.startswith("api: 1 answers, 0 tokens read, 0 generated: 0.0000 EUR")
    assert f"and at most {MOST:.4f} EUR for 1 not counted" in line


def test_what_a_server_refuses_costs_nothing(tmp_path: Path) -> None:
    result, _, _ = priced(tmp_path, *[refusing("400 No", "x")] * 2)
    assert result.counts["failed"] == 1
    assert result.bill[0].startswith("api: 2 answers, 0 tokens read, 0 generated: 0.0000 EUR (")


def test_a_ceiling_needs_a_price_where_a_key_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "sk-some")
    path = systems_file(tmp_path, "https://a/v1", key_env="A_KEY")
    with pytest.raises(HerdError, match="api has no price"):
        run(tmp_path, matrix(path, "Why?"), max_cost=1.0)


@pytest.mark.parametrize("text", ["much", "-1", "nan"])
def test_a_ceiling_is_an_amount(text: str) -> None:
    with pytest.raises(HerdError, match=f"--max-cost {text}: give an amount"):
        parse_sum(text)


# -- the matrix of a comparison


def test_a_comparison_has_the_systems_and_questions_that_were_named(tmp_path: Path) -> None:
    file = tmp_path / "q.yml"
    file.write_text("title: Mine\nquestions: [{id: q, text: Why}]\n")

    asked = comparison(questions=str(file), systems="chatgpt,my-server", repeats="3", replay=True)

    assert asked.axes == {"system": ("chatgpt", "my-server"), "answers": ("replayed",)}
    assert asked.repeats == 3
    assert isinstance(asked.workload, Questions)
    assert [question.text for question in asked.workload.asked] == ["Why"]
    assert [one.params["answers"] for one in asked.cells()] == ["replayed", "replayed"]


def test_a_comparison_without_questions_is_none() -> None:
    with pytest.raises(HerdError, match="its workload must be `questions`"):
        comparison(matrix="experiments/matrices/scaling.yml", systems="chatgpt")


def test_where_the_answers_go_is_looked_at_before_anything_is_asked(tmp_path: Path) -> None:
    require_writable(tmp_path / "compare.txt")
    for file in (tmp_path, tmp_path / "nowhere" / "x.txt"):
        with pytest.raises(HerdError, match=f"--export {file}: it cannot be written"):
            require_writable(file)
