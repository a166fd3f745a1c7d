"""A paper on runs: what it says, how it looks without colour, and whose files it leaves alone."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import Collection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.charts import style
from analysis.charts.chart import Chart
from analysis.paper import folder as folder_module
from analysis.paper.figures import GREYS, PATTERNS, TEXT_GREY, is_readable, printed
from analysis.paper.folder import WRITTEN, write_paper_folder
from analysis.paper.method import method_of
from analysis.paper.paper import LATEXMKRC, files_of, paper_of
from analysis.paper.written import write_paper
from analysis.sections import sections_of
from analysis.study import Study, study_of
from analysis.within import charts_in
from collect.load import load_run
from core.errors import HerdError
from tests.doubles.run_frames import make_frames
from tests.doubles.run_kinds import KINDS
from tests.doubles.shared_kinds import study_of_kind
from tests.unit.test_paper_latex import HOSTILE

NEEDS_TEX = pytest.mark.skipif(
    not shutil.which("latexmk"), reason="TeX is not installed: docs/paper.md names the packages"
)
STORED = Path(__file__).resolve().parents[1] / "data" / "runs"
TEXTS = {".tex", ".csv", ".bib", ".ipynb"}
LETTERS_PT = 6.9
"""Smallest type of a figure at the size in which it is printed."""


def lightness(color: str) -> float:
    """CIE L* of a colour: what is left of it without colour."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
                        for c in to_rgb(color))  # fmt: skip
    return float(116 * np.cbrt(0.2126 * red + 0.7152 * green + 0.0722 * blue) - 16)


def test_colours_differ_in_lightness_and_each_has_its_pattern() -> None:
    found = sorted(map(lightness, GREYS.values()))
    assert min(b - a for a, b in itertools.pairwise(found)) > 7.5
    assert max(found) < 80
    assert len(set(map(str, PATTERNS))) == len(style.PALETTE) == len(GREYS)


@pytest.fixture(scope="module")
def charts() -> list[tuple[str, Chart]]:
    kinds = ("laws", "named machines", "questions", "noise", "GPU and Pis")
    return [
        (kind, chart) for kind in kinds for chart in charts_in(sections_of(study_of_kind(kind)))
    ]


def colours_of(figure: mpl.figure.Figure) -> Iterator[str]:
    for artist in figure.findobj():
        if isinstance(artist, Line2D):
            if artist.get_linestyle() != "None":
                yield to_hex(artist.get_color())
            elif artist.get_marker() not in ("None", None):
                yield to_hex(artist.get_markeredgecolor())
        elif isinstance(artist, Collection):
            yield from (to_hex(one) for one in artist.get_facecolor())
        elif isinstance(artist, Patch):
            yield to_hex(artist.get_facecolor())


def test_a_figure_has_only_colours_for_paper_and_type_that_is_embedded(
    charts: list[tuple[str, Chart]],
) -> None:
    allowed = {*GREYS.values(), style.INK, style.MUTED, style.GRID, TEXT_GREY, "#ffffff", "#f0f0f0",
               "#000000"}  # fmt: skip
    for kind, chart in charts:
        made = printed(chart)
        assert set(colours_of(chart.figure)) <= allowed, (kind, chart.name)
        assert b"/Type3" not in made.pdf.replace(b" ", b"")
        assert b"/FontFile2" in made.pdf
        sizes = [text.get_fontsize() for text in chart.figure.findobj(mpl.text.Text)]
        assert min(sizes) >= LETTERS_PT, (kind, chart.name)
        if not made.is_wide:
            assert is_readable(chart.figure), (kind, chart.name)


def test_the_same_run_gives_the_same_files(tmp_path: Path) -> None:
    one, other = (files_of(paper_of([KINDS["lab"](tmp_path)]), with_notebook=True) for _ in "ab")
    assert one == other


def test_the_method_says_how_it_was_measured() -> None:
    run, tables = make_frames(
        {("llama.cpp", n): [10.0 * n + step / 10 for step in range(6)] for n in (1, 2)}
    )
    study = study_of(run.model_copy(update={"seed": 7, "equivalence_margin": 0.05}), tables)
    told = " ".join(sentence for paragraph in method_of(study) for sentence in paragraph)
    for words in ("seed 7", "6 trials", "±5 %", "1 comparison", "llama.cpp 0.7.0", "two nodes",
                  "95 %"):  # fmt: skip
        assert words in told
    few = study_of(*make_frames({("llama.cpp", n): [10.0 * n, 11.0 * n] for n in (1, 2)}))
    told = " ".join(sentence for paragraph in method_of(few) for sentence in paragraph)
    assert "fewer than 6 trials" in told
    assert "corrected together" not in told
    assert "question" not in told


def test_the_method_has_the_rules_that_docs_statistics_has() -> None:
    study = study_of_kind("questions")
    told = " ".join(sentence for paragraph in method_of(study) for sentence in paragraph)
    assert "question by question instead, from 30 questions on" in told
    assert "McNemar" in told
    many = study_of(*make_frames(
        {("llama.cpp", n): [10.0 * n + (7 * step % 5) / 10 for step in range(6)]
         for n in (1, 2, 4, 6, 8, 9)}
    ))  # fmt: skip
    told = " ".join(sentence for paragraph in method_of(many) for sentence in paragraph)
    assert "steadier than the steadiest tenth" in told
    assert "within ±3 %. Otherwise, faster or slower means" in told
    assert "question" not in told


def test_text_of_a_run_cannot_become_a_command(tmp_path: Path) -> None:
    run, tables = make_frames({("llama.cpp", 1): [10.0], ("llama.cpp", 2): ["failed"]})
    study = study_of(
        run.model_copy(update={"title": HOSTILE[0] + HOSTILE[3], "command": ("fab", *HOSTILE[:5])}),
        tables,
    )
    files = files_of(paper_of([study]))
    for name in (name for name in files if name.endswith(".tex")):
        text = files[name].decode()
        assert not re.search(r"\\(write|immediate|openout|catcode|special|directlua|read)\b", text)
    assert files["main.tex"].count(rb"\end{document}") == 1
    assert all("-no-shell-escape" in one for one in LATEXMKRC.values())


@NEEDS_TEX
def test_a_hostile_run_compiles_and_does_nothing(tmp_path: Path) -> None:
    run, tables = make_frames({("llama.cpp", 1): [10.0], ("llama.cpp", 2): ["failed"]})
    whole = " ".join(HOSTILE)
    evil = run.model_copy(
        update={
            "title": whole,
            "command": ("fab", *HOSTILE, "x" * 300, "한국어" * 40),
            "engines": {"llama.cpp": {text[:40]: text for text in HOSTILE}},
            "models": {f"m/{text[:40]}": "ab" * 32 for text in HOSTILE},
            "nodes": {name: {"board": whole, "os": HOSTILE[3], "cores": 4} for name in run.nodes},
        }
    )
    log = compiled_paper(tmp_path, [study_of(evil, tables, warnings=HOSTILE)])
    assert not re.findall(r"Missing character", log)
    assert not list(tmp_path.rglob("pwned"))


def test_a_file_that_its_author_changed_is_never_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "paper"
    first = write_paper_folder(folder, ("a",), {"main.tex": b"one", "parts/x.tex": b"x", "y": b"y"})
    assert first.new == ("main.tex", "parts/x.tex", "y")
    (folder / "main.tex").write_bytes(b"mine")
    again = write_paper_folder(folder, ("a",), {"main.tex": b"two", "parts/x.tex": b"z", "y": b"y"})
    assert (again.new, again.replaced, again.kept) == ((), ("parts/x.tex",), ("main.tex",))
    assert (folder / "main.tex").read_bytes() == b"mine"
    assert (folder / "parts" / "x.tex").read_bytes() == b"z"
    (folder / "main.tex").unlink()
    assert write_paper_folder(folder, ("a",), {"main.tex": b"two"}).new == ("main.tex",)


def test_a_write_that_was_killed_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {name: name.encode() for name in ("a", "b", "c")}
    write_paper_folder(tmp_path, ("run",), files)
    real, left = folder_module.replace_file, [1 + 2]

    def killed(path: Path, content: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(folder_module, "replace_file", killed)
    changed = {name: b"new " + content for name, content in files.items()}
    with pytest.raises(KeyboardInterrupt):
        write_paper_folder(tmp_path, ("run",), changed)
    monkeypatch.undo()
    done = write_paper_folder(tmp_path, ("run",), changed)
    assert done.kept == ()
    assert {name: (tmp_path / name).read_bytes() for name in files} == changed


@pytest.mark.parametrize("what", ["other run", "no paper", "damaged", "link"])
def test_a_folder_that_is_not_this_paper_is_left_alone(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "it"
    if what == "other run":
        write_paper_folder(folder, ("other",), {"a": b"a"})
    else:
        folder.mkdir()
        (folder / "thesis.tex").write_text("mine")
    if what == "damaged":
        (folder / WRITTEN).write_text("{")
    if what == "link":
        shutil.rmtree(folder)
        write_paper_folder(folder, ("run",), {"a": b"a"})
        (folder / "parts").symlink_to(tmp_path)
    with pytest.raises(HerdError, match=r"--to|points outside"):
        write_paper_folder(folder, ("run",), {"parts/main.tex": b"x"})
    assert not (tmp_path / "main.tex").exists()


def compiled_paper(folder: Path, studies: list[Study]) -> str:
    """What TeX writes into its log about a paper, which compiles and is as wide as its page."""
    write_paper_folder(folder, ("run",), files_of(paper_of(studies)))
    made = subprocess.run(["latexmk"], cwd=folder, capture_output=True, check=False, timeout=300)
    log = (folder / "main.log").read_text(errors="replace")
    assert made.returncode == 0, log[-2000:]
    wide = [float(found) for found in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]
    assert not [points for points in wide if points > 1]
    assert not re.findall(r"Float too large for page by [\d.]+pt", log)
    return log


PAPERS = (
    "several nodes",
    "questions",
    "a node dies",
    "named machines + failures only",
    "many series",
    "machines and prompts and groups and noise",
)


@NEEDS_TEX
@pytest.mark.parametrize("kind", PAPERS)
def test_the_paper_compiles_and_nothing_is_wider_than_its_column(kind: str, tmp_path: Path) -> None:
    studies = [study_of_kind(one) for one in kind.split(" + ")]
    log = compiled_paper(tmp_path / "paper", studies)
    wrong = r"Missing character|Reference `[^']+' .* undefined|Citation|multiply defined"
    assert not re.findall(wrong, log)


def test_every_table_of_a_paper_has_its_own_label() -> None:
    files = files_of(paper_of([study_of_kind("questions")]))
    labels = [
        label
        for name, content in files.items()
        if name.endswith(".tex")
        for label in re.findall(r"\\label\{([^}]+)\}", content.decode())
    ]
    assert len(labels) > 10
    assert len(set(labels)) == len(labels)


def test_runs_of_the_same_title_can_be_distinguished() -> None:
    kinds = ("one node", "several nodes", "questions")
    paper = paper_of([study_of_kind(kind) for kind in kinds])
    one, other, asked = (run.study.run.title for run in paper.runs)
    assert one == other
    assert [run.title for run in paper.runs] == [f"{one}, run 1", f"{one}, run 2", asked]
    assert f"{one}, run" not in paper.title


@pytest.mark.parametrize("run", ["scaling-20261128-212751", "asked-20261124-120000"])
def test_names_of_machines_are_in_no_file_of_a_paper(run: str, tmp_path: Path) -> None:
    source = STORED / run
    nodes = load_run(source).nodes
    addresses = [str(facts["address"]) for facts in nodes.values() if facts.get("address")]
    made = write_paper([source], tmp_path / "paper", None, with_notebook=True, hide=["Debian"])
    texts = [path.read_text() for path in made.folder.rglob("*") if path.suffix in TEXTS]
    for text in texts:
        for name in (*nodes, *addresses, "Debian"):
            assert not re.search(rf"\b{re.escape(name)}\b", text), name
    assert any("node-1" in text for text in texts)
    kept = write_paper([source], tmp_path / "with", None, with_names=True)
    told = "".join(path.read_text() for path in kept.folder.rglob("*.tex"))
    assert next(iter(nodes)) in told
    assert "Names of machines" not in told
