"""Reports in Korean and English: which language is asked for, sentences in both, pages in both."""

from __future__ import annotations

import copy
import pickle
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from analysis.blocks import Section
from analysis.pages import Page, render, write_pages
from analysis.reading import study_in
from analysis.report import write_report
from analysis.text.sentence import capital, say, say_number, together, translated, verbatim
from analysis.text.wording import bare, count, interval, listing, nodes, plural
from core.errors import HerdError
from core.language import misses
from core.language.catalogue import catalogue_of
from core.language.choice import language, languages_of, speaking
from tests.doubles.run_folder import make_run
from tests.doubles.shared_kinds import sections_of_kind, study_of_kind

STORED = Path(__file__).resolve().parents[1] / "data" / "runs" / "scripted-20261128-212531"


@pytest.mark.parametrize(
    ("asked", "environment", "told"),
    [
        (None, {}, ("en",)),
        (None, {"LLAMA_HERD_LANG": ""}, ("en",)),
        (None, {"LLAMA_HERD_LANG": "ko"}, ("ko",)),
        (None, {"LLAMA_HERD_LANG": "both"}, ("en", "ko")),
        ("en", {"LLAMA_HERD_LANG": "ko"}, ("en",)),
        ("ko", {"LLAMA_HERD_LANG": "nonsense"}, ("ko",)),
        ("both", {}, ("en", "ko")),
    ],
)
def test_a_flag_counts_more_than_the_environment(
    asked: str | None, environment: dict[str, str], told: tuple[str, ...]
) -> None:
    assert languages_of(asked, environment) == told


@pytest.mark.parametrize(
    ("asked", "environment", "words"),
    [
        ("kr", {}, "--lang 'kr'"),
        ("", {}, "--lang ''"),
        ("KO", {}, "--lang 'KO'"),
        (None, {"LLAMA_HERD_LANG": "de"}, "LLAMA_HERD_LANG 'de'"),
    ],
)
def test_another_language_is_refused_by_name(
    asked: str | None, environment: dict[str, str], words: str
) -> None:
    with pytest.raises(HerdError, match=re.escape(f"{words}: it must be one of en, ko or both.")):
        languages_of(asked, environment)


def test_a_language_is_in_force_inside_only() -> None:
    with speaking("ko"):
        assert language() == "ko"
        with speaking("en"):
            assert language() == "en"
        assert language() == "ko"
    assert language() == "en"
    with pytest.raises(ValueError, match="a language must be one of en, ko"):
        speaking("de").__enter__()


@pytest.mark.parametrize(
    ("said", "korean"),
    [
        (nodes(8), "노드 8대"),
        (nodes(1), "노드 1대"),
        (plural(3, "trial"), "시행 3회"),
        (plural(1, "trial"), "시행 1회"),
        (count(2), "2"),
        (listing(["a", "b", "c"]), "a, b, c"),
        (listing(["a", "b"], "or"), "a 또는 b"),
        (listing([nodes(2), nodes(4)]), "노드 2대, 노드 4대"),
        (together([plural(2, "trial"), nodes(1)], "; "), "시행 2회; 노드 1대"),
        (capital(nodes(2)), "노드 2대"),
        (bare(say("Baseline: {baselines}.", baselines=nodes(2))), "기준: 노드 2대"),
        ("Energy", "에너지"),
        ("3 trials", "시행 3회"),
        ("llama.cpp", "llama.cpp"),
        (verbatim("Energy"), "Energy"),
        (plural(2, "trial") + ", " + nodes(2), "시행 2회, 노드 2대"),
        ("before " + nodes(2), "before 노드 2대"),
        (7, "7"),
    ],
)
def test_what_is_said_in_english_is_said_in_korean(said: object, korean: str) -> None:
    with speaking("ko"):
        assert translated(said) == korean
    assert translated(said) == str(said)


def test_a_sentence_that_was_made_in_one_language_is_said_in_another() -> None:
    with speaking("ko"):
        made = nodes(2)
        assert made == "two nodes"
        assert translated(made) == "노드 2대"
    assert translated(made) == "two nodes"


def test_a_sentence_can_be_copied_and_stored() -> None:
    made = nodes(2)
    assert copy.deepcopy(made) is copy.copy(made) is made
    assert pickle.loads(pickle.dumps(made)) == "two nodes"  # noqa: S301 - our own
    assert str(made) is made


def test_a_number_of_things_has_one_template_in_each_form() -> None:
    one, two = (say_number(n, "{n} node", "{n} nodes") for n in (1, 2))
    assert (one, two) == ("1 node", "2 nodes")


def test_what_is_in_no_catalogue_is_noted() -> None:
    with speaking("ko"), misses.noted() as found:
        assert translated(say("Nothing says {this} here.", this=nodes(1))) == (
            "Nothing says 노드 1대 here."
        )
        translated("nor this")
    assert found == {"Nothing says {this} here.", "nor this"}


def test_a_stored_text_is_recognised_by_its_template() -> None:
    found = catalogue_of("ko").recognised("These nodes are 3 of 4 and have no template.")
    assert found is None
    told = catalogue_of("ko").recognised("The default fails here (no memory). f16 is the fastest "
                                         "of those that work; no gain can be stated.")  # fmt: skip
    assert told is not None
    assert dict(told.places) == {"cause": "no memory", "best": "f16"}


class Ids(HTMLParser):
    """Ids, links into the page and languages of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.languages: list[tuple[str, str, bool]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.ids += [str(told["id"])] if "id" in told else []
        if (told.get("href") or "").startswith("#"):
            self.links.append(str(told["href"])[1:])
        if "lang" in told:
            self.languages.append((tag, str(told["lang"]), "hidden" in told))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report in both languages, with everything that a page may have ids for."""
    folder = tmp_path_factory.mktemp("both")
    study = study_of_kind("several nodes")
    out = folder / "report"
    out.mkdir()
    sections = sections_of_kind("several nodes")
    write_pages(
        out, verbatim(study.run.title), study.run.run, sections, str, languages=("en", "ko")
    )
    for code in ("en", "ko"):
        alone = folder / code
        alone.mkdir()
        write_pages(
            alone, verbatim(study.run.title), study.run.run, sections, str, languages=(code,)
        )
    return folder


def test_a_page_in_both_languages_has_each_id_once_and_no_dead_link(both: Path) -> None:
    page = Ids((both / "report" / "index.html").read_text(encoding="utf-8"))
    assert len(page.ids) == len(set(page.ids))
    assert set(page.links) <= set(page.ids)
    assert {one.removeprefix("ko-") for one in page.links if one.startswith("ko-")} <= set(page.ids)


def test_each_language_is_named_and_one_is_shown_without_scripts(both: Path) -> None:
    page = Ids((both / "report" / "index.html").read_text(encoding="utf-8"))
    assert [one for one in page.languages if one[0] in {"html", "main"}] == [
        ("html", "en", False),
        ("main", "en", False),
        ("main", "ko", True),
    ]
    alone = Ids((both / "ko" / "index.html").read_text(encoding="utf-8"))
    assert alone.languages == [("html", "ko", False)]


def test_the_page_is_one_file_that_loads_nothing(both: Path) -> None:
    for name in ("report", "ko"):
        page = (both / name / "index.html").read_text(encoding="utf-8")
        assert "font-src data:" in page
        assert not re.search(r'(?:src|href)\s*[=:]\s*["\']?https?:', page)
        assert page.count("data:font/woff;base64,") == 1


def test_pictures_and_markdown_have_the_language_in_their_names(both: Path) -> None:
    files = {path.name for path in (both / "report").iterdir()}
    assert {"report.md", "report.ko.md", "decode-rate.png", "decode-rate.ko.png"} <= files
    assert {"decode-rate.svg", "decode-rate.ko.svg"} <= files
    assert "](decode-rate.ko.png)" in (both / "report" / "report.ko.md").read_text(encoding="utf-8")
    assert not {name for name in (p.name for p in (both / "en").iterdir()) if ".ko." in name}


def test_what_both_have_is_what_each_has_alone(both: Path) -> None:
    for path in (both / "en").glob("*.*"):
        if path.suffix in {".csv", ".md"}:
            assert path.read_bytes() == (both / "report" / path.name).read_bytes(), path.name
    for path in (both / "ko").glob("*.*"):
        if path.suffix in {".csv", ".md"}:
            assert path.read_bytes() == (both / "report" / path.name).read_bytes(), path.name


def test_charts_have_their_words_in_korean_as_paths(both: Path) -> None:
    english = (both / "report" / "decode-rate.svg").read_text(encoding="utf-8")
    korean = (both / "report" / "decode-rate.ko.svg").read_text(encoding="utf-8")
    assert "<text" in english
    assert "<text" not in korean


def test_a_stored_run_is_written_in_korean(tmp_path: Path) -> None:
    run = tmp_path / "results" / STORED.name
    shutil.copytree(STORED, run, ignore=shutil.ignore_patterns("expected"))
    index = write_report(run, tmp_path / "reports", languages=("ko",)).index
    assert '<html lang="ko">' in index.read_text(encoding="utf-8")
    assert (index.parent / "report.ko.md").exists()
    assert not (index.parent / "report.md").exists()


def test_nodes_that_others_are_compared_with_are_counted_as_machines(tmp_path: Path) -> None:
    study = study_in(make_run(tmp_path, nodes=(1, 2, 4, 8), repeats=6, seed=3))
    with speaking("ko"):
        told = translated(study.verdict.headline)
    assert "4대는 2대보다" in told
    assert "8대는 4대보다" in told
    assert "it is unclear whether four are faster than two:" in study.verdict.headline


def test_a_title_that_a_user_gave_is_not_translated() -> None:
    page = Page(
        verbatim("Energy"), "a-run", (Section("verdict", "Energy", ()),), {}, languages=("ko",)
    )
    made = render(page, "html")
    assert "</span> Energy · a-run" in made
    assert "<h1>에너지</h1>" in made


def test_every_interval_can_be_said() -> None:
    with speaking("ko"), misses.noted() as found:
        assert translated(interval(None)) == "\N{EN DASH}"
    assert found == {"\N{EN DASH}"}
