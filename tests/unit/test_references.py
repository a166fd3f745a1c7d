"""A report cites what it draws on, where it does, and lists just that at its end."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from analysis.blocks import Cited, Section, Sources
from analysis.model.machines import load_machines
from analysis.network.literature import load_publications
from analysis.pages import Page, render
from analysis.references import bibtex, reference, used, used_in, with_references
from analysis.references.of_run import uses
from analysis.references.shipped import address, shipped, written_out
from analysis.study import Study
from analysis.within import blocks_in
from core.bibtex import read_bibtex
from experiments.engines import ENGINES
from models.catalogue import load_catalogue
from tests.doubles.run_kinds import KINDS
from tests.doubles.shared_kinds import sections_of_kind, study_of_kind

PROJECT = Path(__file__).parents[2]
CATALOGUE = PROJECT / "models" / "catalogue.yml"
ENTRIES = shipped().entries


def keys_in_code() -> set[str]:
    """Every text in the modules of sections that may be a key."""
    found: set[str] = set()
    for folder in ("sections", "settings", "references"):
        for path in (PROJECT / "analysis" / folder).glob("*.py"):
            texts = (one for one in ast.walk(ast.parse(path.read_bytes())))
            found |= {
                one.value
                for one in texts
                if isinstance(one, ast.Constant) and isinstance(one.value, str)
            }
    return found


def keys_in_data() -> set[str]:
    tables = uses()
    groups = (tables.engines, tables.models, tables.weights, tables.methods)
    named = {key for group in groups for keys in group.values() for key in keys}
    named |= {table.reference for table in load_publications()}
    return named | {source.reference for source in load_machines().sources.values()}


def test_what_is_shipped_reads_without_a_fault() -> None:
    assert shipped().faults == ()
    assert len(ENTRIES) > 50


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.key)
def test_an_entry_can_be_found_by_a_reader(entry) -> None:  # noqa: ANN001
    assert entry.fields["title"]
    assert entry.fields["author"]
    assert entry.fields.get("year", "2000").isdigit()
    doi = entry.fields.get("doi", "10.1000/1")
    assert re.fullmatch(r"10\.\d{4,9}/[\w.()/:-]+", doi)
    assert re.fullmatch(r"\d{4}\.\d{5}", entry.fields.get("eprint", "2000.00000"))
    assert entry.fields.get("url", "https://").startswith("https://")
    assert address(entry) or entry.fields["publisher"]
    assert not set("{}\\") & set(written_out(entry))


def test_every_entry_is_used_and_every_key_exists() -> None:
    known = {entry.key for entry in ENTRIES}
    assert keys_in_data() <= known
    assert known <= keys_in_code() | keys_in_data()


def test_every_key_that_a_section_may_cite_exists() -> None:
    for path in (PROJECT / "analysis").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            is_call = isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                "cited",
                "Cite",
            )
            for one in ast.walk(node) if is_call else ():
                if (
                    isinstance(one, ast.Tuple)
                    and one.elts
                    and isinstance(one.elts[0], ast.Constant)
                ):
                    texts = [ast.literal_eval(part) for part in one.elts[1:] if _is_plain(part)]
                    for key in (key for text in texts for key in _all(text)):
                        assert reference(key)


def _is_plain(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant | ast.Tuple)


def _all(text: object) -> tuple[str, ...]:
    return text if isinstance(text, tuple) else (str(text),)


def test_every_published_table_and_every_engine_has_a_reference() -> None:
    assert all(table.reference for table in load_publications())
    assert all(source.reference for source in load_machines().sources.values())
    assert uses().engines.keys() == set(ENGINES)


def test_every_model_of_the_catalogue_with_a_paper_has_it() -> None:
    without = [name for name in load_catalogue(CATALOGUE).names() if not uses().of_model(name)]
    assert all(name.startswith("synthetic:") for name in without)


def test_a_longer_beginning_of_a_name_counts_before_a_shorter_one() -> None:
    assert uses().of_model("llama3.2-1b-instruct") == ("grattafiori2024llama3",)
    assert uses().of_model("synthetic:dim=64") == ()


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def study(kind: str) -> Study:
    return study_of_kind(kind)


@pytest.fixture(scope="module")
def sections(kind: str) -> tuple[Section, ...]:
    return sections_of_kind(kind)


def test_numbers_begin_with_one_in_the_order_of_the_page_and_all_are_listed(
    study: Study, sections: tuple[Section, ...]
) -> None:
    made = with_references(study.run, sections)
    marks = [
        mark
        for section in made
        for block in blocks_in(section)
        if isinstance(block, Cited)
        for cite in block.cites
        for mark in cite.marks
    ]
    (listed,) = [block for block in blocks_in(made[-1]) if isinstance(block, Sources)]
    assert [number for _, number in dict.fromkeys(marks)] == list(range(1, len(listed.sources) + 1))
    assert set(marks) == {(one.key, one.number) for one in listed.sources}
    assert [one.key for one in listed.sources] == [
        entry.key for entry in used_in(study.run, sections)
    ]


def test_a_page_links_each_mark_to_its_entry(study: Study, sections: tuple[Section, ...]) -> None:
    made = with_references(study.run, [one for one in sections if one.anchor == "provenance"])
    page = render(Page("t", "r", tuple(made), {}), "html")
    links = re.findall(r'<a href="#ref-([\w-]+)">\[(\d+)\]</a>', page)
    places = re.findall(r'<li id="ref-([\w-]+)">', page)
    assert {key for key, _ in links} == set(places)
    assert [str(place) for place in range(1, len(places) + 1)] == list(
        dict.fromkeys(number for _, number in links)
    )
    text = render(Page("t", "r", tuple(made), {}), "md")
    assert "Sources: " in text
    assert re.search(r"^1\. .+ <https://", text, re.MULTILINE)


def test_a_report_cites_only_what_it_uses() -> None:
    def keys(kind: str) -> set[str]:
        return {entry.key for entry in used(study_of_kind(kind))}

    alone, laws = keys("one node"), keys("laws")
    assert {"amdahl1967", "gunther2007", "david2003", "holm1979", "pitman1937"} <= laws
    assert not {"amdahl1967", "gunther2007", "david2003", "pitman1937", "llamacpp"} & alone
    assert "distributedllama" in alone
    assert not {"hu2021lora", "cohen1968", "nvml", "borzunov2023petals"} & (alone | laws)


def test_bibtex_is_what_is_shipped_and_reads_back() -> None:
    two = [reference("amdahl1967"), reference("tadych2024report"), reference("amdahl1967")]
    text = bibtex(two)
    again = read_bibtex(text)
    assert [entry.key for entry in again.entries] == ["amdahl1967", "tadych2024report"]
    assert again.faults == ()
    assert "Bart{\\l}omiej" in text
    assert again.entries[1].authors == ("B. Tadych",)
