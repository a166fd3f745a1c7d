"""The report of a run with parts: one page, each part under its title, one correction for all."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from analysis.answers.export import export_answers
from analysis.cells.family import Family
from analysis.parts import study_of_parts
from analysis.report import Report, write_report
from analysis.sections import sections_of
from analysis.sections.parts import prefixed
from analysis.study import Study, study_of
from collect.load import load_run
from collect.ratings import RATINGS_FOLDER, Judgement, answer_hash
from collect.tables import build_tables, by_part
from core.errors import HerdError
from experiments.rating.sheet import find_asked, open_sheet
from tests.doubles.asked_run import make_asked_run
from tests.doubles.parts_run import make_parts_run
from tests.doubles.run_folder import make_run
from tests.doubles.tuned_run import TUNED, make_record
from tests.unit.test_family import around, pair
from tests.unit.test_report_sections import one_of_each, said

SPEED, ASKED = "Scaling over nodes", "Questions to llama.cpp"
GIVEN = {1: [{"why": "Because.", "sum": "4"}], 2: [{"why": "So.", "sum": "5"}]}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose parts are a benchmark and questions, with a rater's judgement."""
    folder = tmp_path_factory.mktemp("parts")
    speed = make_run(folder, name="speed", nodes=(1, 2), repeats=6, failed=(), retried=())
    asked = make_asked_run(folder, {"why": "Why?", "sum": "2+2?"}, GIVEN)
    whole = make_parts_run(folder, {"speed": speed, "answers": asked})
    given = Judgement(question="why", answer=answer_hash("So."), quality=5, detail=2, at=1.0)
    (whole / RATINGS_FOLDER).mkdir()
    (whole / RATINGS_FOLDER / "kim.jsonl").write_text(given.model_dump_json() + "\n")
    return whole


@pytest.fixture(scope="module")
def report(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return write_report(run, tmp_path_factory.mktemp("reports"))


def test_the_verdict_has_a_line_for_the_whole_and_one_for_each_part(report: Report) -> None:
    whole, speed, asked = report.verdict.splitlines()

    assert whole.startswith(f"2 parts were measured: {SPEED} and {ASKED} (")
    assert speed.startswith(f"{SPEED}: ")
    assert asked.startswith(f"{ASKED}: On these two questions, ")
    page = report.index.read_text()
    assert f"<h1>{whole}</h1>" in page


def test_each_part_has_its_sections_under_its_title(report: Report) -> None:
    headings = re.findall(r"<h[12]>([^<]+)</h[12]>", report.index.read_text())

    assert headings[1] == SPEED
    of_speed = headings[1 : headings.index(ASKED)]
    of_asked = headings[headings.index(ASKED) : -2]
    assert "Decoding" in of_speed
    assert "Questions and answers" not in of_speed
    assert {"Questions and answers", "Ratings"} <= set(of_asked)
    assert headings[-3:] == ["Provenance", "Reproduce", "References"]
    assert Counter(headings)["Provenance"] == 1


def test_ids_are_unique_and_every_link_leads_somewhere(report: Report) -> None:
    page = report.index.read_text()
    ids = Counter(re.findall(r'(?<=\s)id="([^"]+)"', page))

    assert [name for name, times in ids.items() if times > 1] == []
    assert set(re.findall(r'href="#([^"]+)"', page)) <= ids.keys()
    assert {"verdict", "part-speed", "part-answers", "part-speed-decode"} <= ids.keys()
    markdown = (report.index.parent / "report.md").read_text()
    links = set(re.findall(r'href="([\w.-]+\.(?:csv|svg|png))"', page))
    links |= set(re.findall(r"\(([\w.-]+\.(?:csv|svg|png))\)", markdown))
    assert links <= {path.name for path in report.index.parent.iterdir()}
    assert {"part-speed-cells.csv", "part-answers-cells.csv"} <= links | {
        path.name for path in report.index.parent.glob("*.csv")
    }


def test_both_pages_say_the_same(run: Path) -> None:
    page, markdown = said(list(sections_of(study_of_parts(load_run(run), build_tables(run)))))

    assert {SPEED, ASKED} <= page
    assert page == markdown


def test_the_same_run_gives_the_same_report(run: Path, report: Report, tmp_path: Path) -> None:
    again = write_report(run, tmp_path)

    for name in ("index.html", "report.md"):
        assert (again.index.parent / name).read_bytes() == (report.index.parent / name).read_bytes()


def studies(run: Path) -> dict[str, Study]:
    """Each part as a study alone."""
    parts = by_part(load_run(run), build_tables(run))
    return {name: study_of(part, tables) for name, (part, tables) in parts.items()}


def test_what_tuning_changed_comes_once_and_before_all_parts(run: Path) -> None:
    tuned = load_run(run).model_copy(update={"tuned": {TUNED: make_record()}})

    anchors = [one.anchor for one in sections_of(study_of_parts(tuned, build_tables(run)))]

    assert anchors[:3] == ["verdict", "before-after", "part-speed"]
    assert [name for name in anchors if name.endswith("before-after")] == ["before-after"]


def test_comparisons_of_all_parts_are_one_family(run: Path) -> None:
    alone = studies(run)
    whole = study_of_parts(load_run(run), build_tables(run))
    tried = sum(study.family.tried for study in alone.values())

    for name, study in whole.parts.items():
        assert study.family.tried == (tried if study.family.rows else 0)
        for before, row in zip(alone[name].family.rows, study.family.rows, strict=True):
            assert row.pair == before.pair
            if row.p_adjusted is not None and before.p_adjusted is not None:
                assert row.p_adjusted >= before.p_adjusted


def test_a_difference_that_is_clear_alone_is_not_among_many_of_another_part() -> None:
    clear = pair(around(1.1, 0.045))
    others = [pair(around(1.0, 0.05), f"other {n}") for n in range(40)]
    (alone,), (among,) = Family([clear]).rows, Family([clear], others=others).rows

    assert alone.p_adjusted is not None
    assert among.p_adjusted is not None
    assert among.p_adjusted > alone.p_adjusted
    assert among.p_adjusted == Family([clear, *others]).rows[0].p_adjusted
    assert "41 comparisons of this report" in Family([clear], others=others).in_words()


def test_every_block_can_be_given_other_names() -> None:
    for block in one_of_each():
        changed = prefixed(block, "part-x-")
        assert type(changed) is type(block)
        assert prefixed(block, "") == block or "chart" in block.kind
        told = str(changed)
        for name in ("prose-file", "table-file", "new-chart"):
            assert told.count(f"part-x-{name}") == str(block).count(name)


def test_answers_of_a_part_are_rated_and_exported(run: Path, tmp_path: Path) -> None:
    assert find_asked(run.parent, run.name) == run
    sheet = open_sheet(run, "lee", "lee")
    assert [one.question.id for one in sheet.asked] == ["why", "sum"]
    text = export_answers(run, tmp_path / "answers.txt").read_text()
    assert text.startswith(ASKED)
    assert "Because." in text


def test_a_run_whose_parts_ask_nothing_has_nothing_to_rate(tmp_path: Path) -> None:
    speed = make_run(tmp_path, name="speed", nodes=(1,), repeats=1, failed=(), retried=())
    whole = make_parts_run(tmp_path, {"speed": speed})

    with pytest.raises(HerdError, match="asked no questions"):
        find_asked(tmp_path, whole.name)
    with pytest.raises(HerdError, match="it has none"):
        export_answers(whole, tmp_path / "answers.txt")
