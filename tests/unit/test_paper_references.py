"""A paper cites what its runs draw on, and takes from the user's references what is harmless."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from analysis.paper.bibliography import bibliography_of, unfit
from analysis.paper.paper import files_of, paper_of
from analysis.references.shipped import shipped
from core.errors import HerdError
from tests.doubles.shared_kinds import study_of_kind

OWN = r"""@article{kim2024,
  author = {김철수 and M{\"u}ller, J{\o}rgen},
  title = {On {LLM} \& 󰀀, 50\% faster},
  journal = {Journal of \emph{Things}},
  year = {2024},
}

@misc{김도연2025라마, author = {김도연}, title = {\textbraceleft{} R\&D}, year = {2025}}
@misc{evil, title = {x \input{/etc/passwd}}, year = {2024}}
@misc{worse, title = {^^5cwrite18{id}}, year = {2024}}
@preamble{"\immediate\write18{touch pwned}"}
@misc{torn, title = {never ends
"""


def test_every_shipped_entry_is_harmless_to_latex() -> None:
    assert {
        entry.key: unfit(entry.source) for entry in shipped().entries if unfit(entry.source)
    } == {}


def test_an_entry_with_a_command_that_acts_is_left_out_and_named(tmp_path: Path) -> None:
    own = tmp_path / "references.bib"
    own.write_text(OWN)
    made = bibliography_of([shipped().entries[0].key], own)
    assert re.findall(r"@\w+\{([\w:]+),", made.text) == [
        shipped().entries[0].key,
        "kim2024",
        "김도연2025라마",
    ]
    assert not re.search(r"input|write|preamble|\^\^", made.text)
    told = "\n".join(made.left_out)
    assert r"line 9: the entry evil has \input" in told
    assert "line 10: the entry worse has ^^" in told
    assert "line 12" in told
    assert r"{\herdhangul{김철수}}" in made.text
    assert r"\texttt{U+F0000}" in made.text


JOINING = r"""@string{jacm = "Journal of the {ACM}"}
@misc{llamacpp, title = "\i" # "nput{/etc/hostname}"}
@misc{curled, title = {\i} # {nput{/etc/hostname}}}
@misc(round, title = "x # y", month = "10~" # feb)
@misc{hidden, title = {a \} # "\i" # "nput{/etc/hostname}" # {\{ b}}
@article{good, author = {A & B}, title = "50% of {R\&D}, a # b", journal = jacm, month = Feb,
  url = {https://x.example/a%20b#c}, file = {x:/home/kim/Zotero/x.pdf:pdf}, annote = {Prof. Lee}}
"""


def test_texts_that_bibtex_joins_to_a_command_are_left_out(tmp_path: Path) -> None:
    own = tmp_path / "references.bib"
    own.write_text(JOINING)
    made = bibliography_of(["llamacpp"], own)
    assert re.findall(r"@\w+\{([\w:]+),", made.text) == ["llamacpp", "good"]
    assert "hostname" not in made.text
    assert "title = {llama.cpp: {LLM} inference in {C/C++}}" in made.text
    assert "line 2: the entry llamacpp has texts that are joined by #" in "\n".join(made.left_out)
    assert len(made.left_out) == 4


def test_an_entry_is_written_so_that_latex_sets_it(tmp_path: Path) -> None:
    own = tmp_path / "references.bib"
    own.write_text(JOINING)
    _, good = bibliography_of(["llamacpp"], own).text.split("@article")
    assert r"author = {A \& B}" in good
    assert r"title = {50\% of {R\&D}, a \# b}" in good
    assert "journal = {Journal of the {ACM}}" in good
    assert "month = Feb," in good
    assert "url = {https://x.example/a%20b#c}" in good
    assert "Zotero" not in good
    assert "Lee" not in good


def test_a_file_that_is_no_text_is_named_and_a_missing_one_is_none(tmp_path: Path) -> None:
    assert bibliography_of([], tmp_path / "references.bib").text == ""
    (tmp_path / "references.bib").write_bytes(b"\xff\xfe")
    with pytest.raises(HerdError, match=r"references\.bib: it is not UTF-8"):
        bibliography_of([], tmp_path / "references.bib")


@pytest.mark.skipif(
    not (shutil.which("latexmk") and shutil.which("lualatex")),
    reason="TeX is not installed: docs/paper.md names the packages",
)
def test_a_paper_with_korean_references_compiles(tmp_path: Path) -> None:
    own = tmp_path / "references.bib"
    own.write_text(OWN)
    (tmp_path / "run").mkdir()
    files = files_of(paper_of([study_of_kind("lab")], own))
    folder = tmp_path / "paper"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    main = folder / "main.tex"
    main.write_text(
        main.read_text().replace("% \\section{Conclusion}", "See~\\cite{kim2024,김도연2025라마}.")
    )
    made = subprocess.run(["latexmk"], cwd=folder, capture_output=True, check=False, timeout=300)
    log = (folder / "main.log").read_text(errors="replace")
    assert made.returncode == 0, log[-2000:]
    assert not re.findall(r"Missing character|Citation `|Reference `", log)
    assert "김철수" in (folder / "main.bbl").read_text()
    assert not list(tmp_path.rglob("pwned"))
