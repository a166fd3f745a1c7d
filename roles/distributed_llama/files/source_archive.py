"""The source of distributed-llama at one commit, as an archive on the controller.

    source_archive.py --repo REPO --version VERSION --cache FOLDER [--fix-prompt-token]

REPO is a Git address, a repository or a plain folder with the source on this machine, or an
archive of it (.tar.gz, .tar.xz, .tar, .zip). Prints one line of JSON: {"commit", "archive"}, or
{"reason": "…"} when the source cannot be had. Never asks for a password; gives up after a bounded
time.

`--fix-prompt-token` corrects one index in three places: after reading the prompt, upstream takes
the token behind the last one of the prompt for the last one (docs/engines.md).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

GIT_TIMEOUT_SECONDS = 300
GIT_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=20",
    # A transfer that moves less than 1 kB/s for 30 s is given up.
    "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
    "GIT_HTTP_LOW_SPEED_TIME": "30",
    "LC_ALL": "C",
}
FULL_HASH = re.compile(r"[0-9a-f]{40}")
ARCHIVE = re.compile(r"\.(tar(\.\w+)?|tgz|txz|zip)$")
PROMPT_TOKENS = {
    "src/dllama.cpp": (("inputTokens", "pos"), ("inputTokens", "i")),
    "src/dllama-api.cpp": (("promptTokens", "i"),),
}
"""Array and index of each place that `--fix-prompt-token` corrects, by file."""


class SourceError(Exception):
    """Why there is no source, one sentence."""


def git(*arguments: str, timeout_seconds: float = GIT_TIMEOUT_SECONDS) -> str:
    """Standard output of a git command; SourceError with its last line when it fails.

    Repositories of another owner are read all the same: only objects are taken from them.
    """
    command = ("git", "-c", "safe.directory=*", *arguments)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_seconds,
            env={**os.environ, **GIT_ENVIRONMENT},
        )
    except FileNotFoundError:
        raise SourceError("the controller has no git") from None
    except subprocess.TimeoutExpired:
        raise SourceError(f"git did not answer within {timeout_seconds:.0f} s") from None
    if done.returncode:
        words = [line for line in done.stderr.splitlines() if line.strip()] or ["git failed"]
        raise SourceError(" ".join(words[:2]).removeprefix("fatal: ").strip())
    return done.stdout.strip()


def find_commit(repository: Path, version: str) -> str | None:
    """Full hash of a commit, tag or branch; None when the repository lacks it."""
    try:
        return git("-C", str(repository), "rev-parse", "--verify", "-q", f"{version}^{{commit}}")
    except SourceError:
        return None


def is_repository(folder: Path) -> bool:
    """Whether the folder itself is a repository, bare or not (not one further up)."""
    try:
        found = git("-C", str(folder), "rev-parse", "--absolute-git-dir")
    except SourceError:
        return False
    return Path(found).resolve() in {folder.resolve(), (folder / ".git").resolve()}


def mirrored(repo: str, version: str, cache: Path) -> Path:
    """A copy of a repository elsewhere that holds the version, fetched only if it must be."""
    mirror = cache / f"{hashlib.sha256(repo.encode()).hexdigest()[:16]}.git"
    if not mirror.exists():
        git("init", "--quiet", "--bare", str(mirror))
    if not (FULL_HASH.fullmatch(version) and find_commit(mirror, version)):
        # ls-remote first: where there is no route this fails after seconds, not minutes.
        git("ls-remote", "--quiet", repo, "HEAD", timeout_seconds=30)
        everything = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        git("-C", str(mirror), "fetch", "--quiet", "--prune", repo, *everything)
    return mirror


def pack(folder: Path, archive: Path) -> None:
    """Write the source under `folder` as an archive whose top is the Makefile's folder."""
    makefiles = sorted(folder.glob("Makefile")) or sorted(folder.glob("*/Makefile"))
    if not makefiles:
        raise SourceError("it holds no Makefile")
    with tempfile.TemporaryDirectory(dir=archive.parent) as work:
        with tarfile.open(Path(work, "archive"), "w:gz") as packed:
            packed.add(
                makefiles[0].parent,
                arcname=".",
                filter=lambda entry: None if entry.name == "./.git" else entry,
            )
        Path(work, "archive").replace(archive)


def from_git(repository: Path, version: str, cache: Path) -> tuple[str, Path]:
    """Commit and archive of a version in a repository on this machine."""
    commit = find_commit(repository, version)
    if commit is None:
        raise SourceError(f"it holds no version {version}: set distributed_llama_version")
    archive = cache / f"source-{commit}.tar.gz"
    if not archive.exists():
        with tempfile.TemporaryDirectory(dir=cache) as work:
            part = Path(work, "archive.tar.gz")
            git("-C", str(repository), "archive", "--format=tar.gz", f"--output={part}", commit)
            part.replace(archive)
    return commit, archive


def from_files(path: Path, version: str, cache: Path) -> tuple[str, Path]:
    """Commit (taken at its word) and archive of a plain folder or an archive of one."""
    archive = cache / f"source-files-{hashlib.sha256(version.encode()).hexdigest()[:16]}.tar.gz"
    if path.is_dir():
        pack(path, archive)
        return version, archive
    with tempfile.TemporaryDirectory(dir=cache) as work:
        try:
            shutil.unpack_archive(path, work)
        except (shutil.ReadError, ValueError, EOFError, tarfile.TarError) as error:
            raise SourceError(f"it cannot be unpacked ({error})") from None
        pack(Path(work), archive)
    return version, archive


def with_prompt_token_fixed(archive: Path) -> Path:
    """The same source with the last token of the prompt read where it stands.

    Raises:
        SourceError: a place to correct is not there exactly once, so this is another source.
    """
    corrected = archive.with_name(archive.name.replace("source-", "source-fixed-", 1))
    with tempfile.TemporaryDirectory(dir=archive.parent) as work:
        with tarfile.open(archive) as opened:
            opened.extractall(work, filter="data")
        for name, places in PROMPT_TOKENS.items():
            path = Path(work, name)
            text = path.read_text(encoding="utf-8") if path.is_file() else ""
            for array, index in places:
                wrong = f" token = {array}[{index} + 1];"
                if text.count(wrong) != 1:
                    raise SourceError(
                        f"its {name} does not hold `{wrong.strip()}` once, so the token of the "
                        "prompt cannot be corrected there: set distributed_llama_fix_prompt_token "
                        "to false, or another distributed_llama_version"
                    )
                text = text.replace(wrong, f" token = {array}[{index}];")
            path.write_text(text, encoding="utf-8")
        pack(Path(work), corrected)
    return corrected


def get_source(repo: str, version: str, cache: Path) -> tuple[str, Path]:
    """Commit and archive of a version, from wherever `repo` says."""
    cache.mkdir(parents=True, exist_ok=True)
    local = Path(repo.removeprefix("file://")).expanduser()
    if local.is_dir() and is_repository(local):
        return from_git(local, version, cache)
    if local.is_dir() or (local.is_file() and ARCHIVE.search(local.name)):
        return from_files(local, version, cache)
    if "://" not in repo and not re.match(r"[\w.-]+@?[\w.-]*:", repo) and not local.exists():
        raise SourceError("there is no such file or folder")
    return from_git(mirrored(repo, version, cache), version, cache)


def main() -> int:
    """Get the source and print where it lies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repo", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--fix-prompt-token", action="store_true")
    arguments = parser.parse_args()
    try:
        commit, archive = get_source(arguments.repo, arguments.version, arguments.cache)
        if arguments.fix_prompt_token:
            archive = with_prompt_token_fixed(archive)
    except SourceError as error:
        print(json.dumps({"reason": f"its source, {arguments.repo}, cannot be had: {error}"}))
        return 0
    except OSError as error:
        print(f"Keeping the source in {arguments.cache}: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"commit": commit, "archive": str(archive)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
