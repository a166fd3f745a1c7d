"""Text from outside is text in LaTeX, whatever it holds, and a table is as wide as its room."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.blocks import Tabled
from analysis.cells.tabulate import table
from analysis.paper.fonts import font_with
from analysis.paper.latex import LETTERS, SIGNS, in_latex, lines_in_latex
from analysis.paper.tables import laid
from analysis.paper.widths import COLUMN_IN, POINTS_AN_INCH, columns_of, longest_part

HOSTILE = (
    r"\write18{touch pwned}",
    r"\input{/etc/passwd}",
    r"$\immediate\write18{id}$",
    "}\\end{document}",
    "a_b & c % d # e ~ f ^ g { h } \\ i",
    "-- --- '' ,, << >> ?` !` ``",
    "[x] *y",
    "^^5cinput{x}",
    "%comment",
    "\\\\[9cm]",
    "@misc{x,",
    "line\nbreak\ttab",
    "\u202egnp.exe \x1b[31m \x00",
)
NEEDS_TEX = pytest.mark.skipif(
    not shutil.which("pdflatex"), reason="TeX is not installed: docs/paper.md names the packages"
)


def compiled(folder: Path, body: str) -> str:
    """What pdfLaTeX writes into its log about a document with this body."""
    head = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage[utf8]{inputenc}"
    (folder / "it.tex").write_text(
        head + "\\usepackage{textcomp}\n\\begin{document}\n" + body + "\n\\end{document}\n"
    )
    command = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "it.tex"]
    subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=60)
    return (folder / "it.log").read_text(errors="replace")


@pytest.mark.parametrize("text", HOSTILE)
def test_no_character_with_a_meaning_is_left(text: str) -> None:
    made = in_latex(text)
    commands = set(re.findall(r"\\[A-Za-z]+|\\.", made))
    known = set(re.findall(r"\\[A-Za-z]+|\\.", "".join(SIGNS.values())))
    assert commands <= known | {r"\allowbreak", r"\texttt", r"\herdother"}
    bare = re.sub(r"\\[A-Za-z]+|\\.|\{\}|\{[*\[\]]\}|\\ensuremath\{[^}]*\}", "", made)
    assert not set("$&#%_^~\\") & set(bare.replace("{", "").replace("}", ""))


def test_figures_stay_with_their_units_and_long_words_may_be_broken() -> None:
    assert in_latex("95 % of 12.3 tokens/s") == r"95\,\% of 12.3\nobreakspace{}tokens/s"
    assert r"\allowbreak" in in_latex("models/smollm2-135m-kv4-q4_0.gguf")
    assert lines_in_latex("a  b\n\nc").splitlines()[1].startswith(r"\mbox{}")


def test_other_alphabets_get_a_font_and_what_no_font_has_gets_its_number() -> None:
    assert in_latex("Жук") == r"\herdother{Жук}"
    nowhere = "\U000f0000"
    assert font_with(nowhere) is None
    assert in_latex(nowhere) == r"\texttt{U+F0000}\allowbreak{}"


@NEEDS_TEX
def test_pdflatex_sets_every_character_that_is_not_given_to_a_font(tmp_path: Path) -> None:
    ours = [*map(chr, range(0x20, 0x7F)), *sorted(LETTERS), *SIGNS]
    lines = [*(f"x{in_latex(one)}x" for one in ours), *map(in_latex, HOSTILE)]
    log = compiled(tmp_path, "\n\n".join(lines))
    wrong = [line for line in log.splitlines() if line.startswith("!") or "Missing char" in line]
    assert not wrong
    assert not (tmp_path / "pwned").exists()


def test_a_table_is_broken_into_lines_or_parts_that_fit() -> None:
    words = "a long text that must be broken into several lines of a narrow column"
    made = table(("Name", "What"), [["x", words], ["y", "models/" + "z" * 64]])
    room = COLUMN_IN * POINTS_AN_INCH
    columns = columns_of(made, room)
    assert columns is not None
    assert columns[1].width_pt is not None
    assert columns[1].width_pt < room
    many = table([f"column{n}" for n in range(60)], [["0123456789"] * 60])
    sheets = laid(Tabled("Many", many), "tab:1", None, is_further=True).sheets
    assert len(sheets) > 2
    assert {name for sheet in sheets for name in sheet.heads} == set(many.columns)
    assert all(sheet.heads[0] == "column0" for sheet in sheets)


def test_a_part_of_a_table_names_its_rows() -> None:
    heads = ["Series", "Nodes", *(f"column{n}" for n in range(60))]
    rows = [["llama.cpp", str(nodes), *["0123456789"] * 60] for nodes in (1, 2, 4)]
    sheets = laid(Tabled("Every cell", table(heads, rows)), "tab:1", None, is_further=True).sheets
    assert len(sheets) > 2
    assert {name for sheet in sheets for name in sheet.heads} == set(heads)
    for sheet in sheets:
        assert sheet.heads[:2] == ("Series", "Nodes")
        assert [row[1] for row in sheet.rows] == ["1", "2", "4"]


def test_a_table_in_the_text_is_no_taller_than_a_page() -> None:
    rows = [[f"engine {n} of a series with a long name", *["1.23 (1.20-1.26)"] * 9]
            for n in range(40)]  # fmt: skip
    made = table(("Series", *(f"column {n}" for n in range(9))), rows)
    short = laid(Tabled("Few", replace(made, rows=made.rows[:5])), "tab:1", None, is_further=False)
    assert len(short.sheets[0].rows) == 5
    assert not short.notes
    tall = laid(Tabled("Many", made, notes=("A note. " * 60,)), "tab:1", "x.csv", is_further=False)
    kept = {len(sheet.rows) for sheet in tall.sheets}
    assert len(kept) == 1
    assert 10 < max(kept) < 40
    assert f"{40 - max(kept)} more rows are in x.csv." in tall.notes


def test_a_long_word_counts_by_its_parts() -> None:
    assert longest_part("a" * 64) < longest_part("a" * 15)
