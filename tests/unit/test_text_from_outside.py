"""Text that an engine, an API or a rater gave stays text in every file of a report."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from analysis.answers.export import export_answers
from analysis.references.shipped import address, shipped
from analysis.report import compose, write_report
from analysis.text.csv_file import write_csv
from analysis.text.markdown import as_block, escaped
from core.foreign import cell_source, cell_text, visible
from tests.doubles.asked_run import make_asked_run
from tests.doubles.run_frames import make_frames

FORMULAS = (
    "=cmd|' /C calc'!A0", "+1+1", "@SUM(1+1)", "-2+3", "\t=1+1", "\n=1+1", "  =1+1", "'=1+1",
    '"=1+1', "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20x", "one\n=1+1", "one\r=1+1",
    "\u00a0=1+1", "one\n\t@x", "\ttab",
)  # fmt: skip
MARKUP = (
    "<script>alert(1)</script>", "<img src=http://evil.example/x.png>", "<!-- x -->",
    "![x](http://evil.example/x.png)", "[click](javascript:alert(1))", "[a]: http://evil.example",
    "[^1]: note", "a | b \\| c", "`</code>`", "```\ncode", "~~gone~~", "**b** _i_", "&lt;b&gt;",
    "<http://evil.example>", "# title", "title\n===", "title\n---", "- item", "+ item", "* item",
    "1. item", "2) item", "> quote", "---", "***", "    code", "\ttabbed", "ends with \\",
    "two  \nlines", "$x^{$ \\frac", "{{ 7*7 }} {% include 'x' %}", "</title></svg>", "]]>",
    "\x1b[2J\x1b]0;owned\x07", "\u202egnp.exe", ": term", "| a |\n| - |",
)  # fmt: skip
PLACES = ("{}\n", "text {}\n", "# {}\n", "| a | b |\n|---|---|\n| {} | x |\n", "- {}\n", "> {}\n")
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
RUNS = re.compile(r"\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")


def kinds(markdown: str) -> list[str]:
    """Of what a text in Markdown consists; all that is plain text counts as one."""
    tokens = [t for token in READER.parse(markdown) for t in (token, *(token.children or []))]
    return [token.type for token in tokens if not token.type.startswith("text")]


def said(markdown: str) -> str:
    inline = [c for token in READER.parse(markdown) for c in (token.children or [])]
    return "".join(child.content for child in inline)


@pytest.mark.parametrize("place", PLACES)
def test_no_text_is_markup_in_markdown_and_all_of_it_is_shown(place: str) -> None:
    for text in (*MARKUP, *FORMULAS):
        _is_shown_as_it_is(text, place)


def _is_shown_as_it_is(text: str, place: str) -> None:
    markdown = place.format(escaped(text))
    assert kinds(markdown) == kinds(place.format("word"))
    assert " ".join(visible(text).split()) in " ".join(said(markdown).split())


@given(st.text(alphabet=st.sampled_from("a1 \n\t=-+*_#<>[]()!|`~\\&;:.@$'\"{}^"), max_size=12))
def test_no_mixture_of_signs_is_markup_in_markdown(text: str) -> None:
    markdown = f"| a | b |\n|---|---|\n| {escaped(text)} | x |\n"
    assert kinds(markdown) == kinds("| a | b |\n|---|---|\n| word | x |\n")
    assert kinds(f"word {escaped(text)}\n") == kinds("word\n")


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("http://a.example/x", "http\\://a.example/x"),
        ("www.a.example", "www\\.a.example"),
        ("a@b.example", "a\\@b.example"),
        ("@somebody", "\\@somebody"),
    ],
)
def test_an_address_does_not_become_a_link_by_itself(address: str, written: str) -> None:
    assert escaped(address) == written


def test_figures_and_names_stay_readable_in_markdown() -> None:
    for text in (
        "12.3 (11.8\N{EN DASH}12.9)",
        "q4_0",
        "-3",
        "2026-11-24 12:00 UTC",
        "fab report --run x",
        "4-2",
    ):
        assert escaped(text) == text


def test_a_block_of_code_holds_every_line() -> None:
    assert READER.parse(as_block("fab ask 'one\n# two'"))[0].type == "code_block"
    assert len(READER.parse(as_block("fab ask 'one\n# two'"))) == 1


@pytest.mark.parametrize("text", FORMULAS)
def test_a_cell_that_a_spreadsheet_would_run_is_guarded_and_given_back(text: str) -> None:
    cell = cell_text(text)
    assert not any(RUNS.match(line) for line in cell.split("\n") if line)
    assert cell_source(cell) == visible(text)


@pytest.mark.parametrize("text", ["-1.5", "+3", "1e-5", "-2", "a = b", "one\n- item", "'quoted'"])
def test_a_cell_that_runs_nothing_is_left_alone(text: str) -> None:
    assert cell_text(text) == text


@given(st.text(alphabet=st.sampled_from("a1 \n=-+@'\"＝"), max_size=10))  # noqa: RUF001
def test_whatever_a_cell_holds_comes_back(text: str) -> None:
    assert cell_source(cell_text(text)) == text


def test_numbers_in_a_csv_stay_numbers_and_headings_are_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"=1": [-1.5, None], "what": ["=x", "-2"], "n": pd.array([-3, None])})
    write_csv(frame, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "'=1,what,n\n-1.5,'=x,-3\n,-2,\n"


def test_a_report_of_hostile_answers_holds_them_as_text(tmp_path: Path) -> None:
    texts = (*FORMULAS, *MARKUP)
    questions = {f"q{i}": f"{text} ?" for i, text in enumerate(texts)}
    given = {n: [{f"q{i}": text for i, text in enumerate(texts)}] for n in (1, 2)}
    run = make_asked_run(tmp_path / "results", questions, given)

    folder = write_report(run, tmp_path / "reports").index.parent
    export_answers(run, tmp_path / "mail.txt")

    wild = [
        cell
        for path in sorted(folder.glob("*.csv"))
        for row in csv.reader(path.read_text(encoding="utf-8").splitlines(keepends=True))
        for cell in row
        if RUNS.match(cell) and not re.fullmatch(r"-?[\d.]+(e-?\d+)?", cell)
    ]
    assert wild == []
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    assert not {"html_inline", "html_block"}.intersection(kinds(markdown))
    links = [
        child.attrGet("href") or child.attrGet("src")
        for token in READER.parse(markdown)
        for child in (token.children or [])
        if child.type in ("link_open", "image")
    ]
    sources = {address(entry) for entry in shipped().entries}
    strange = [link for link in links if not re.fullmatch(r"[\w-]+\.(csv|svg|png)", str(link))]
    assert {*strange} <= sources
    for path in (folder / "index.html", folder / "report.md", tmp_path / "mail.txt"):
        text = path.read_text(encoding="utf-8")
        assert visible(text) == text, path.name
    html = (folder / "index.html").read_text(encoding="utf-8")
    assert html.count("<script>") == 1
    assert "<img" not in html


def test_a_name_with_formulas_and_control_characters_is_drawn_as_it_is(tmp_path: Path) -> None:
    name = "$x^{$ \x1b]0;\x07 <b>\u202e"
    run, tables = make_frames({(name, 1): [10.0] * 3, ("llama.cpp", 1): [9.0] * 3})
    compose(run, tables, tmp_path)
    for path in tmp_path.glob("*.svg"):
        drawn = "".join(ET.fromstring(path.read_bytes()).itertext())  # noqa: S314
        assert visible(drawn) == drawn
    assert "$x^{$ \\x1b]0;\\x07 <b>\\u202e" in drawn
