"""CSV files hold plain numbers; what rounding hides is told as bounds or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis.cells.series import constants
from analysis.cells.sync import LinkUse, SyncShare
from analysis.report import compose
from analysis.text.wording import DASH
from collect.questions import AnswerKey, Question
from collect.run import Price, SystemRecord
from tests.doubles.asked import API, Asked, make_asked
from tests.doubles.run_frames import Outcomes, make_frames, make_series

DLLAMA, LLAMA = "distributed-llama", "llama.cpp"
OUTCOMES: Outcomes = {
    (DLLAMA, 1): [1000.0 + k for k in range(6)],
    (DLLAMA, 2): [2000.0 + k for k in range(6)],
    (LLAMA, 1): [900.0, "failed", 910.0, 905.0, 890.0, 901.0],
}


def test_every_figure_of_the_cells_is_a_number_in_a_column_of_its_own(tmp_path: Path) -> None:
    compose(*make_frames(OUTCOMES), tmp_path)
    cells = pd.read_csv(tmp_path / "cells.csv")
    text = {"model", "series", "state"}
    assert {name for name in cells if not pd.api.types.is_numeric_dtype(cells[name])} == text
    two = cells.iloc[1]
    assert two["tokens_per_s"] == pytest.approx(2002.5, abs=0.6)
    assert two["tokens_per_s_low"] == 2000.0
    assert two["speed_up_low"] < two["speed_up"] < two["speed_up_high"]
    assert two["efficiency"] == pytest.approx(1.0, abs=0.01)
    assert list(cells["attempts_made"]) == [6, 6, 7]


def test_no_csv_holds_numbers_as_they_are_written_for_readers(tmp_path: Path) -> None:
    compose(*make_frames(OUTCOMES), tmp_path)
    questions = [
        Question(id=f"q{k}", text="?", topic=f"t{k % 2}", key=AnswerKey(kind="exact", value="yes"))
        for k in range(6)
    ]
    waits = {"ttft_ms": 2282.0, "total_ms": 4000.0, "text": "yes"}
    systems = [Asked("pc", [[waits] * 6]), Asked("chatgpt", [["no"] * 6], API)]
    asked = tmp_path / "asked"
    asked.mkdir()
    compose(*make_asked(questions, systems), asked)

    for path in tmp_path.rglob("*.csv"):
        assert "\u202f" not in path.read_text(encoding="utf-8"), path.name
    waiting = pd.read_csv(asked / "waiting.csv").set_index("system")
    assert waiting.loc["pc", "first_token_s"] == pytest.approx(2.282)
    accuracy = pd.read_csv(asked / "accuracy.csv").set_index("system")
    assert tuple(accuracy.loc["pc", ["right", "of", "share"]]) == (6, 6, 1.0)
    assert accuracy.loc["pc", "share_low"] == pytest.approx(0.61, abs=0.01)
    topics = pd.read_csv(asked / "accuracy-topics.csv")
    assert list(topics.columns) == ["topic", "system", "right", "of"]
    assert list(pd.read_csv(asked / "accuracy-pairs.csv")["right_alone"]) == [6]
    page = (asked / "index.html").read_text(encoding="utf-8")
    assert "TTFT, s" in page
    assert "2.28" in page


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.76, 0.81, f"76{DASH}81 %"),
        (0.0, 0.31, f"0{DASH}31 %"),
        (0.281, 0.284, "28 %"),
        (0.066, 0.066, "6.6 %"),
        (0.05, 0.62, "not known"),
        (0.0, 0.0, "0 %"),
    ],
)
def test_a_share_is_told_by_its_bounds_or_not_at_all(low: float, high: float, words: str) -> None:
    assert SyncShare(low, high).in_words == words


@pytest.mark.parametrize(
    ("sync", "link", "mbit", "use"),
    [
        ((118.0, 141.0), 1000.0, f"118{DASH}141", f"12{DASH}14 %"),
        ((118.0, float("inf")), 1000.0, "118 or more", "12 % or more"),
        ((118.0, 2710.0), 1000.0, f"118{DASH}2\u202f710", "12 % or more"),
        ((2710.0, 2710.0), 1000.0, "2\u202f710", "not known: more than the link carries"),
        ((118.0, 118.0), None, "118", DASH),
        (None, 1000.0, "not known", "not known"),
    ],
)
def test_no_link_is_told_to_carry_more_than_it_can(
    sync: tuple[float, float] | None, link: float | None, mbit: str, use: str
) -> None:
    found = LinkUse(kib=25.0, mean_mbit=9.0, sync_mbit=sync, link_mbit=link)
    assert (found.words_mbit(), found.words_use()) == (mbit, use)
    assert "271 %" not in use


def test_tokens_of_few_milliseconds_have_bounds_everywhere(tmp_path: Path) -> None:
    outcomes: Outcomes = {(DLLAMA, 1): [500.0] * 3, (DLLAMA, 2): [600.0] * 3}
    ends = {
        "sync_share_low": lambda params: 0.0,
        "sync_share_high": lambda params: 0.0 if params["nodes"] == 1 else 0.31,
    }
    compose(*make_frames(outcomes, columns=ends, sync_share=0.1, link_mbit=100), tmp_path)

    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert f"0{DASH}31 %" in page
    assert "either: rounding hides it" in page
    assert "Spent on sync" in page
    use = pd.read_csv(tmp_path / "link-use.csv").iloc[0]
    assert pd.isna(use["sync_use_high"])
    assert pd.isna(use["sync_use_low"])  # 76 KiB a token at 600 tokens/s are more than 100 Mbit/s
    assert "not known: more than the link carries" in page
    split = pd.read_csv(tmp_path / "time-split.csv")
    assert list(split["sync_share_high"]) == [0.0, 0.31]


def test_what_only_one_engine_has_is_not_said_of_all() -> None:
    told = constants(make_series({(DLLAMA, 1): [1.0], (LLAMA, 1): [1.0]}))
    everywhere, dllama, llama = told.split("; ")
    assert "net-turbo" not in everywhere
    assert dllama == "those of distributed-llama net-turbo off"
    assert llama == "those of llama.cpp split by layer"


def test_what_only_some_cells_of_an_engine_have_is_not_the_same_in_all() -> None:
    cells = {(LLAMA, "", 1): [1.0], (LLAMA, "2x1", 2): [1.0]}
    told = constants(make_series(cells, axes=("engine", "groups", "nodes")))
    assert "split by layer" in told
    assert "at once" not in told


def test_energy_is_called_unmeasured_only_where_it_is(tmp_path: Path) -> None:
    price = Price.model_validate({"input": 1, "output": 2, "currency": "EUR", "date": "2026-11-01"})
    apis = {"chatgpt": SystemRecord(url="https://a.example/v1", model="gpt", price=price)}
    questions = [Question(id="q", text="?")]
    systems = [Asked("pc", [["yes"]]), Asked("chatgpt", [["no"]], API)]
    run, tables = make_asked(questions, systems, apis)
    compose(run, tables, tmp_path)
    for name in ("index.html", "report.md"):
        assert "Energy was not measured, so" in (tmp_path / name).read_text(encoding="utf-8")

    measured = tables.trials.assign(energy_j=21.0, energy_window_s=3.0, energy_j_per_answer=21.0)
    folder = tmp_path / "measured"
    folder.mkdir()
    compose(run, replace(tables, trials=measured), folder)
    for name in ("index.html", "report.md"):
        text = (folder / name).read_text(encoding="utf-8")
        assert "Energy was not measured" not in text
        assert "is under Energy, in joules" in text


def test_page_and_markdown_say_the_same_notes(tmp_path: Path) -> None:
    compose(*make_frames(OUTCOMES), tmp_path)
    page, markdown = (
        " ".join((tmp_path / name).read_text(encoding="utf-8").split())
        for name in ("index.html", "report.md")
    )
    for words in (
        "The busier direction of the root", "Karp-Flatt is the share of the work",
        "CV is the standard deviation",
        "Every failed, invalid or unavailable trial", "Read before and after each attempt",
        "distributed-llama truncates times" if "Token times" in page else "Medians over",
    ):  # fmt: skip
        assert words in page
        assert words in markdown
    assert "**Gain from more nodes**" in markdown


def test_a_large_run_is_drawn_in_part_folded_and_small_enough(tmp_path: Path) -> None:
    outcomes: Outcomes = {
        (engine, f"model-{model}", threads, count): [10.0 * count + threads, 10.5 * count + threads]
        for engine in (DLLAMA, LLAMA)
        for model in range(3)
        for threads in range(1, 11)
        for count in (1, 2)
    }
    told: list[str] = []
    run, tables = make_frames(outcomes, axes=("engine", "model", "threads", "nodes"))
    compose(run, tables, tmp_path, tell=told.append)

    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "2 of 3 models are drawn. The six series with the highest medians are in colour" in page
    assert "Every cell: 120 rows</summary>" in page
    assert len(page) < 1_500_000
    assert len(pd.read_csv(tmp_path / "decode-rate.csv").query("kind == 'median'")) == 120
    assert told[0] == "Report: 120 cells, 240 attempts"
    assert any(line.startswith("Report: writing chart 1 of") for line in told)
