"""The pages of docs/: each is found, each link arrives, and the site of them needs no network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"
ROW = re.compile(r"^\| \[([^]]+)\]\(([a-z-]+\.md)\) \| (.+) \|$", re.MULTILINE)
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
LOADS = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*?\ssrc=["']?([^"'\s>]+)|<link\b([^>]*)>"""
)
MENTION = re.compile(r"\bdocs/([a-z-]+\.md)(?:#([a-z0-9-]+))?")
NOT_OURS = {"gguf.md"}
"""Pages of ggml's repository, which has a folder docs/, too."""


def build(
    folder: Path, *, config: Path = PROJECT / "mkdocs.yml"
) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    argv += ["--config-file", str(config), "--site-dir", str(folder)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = build(folder)
    assert built.returncode == 0, built.stderr
    return folder


def contents() -> dict[str, dict[str, str]]:
    """Groups of the contents page, each with its pages: file to title."""
    parts = re.split(r"^## (.+)$", (DOCS / "index.md").read_text(), flags=re.MULTILINE)
    return {
        group: {file: title for title, file, _ in ROW.findall(rows)}
        for group, rows in zip(parts[1::2], parts[2::2], strict=True)
    }


def test_contents_and_menu_have_every_page_once_in_the_same_groups() -> None:
    menu = yaml.safe_load((PROJECT / "mkdocs.yml").read_text())["nav"][1:]
    groups = {
        group: {file: title for page in pages for title, file in page.items()}
        for entry in menu
        for group, pages in entry.items()
    }
    assert groups == contents()
    assert list(groups) == ["Start", "Run", "Read", "Extend"]
    listed = [page for pages in groups.values() for page in pages]
    assert sorted(listed) == sorted({path.name for path in DOCS.glob("*.md")} - {"index.md"})


def test_readers_of_each_language_find_the_other_and_the_contents() -> None:
    for page, other in (("README.md", "README.ko.md"), ("README.ko.md", "README.md")):
        assert {other, "docs/index.md"} <= set(LINK.findall((PROJECT / page).read_text()))


@pytest.mark.parametrize("page", sorted(PROJECT.glob("*.md")), ids=lambda page: page.name)
def test_links_of_pages_outside_the_site_arrive(page: Path, site: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if "://" in link:
            continue
        target, _, heading = link.partition("#")
        assert (PROJECT / target).exists(), link
        if heading:
            assert f'id="{heading}"' in (site / Path(target).name).with_suffix(".html").read_text()


def test_pages_and_headings_that_code_and_messages_name_are_there() -> None:
    tracked = subprocess.run(
        ["git", "-C", str(PROJECT), "ls-files", "-z", "*.py", "*.yml", "*.j2", "roles/*/files/*"],
        capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    missing = [
        f"{name}: docs/{page}"
        for name in tracked
        if name and not name.startswith("tests/") and (PROJECT / name).is_file()
        for page, _ in MENTION.findall((PROJECT / name).read_text(errors="ignore"))
        if page not in NOT_OURS and not (DOCS / page).exists()
    ]
    assert missing == []


def test_the_page_on_architecture_names_every_room_and_nothing_that_is_gone() -> None:
    page = (DOCS / "architecture.md").read_text()
    top = [path.name for path in PROJECT.iterdir() if (path / "__init__.py").exists()]
    rooms = [path.parent.name for path in PROJECT.glob("experiments/*/__init__.py")]
    assert len(rooms) > 8
    assert [name for name in (*top, *rooms) if f"`{name}/`" not in page] == []
    named = re.findall(r"`((?:[\w.-]+/)+(?:[\w-]+\.\w+)?)`", page)
    inside = ("", "experiments", "roles/node_base/files", "analysis", "experiments/doctor")
    gone = [
        path
        for path in named
        if not any((PROJECT / folder / path).exists() for folder in inside)
        and not path.startswith(("huggingface/", "page/", "tasks/"))
    ]
    assert gone == []


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.glob("*.html"))
    assert len(pages) > 20
    for page in pages:
        for source, link in LOADS.findall(page.read_text()):
            target = source or re.search(r"""href=["']?([^"'\s>]+)""", link)[1]  # type: ignore[index]
            assert not re.match(r"(?:[a-z]+:)?//", target), (page.name, target)
    for style in site.rglob("*.css"):
        assert not re.search(r"""(?:url\(|@import)\s*["']?(?:https?:)?//""", style.read_text()), (
            style
        )


def test_markdown_is_read_as_it_is_meant(site: Path) -> None:
    """A list, a table or a block of code that the site's reader takes for words."""
    for page in site.glob("*.html"):
        text = re.sub(r"<pre>.*?</pre>", "", page.read_text(), flags=re.DOTALL)
        assert not re.search(r"^(?:<p>)?\s*(?:[-*] |\d+\. |\||```)", text, re.MULTILINE), page.name


def test_links_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    wrong = ["nowhere.md", "concepts.md#lost", "#lost", "/concepts.md", "../README.md"]
    config = yaml.safe_load((PROJECT / "mkdocs.yml").read_text())
    config |= {"nav": ["index.md", "concepts.md"], "extra_css": []}
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("".join(f"[x]({link})\n" for link in wrong))
    (tmp_path / "docs" / "concepts.md").write_text("# Two\n")
    (tmp_path / "docs" / "forgotten.md").write_text("# Three\n")
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(config))
    built = build(tmp_path / "site", config=tmp_path / "mkdocs.yml")
    assert (built.returncode, built.stderr.count("WARNING")) == (1, 6), built.stderr
    assert [name for name in (*wrong, "forgotten.md") if name not in built.stderr] == []
