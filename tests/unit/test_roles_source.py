"""The source of distributed-llama, from whatever the user names."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = PROJECT / "roles" / "distributed_llama" / "files" / "source_archive.py"
CONTENT = PROJECT / "tests" / "doubles" / "dllama_source"


def git(folder: Path, *arguments: str) -> str:
    author = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    done = subprocess.run(
        ["git", "-C", str(folder), *author, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    shutil.copytree(CONTENT, folder)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=one")
    git(folder, "tag", "v1")
    return folder


def ask(repo: str, version: str, cache: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, str(PROGRAM), "--repo", repo, "--version", version, *options]
    done = subprocess.run(
        [*command, "--cache", str(cache)], capture_output=True, text=True, check=True, timeout=60
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def names(archive: str) -> set[str]:
    with tarfile.open(archive) as opened:
        return {Path(name).name for name in opened.getnames() if Path(name).name}


@pytest.mark.parametrize("how", ["folder", "bare", "address"])
def test_a_repository_gives_the_commit_asked_for(
    repository: Path, tmp_path: Path, how: str
) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    (repository / "Makefile").write_text("broken since\n")
    git(repository, "commit", "--quiet", "--all", "--message=two")
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(repository), str(bare))
    repo = {"folder": str(repository), "bare": str(bare), "address": f"file://{bare}"}[how]
    for version in (commit, "v1"):
        answer = ask(repo, version, tmp_path / "cache")
        assert answer["commit"] == commit
        assert {"Makefile", "dllama.cpp"} <= names(answer["archive"])


def test_the_source_of_a_commit_once_fetched_needs_no_route_any_more(
    repository: Path, tmp_path: Path
) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    bundle = tmp_path / "source.bundle"
    git(repository, "bundle", "create", str(bundle), "--all")
    first = ask(str(bundle), commit, tmp_path / "cache")
    bundle.write_text("gone")
    assert ask(str(bundle), commit, tmp_path / "cache") == first


@pytest.mark.parametrize("kind", ["plain", "gztar", "zip"])
def test_a_folder_or_archive_without_history_is_taken_at_its_word(
    tmp_path: Path, kind: str
) -> None:
    above = tmp_path / "above"
    shutil.copytree(CONTENT, above / "distributed-llama-8d624a7")
    repo = str(above / "distributed-llama-8d624a7")
    if kind != "plain":
        repo = shutil.make_archive(str(tmp_path / "source"), kind, above)
    answer = ask(repo, "8d624a7", tmp_path / "cache")
    assert answer["commit"] == "8d624a7"
    with tarfile.open(answer["archive"]) as opened:
        assert "./Makefile" in opened.getnames()


@pytest.mark.parametrize(
    ("repo", "words"),
    [
        ("git://127.0.0.1:9/x", "Connection refused"),
        ("/no/such/folder", "no such file or folder"),
        ("{repository}", "holds no version"),
        ("{empty}", "holds no Makefile"),
        ("{broken}", "cannot be unpacked"),
    ],
)
def test_a_source_that_cannot_be_had_is_one_sentence(
    repository: Path, tmp_path: Path, repo: str, words: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.tar.gz").write_bytes(b"no archive")
    paths = {
        "repository": repository,
        "empty": tmp_path / "empty",
        "broken": tmp_path / "broken.tar.gz",
    }
    named = repo.format(**paths)
    reason = ask(named, "f" * 40, tmp_path / "cache")["reason"]
    assert named in reason
    assert words in reason
    assert "\n" not in reason


def source_with(folder: Path, **files: str) -> Path:
    """A source whose files read the prompt's last token one too far, or as `files` says."""
    content = {
        "dllama": "int targetToken = inputTokens[pos + 1];\n"
        "        token = inputTokens[pos + 1];\n            token = inputTokens[i + 1];\n",
        "dllama-api": "  token = promptTokens[i + 1];\n",
        **files,
    }
    (folder / "src").mkdir(parents=True)
    (folder / "Makefile").write_text("all:\n")
    for name, text in content.items():
        (folder / "src" / f"{name}.cpp").write_text(" " + text)
    return folder


def read(archive: str, name: str) -> str:
    with tarfile.open(archive) as opened:
        member = opened.extractfile(name)
        assert member is not None
        return member.read().decode()


def test_the_token_of_the_prompt_is_corrected_in_each_place_and_nothing_else_is(
    tmp_path: Path,
) -> None:
    source = source_with(tmp_path / "source")
    fixed = ask(str(source), "8d624a7", tmp_path / "cache", "--fix-prompt-token")
    stock = ask(str(source), "8d624a7", tmp_path / "cache")
    assert fixed["archive"] != stock["archive"]
    assert fixed["commit"] == stock["commit"]
    corrected = read(fixed["archive"], "./src/dllama.cpp")
    assert corrected == read(stock["archive"], "./src/dllama.cpp").replace(
        " token = inputTokens[pos + 1]", " token = inputTokens[pos]"
    ).replace("[i + 1]", "[i]")
    assert "targetToken = inputTokens[pos + 1]" in corrected
    assert "promptTokens[i];" in read(fixed["archive"], "./src/dllama-api.cpp")


@pytest.mark.parametrize("files", [{"dllama-api": "gone"}, {"dllama": "x token = inputTokens[i];"}])
def test_another_source_is_not_corrected_at_a_guess(tmp_path: Path, files: dict[str, str]) -> None:
    source = source_with(tmp_path / "source", **files)
    reason = ask(str(source), "8d624a7", tmp_path / "cache", "--fix-prompt-token")["reason"]
    assert next(iter(files)) in reason
    assert "distributed_llama_fix_prompt_token" in reason
