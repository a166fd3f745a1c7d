"""The source of an engine, from whatever the user names; with distributed-llama for the example."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = PROJECT / "roles" / "engine_base" / "files" / "source_archive.py"
FIX = PROJECT / "roles" / "distributed_llama" / "files" / "fix_prompt_token.py"
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
    command = [sys.executable, str(PROGRAM), f"--repo={repo}", f"--version={version}", *options]
    command += ["--role=distributed_llama"]
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
        ("{repository}", "holds no version ffffffff"),
        ("{repository}", ": set distributed_llama_version"),
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
    fixed = ask(str(source), "8d624a7", tmp_path / "cache", f"--correct={FIX}")
    stock = ask(str(source), "8d624a7", tmp_path / "cache")
    assert fixed["archive"] != stock["archive"]
    assert fixed["commit"] == stock["commit"]
    corrected = read(fixed["archive"], "./src/dllama.cpp")
    assert corrected == read(stock["archive"], "./src/dllama.cpp").replace(
        " token = inputTokens[pos + 1]", " token = inputTokens[pos]"
    ).replace("[i + 1]", "[i]")
    assert "targetToken = inputTokens[pos + 1]" in corrected
    assert "promptTokens[i];" in read(fixed["archive"], "./src/dllama-api.cpp")


def test_a_source_that_cmake_builds_is_one_too(tmp_path: Path) -> None:
    (tmp_path / "source" / "engine-1.0").mkdir(parents=True)
    (tmp_path / "source" / "engine-1.0" / "CMakeLists.txt").touch()
    answer = ask(str(tmp_path / "source"), "1.0", tmp_path / "cache")
    assert names(answer["archive"]) == {"CMakeLists.txt"}


@pytest.mark.parametrize("files", [{"dllama-api": "gone"}, {"dllama": "x token = inputTokens[i];"}])
def test_another_source_is_not_corrected_at_a_guess(tmp_path: Path, files: dict[str, str]) -> None:
    source = source_with(tmp_path / "source", **files)
    reason = ask(str(source), "8d624a7", tmp_path / "cache", f"--correct={FIX}")["reason"]
    assert next(iter(files)) in reason
    assert "distributed_llama_fix_prompt_token" in reason


# -- sources that would have something done, were they not only read

SETTINGS = """
[core]
    fsmonitor = {run}
    hooksPath = {hooks}
    sshCommand = {run}
    gitProxy = {run}
    editor = {run}
    pager = {run}
    alternateRefsCommand = {run}
    attributesFile = {attributes}
    askPass = {run}
[tar "tar.gz"]
    command = {run}; gzip -cn
[tar "tar"]
    command = {run}; cat
[filter "evil"]
    smudge = {run}; cat
    process = {run}
    required = true
[diff "evil"]
    textconv = {run}
    command = {run}
[uploadpack]
    packObjectsHook = {run}
[credential]
    helper = "!{run}"
[remote "origin"]
    url = "ext::{run}"
    promisor = true
    partialclonefilter = blob:none
    uploadpack = {run}
    vcs = evil
[extensions]
    partialClone = origin
[protocol]
    allow = always
[gpg]
    program = {run}
[gc]
    auto = 1
[submodule "sub"]
    url = "ext::{run}"
    update = "!{run}"
    active = true
[include]
    path = {included}
"""


@pytest.fixture
def hostile(repository: Path, tmp_path: Path) -> Path:
    """The repository with every setting, hook and attribute that can name a program."""
    run = tmp_path / "run"
    run.write_text(f"#!/bin/sh\necho ran $0 >>{tmp_path}/pwned\nexec cat\n")
    run.chmod(0o755)
    (repository / ".gitattributes").write_text(
        "* filter=evil diff=evil ident\nsubst.txt export-subst\nMakefile export-ignore\n"
    )
    (repository / ".gitmodules").write_text(
        f'[submodule "sub"]\n\tpath = sub\n\turl = ext::{run}\n\tupdate = !{run}\n'
    )
    (repository / "subst.txt").write_text("$Format:%H$ $Id$\n")
    git(repository, "add", ".")
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{commit},sub")
    git(repository, "commit", "--quiet", "--message=hostile")
    for hook in ("post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc"):
        (repository / ".git" / "hooks").mkdir(exist_ok=True)
        shutil.copy(run, repository / ".git" / "hooks" / hook)
    attributes, included = tmp_path / "attributes", tmp_path / "included"
    attributes.write_text("* filter=evil export-subst\n")
    included.write_text(f"[core]\n\tfsmonitor = {run}\n")
    hooks = repository / ".git" / "hooks"
    settings = SETTINGS.format(run=run, hooks=hooks, attributes=attributes, included=included)
    with (repository / ".git" / "config").open("a") as config:
        config.write(settings)
    return repository


@pytest.mark.parametrize("how", ["folder", "bare", "address"])
@pytest.mark.parametrize("owner", [None, "nobody"])
def test_nothing_that_a_repository_names_is_run(
    hostile: Path, tmp_path: Path, how: str, owner: str | None
) -> None:
    repo = hostile
    if how == "bare":
        repo = tmp_path / "bare.git"
        shutil.copytree(hostile / ".git", repo)
    if owner and os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    if owner:
        subprocess.run(["chown", "-R", owner, str(repo)], check=True)
    named = f"file://{repo}" if how == "address" else str(repo)
    answer = ask(named, "HEAD", tmp_path / "cache", f"--correct={FIX}")
    assert "prompt cannot be corrected" in answer["reason"]
    answer = ask(named, "HEAD", tmp_path / "cache")
    assert not (tmp_path / "pwned").exists()
    assert read(answer["archive"], "./subst.txt") == "$Format:%H$ $Id$\n"
    assert {"Makefile", "dllama.cpp", ".gitattributes"} <= names(answer["archive"])


@pytest.mark.parametrize("where", ["worktree", "submodule", "link"])
def test_a_git_folder_that_lies_elsewhere_is_not_followed(
    hostile: Path, tmp_path: Path, where: str
) -> None:
    folder = tmp_path / "plain"
    shutil.copytree(CONTENT, folder)
    if where == "link":
        (folder / ".git").symlink_to(hostile / ".git")
    else:
        (folder / ".git").write_text(f"gitdir: {hostile / '.git'}\n")
    answer = ask(str(folder), "8d624a7", tmp_path / "cache")
    assert answer["commit"] == "8d624a7"
    assert not {".git", "subst.txt"} & names(answer["archive"])
    assert not (tmp_path / "pwned").exists()


def test_a_repository_that_borrows_objects_is_told_so(repository: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    git(tmp_path, "clone", "--quiet", "--shared", str(repository), str(shared))
    reason = ask(str(shared), "HEAD", tmp_path / "cache")["reason"]
    assert "borrows objects" in reason
    git(shared, "repack", "-a", "-d", "--quiet")
    (shared / ".git/objects/info/alternates").unlink()
    assert "archive" in ask(str(shared), "HEAD", tmp_path / "cache")


@pytest.mark.parametrize(
    ("repo", "version"),
    [
        ("ext::{run}", "v1"),
        ("--upload-pack={run}", "v1"),
        ("-u{run}", "v1"),
        ("fd::17", "v1"),
        ("ssh://-oProxyCommand={run}/x", "v1"),
        ("-oProxyCommand={run}:x", "v1"),
        ("{repository}", "--output=/nowhere"),
        ("{repository}", "-h"),
        ("{repository}", "v1 --exec={run}"),
        ("{file}", "v1"),
    ],
)
def test_an_address_or_version_that_is_an_option_or_a_command_is_refused(
    hostile: Path, tmp_path: Path, repo: str, version: str
) -> None:
    run = tmp_path / "run"
    (tmp_path / "file").write_text(f"gitdir: {hostile / '.git'}\n")
    named = {"run": run, "repository": hostile, "file": tmp_path / "file"}
    answer = ask(repo.format(**named), version.format(**named), tmp_path / "cache")
    assert set(answer) == {"reason"}
    assert not (tmp_path / "pwned").exists()


def test_git_sees_no_key_and_no_setting_of_the_environment(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.which("git")
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nenv >>{tmp_path}/seen\nexec {real} "$@"\n')
    program.chmod(0o755)
    bundle = tmp_path / "source.bundle"
    git(repository, "bundle", "create", str(bundle), "--all")
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    planted = ("OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "MY_OWN", "GITHUB_PAT")
    for name in planted:
        monkeypatch.setenv(name, "planted-value")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_EXTERNAL_DIFF", "GIT_ALTERNATE_OBJECT_DIRS"):
        monkeypatch.setenv(name, str(tmp_path / "planted-value"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    for source in (repository, bundle):
        assert "archive" in ask(str(source), "v1", tmp_path / "cache")
    seen = (tmp_path / "seen").read_text()
    assert "planted-value" not in seen
    assert "https_proxy=http://127.0.0.1:9" in seen


def test_a_login_in_an_address_is_not_repeated(tmp_path: Path) -> None:
    reason = ask("https://me:hf_secret@127.0.0.1:9/x.git", "v1", tmp_path / "cache")["reason"]
    assert "127.0.0.1" in reason
    assert "hf_secret" not in reason


def test_a_commit_whose_tree_never_ends_is_given_up(repository: Path, tmp_path: Path) -> None:
    """Ten trees of ten trees of …: a few objects, ten thousand million files."""
    blob = git(repository, "rev-parse", "HEAD:Makefile")
    kind, tree = "100644 blob", blob
    for _ in range(10):
        lines = "".join(f"{kind} {tree}\tf{number}\n" for number in range(10))
        made = subprocess.run(
            ["git", "-C", str(repository), "mktree"],
            input=lines,
            capture_output=True,
            text=True,
            check=True,
        )
        kind, tree = "040000 tree", made.stdout.strip()
    git(repository, "tag", "bomb", git(repository, "commit-tree", tree, "-m", "bomb"))
    reason = ask(str(repository), "bomb", tmp_path / "cache")["reason"]
    assert "holds more than" in reason


def test_the_same_commit_makes_the_same_archive(repository: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(repository), str(bare))
    first = ask(str(repository), "v1", tmp_path / "cache")
    second = ask(str(bare), "v1", tmp_path / "other")
    assert first["sha256"] == second["sha256"]
    content = Path(first["archive"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == first["sha256"]
