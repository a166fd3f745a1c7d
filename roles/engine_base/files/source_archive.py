"""The source of an engine at one commit, as an archive on the controller.

    source_archive.py --repo REPO --version VERSION --role ROLE --cache FOLDER [--correct PROGRAM]

REPO is a Git address (https, http, ssh, git), a repository, bundle or plain folder with the source
on this machine, or an archive of it (.tar, also compressed, .zip). Prints one line of JSON:
{"commit", "archive", "sha256"}, or {"reason": "…"} when the source cannot be had. Never asks for a
password; gives up after a bounded time.

Nothing that the source brings is run: of a repository, objects and names of commits are copied
into one of ours, without its settings and hooks, and Git reads only that.

`--fix-prompt-token` corrects one index in three places: after reading the prompt, upstream takes
the token behind the last one of the prompt for the last one (docs/upstream-defects.md).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from core.digest import sha256_of
from models.archives import (
    Budget,
    UnpackError,
    members_of_archive,
    members_of_folder,
    write_archive,
)
from models.clients import environment_for_clients
from models.unpack import lay_out

GIT_TIMEOUT_SECONDS = 300
GIT_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=20",
    # A transfer that moves less than 1 kB/s for 30 s is given up.
    "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
    "GIT_HTTP_LOW_SPEED_TIME": "30",
    # Not `ext`, which is a command, and not `file`, which runs Git in a repository of others.
    "GIT_ALLOW_PROTOCOL": "https:http:ssh:git",
    "LC_ALL": "C",
}
GIT_ALONE = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
"""Where nothing is fetched, the user's own settings are not needed either."""
GIT_OPTIONS = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.bigFileThreshold=16m"),  # larger ones are not taken into memory
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
)
ATTRIBUTES = "* -export-ignore -export-subst -filter -ident -text -eol -working-tree-encoding\n"
"""Write every file as it was committed, regardless of .gitattributes."""
OF_REPOSITORY = re.compile(
    r"HEAD|packed-refs|refs/(heads|tags|remotes)/[\w./@+-]+"
    r"|objects/([0-9a-f]{2}/[0-9a-f]{38}|pack/pack-[0-9a-f]+\.(pack|idx))"
)
"""What is taken of a repository: no settings, no hooks, no way to the objects of another."""
FULL_HASH = re.compile(r"[0-9a-f]{40}")
VERSION = re.compile(r"[\w][\w./@+^~-]*")
ADDRESS = re.compile(r"(https?|ssh|git)://\S+|[\w.-]+(@[\w.-]+)?:\S+")
ARCHIVE = re.compile(r"\.(tar(\.\w+)?|tgz|txz|tbz2?|zip)$")
BUNDLE = re.compile(rb"# v[23] git bundle\n")
BUILD_FILES = ("Makefile", "CMakeLists.txt")
LOGIN = re.compile(r"(?<=://)[^/@\s]+@")


class SourceError(Exception):
    """Why there is no source, one sentence."""


class WrongVersionError(SourceError):
    """Why there is none of the version that was named."""


def git(
    repository: Path,
    *arguments: str,
    timeout_seconds: float = GIT_TIMEOUT_SECONDS,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Standard output of a git command on a repository of ours; SourceError when it fails."""
    command = ("git", f"--git-dir={repository}", *GIT_OPTIONS, *arguments)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout_seconds,
            env=environment_for_clients(**{**GIT_ENVIRONMENT, **(environment or {})}),
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
    if not VERSION.fullmatch(version):
        raise WrongVersionError(f"{version!r} is no commit, tag or branch")
    try:
        return git(
            repository,
            "rev-parse",
            "--verify",
            "-q",
            f"{version}^{{commit}}",
            environment=GIT_ALONE,
        )
    except SourceError:
        return None


def new_repository(repository: Path) -> Path:
    """An empty repository of ours, without what the user's template holds."""
    git(repository, "init", "--quiet", "--bare", "--template=", environment=GIT_ALONE)
    (repository / "info").mkdir(exist_ok=True)
    (repository / "info" / "attributes").write_text(ATTRIBUTES)
    return repository


def git_folder(folder: Path) -> Path | None:
    """Where a repository on this machine keeps its objects; None if the folder is none.

    A `.git` that is a file or a link points elsewhere: what is there was not named by the user.
    """
    for candidate in (folder / ".git", folder):
        has_all = all((candidate / part).is_dir() for part in ("objects", "refs"))
        if has_all and (candidate / "HEAD").is_file():
            return candidate if candidate == folder or not candidate.is_symlink() else None
    return None


def copied(folder: Path, work: Path) -> Path:
    """A repository of ours with objects and refs of one on this machine, and nothing else."""
    repository = new_repository(work / "copy.git")
    (repository / "HEAD").unlink()
    if (folder / "objects" / "info" / "alternates").exists():
        raise SourceError(
            "it borrows objects of another repository: name that one, or make it whole by "
            "`git repack -a -d` and remove its objects/info/alternates"
        )
    wanted = (one for one in members_of_folder(folder) if OF_REPOSITORY.fullmatch(one.name))
    lay_out(wanted, repository, Budget(most_bytes=8 << 30, most_members=1_000_000))
    return repository


def mirrored(address: str, version: str, cache: Path, *, is_bundle: bool = False) -> Path:
    """A copy of a repository elsewhere that holds the version, fetched only if it must be."""
    mirror = cache / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}.git"
    if not mirror.exists():
        new_repository(mirror)
    (mirror / "info").mkdir(exist_ok=True)
    (mirror / "info" / "attributes").write_text(ATTRIBUTES)
    if not (FULL_HASH.fullmatch(version) and find_commit(mirror, version)):
        more: dict[str, str] = {}
        if is_bundle:
            with Path(address).open("rb") as stream:
                if not BUNDLE.match(stream.read(20)):
                    raise SourceError("it is neither an archive nor a bundle of Git")
            more = {"GIT_ALLOW_PROTOCOL": "file"}
        # ls-remote first: where there is no route this fails after seconds, not minutes.
        git(
            mirror,
            "ls-remote",
            "--quiet",
            "--",
            address,
            "HEAD",
            timeout_seconds=30,
            environment=more,
        )
        everything = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        options = ("--quiet", "--prune", "--no-recurse-submodules")
        git(mirror, "fetch", *options, "--", address, *everything, environment=more)
    return mirror


def is_built(folder: Path) -> bool:
    """Whether it is what make or cmake is called in."""
    return any((folder / name).exists() for name in BUILD_FILES)


def archive_of(folder: Path, archive: Path) -> None:
    """Write the source under `folder`, laid out by us, with the folder that is built as its top."""
    tops = [top for top in (folder, *sorted(folder.iterdir())) if is_built(top)]
    if not tops:
        raise SourceError(f"it holds no {' or '.join(BUILD_FILES)}")
    part = archive.with_name(f"{archive.name}.part")
    write_archive(tops[0], part)
    part.replace(archive)


def from_git(repository: Path, version: str, cache: Path, work: Path) -> tuple[str, Path]:
    """Commit and archive of a version in a repository of ours."""
    commit = find_commit(repository, version)
    if commit is None:
        raise WrongVersionError(f"it holds no version {version}")
    tar, budget = work / "tree.tar", Budget()
    require_within(repository, commit, budget)
    git(repository, "archive", "--format=tar", f"--output={tar}", commit, environment=GIT_ALONE)
    (work / "tree").mkdir()
    with members_of_archive(tar, budget) as members:
        lay_out(members, work / "tree", budget)
    archive = cache / f"source-{commit}.tar.gz"
    archive_of(work / "tree", archive)
    return commit, archive


def require_within(repository: Path, commit: str, budget: Budget) -> None:
    """Count the files of a commit before Git lays them out: a few objects may be an endless tree.

    Raises:
        SourceError: Git cannot read them.
        UnpackError: there are more than the budget allows.
    """
    command = ("git", f"--git-dir={repository}", *GIT_OPTIONS, "ls-tree", "-r", "-l", "-z", commit)
    counted = Budget(budget.most_bytes, budget.most_members)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment_for_clients(**GIT_ENVIRONMENT, **GIT_ALONE),
    ) as process:
        try:
            rest = b""
            while chunk := process.stdout.read(1 << 16) if process.stdout else b"":
                *lines, rest = (rest + chunk).split(b"\0")
                for line in lines:
                    size = line.partition(b"\t")[0].split()[-1]
                    counted.spend(members=1, size_bytes=int(size) if size.isdigit() else 0)
            process.wait()
        finally:
            process.kill()
    if process.returncode:
        raise SourceError("Git cannot read all its files")


def from_files(path: Path, version: str, cache: Path, work: Path) -> tuple[str, Path]:
    """Commit (taken at its word) and archive of a plain folder or an archive of one."""
    tree, budget = work / "tree", Budget()
    tree.mkdir()
    if path.is_dir():
        lay_out(members_of_folder(path), tree, budget)
    else:
        with members_of_archive(path, budget) as members:
            lay_out(members, tree, budget)
    archive = cache / f"source-files-{hashlib.sha256(version.encode()).hexdigest()[:16]}.tar.gz"
    archive_of(tree, archive)
    return version, archive


def corrected(archive: Path, program: Path, work: Path) -> Path:
    """The same source as a program of the role's own corrects it.

    Raises:
        SourceError: the program says that it cannot.
    """
    tree, budget = work / "corrected", Budget()
    tree.mkdir()
    with members_of_archive(archive, budget) as members:
        lay_out(members, tree, budget)
    done = subprocess.run(
        [sys.executable, str(program), str(tree)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SourceError(done.stderr.strip().rpartition("\n")[2] or f"{program.name} failed")
    made = archive.with_name(archive.name.replace("source-", "source-fixed-", 1))
    archive_of(tree, made)
    return made


def get_source(repo: str, version: str, cache: Path, work: Path) -> tuple[str, Path]:
    """Commit and archive of a version, from wherever `repo` says."""
    local = Path(repo.removeprefix("file://")).expanduser()
    if local.is_dir():
        repository = git_folder(local.resolve())
        if repository:
            return from_git(copied(repository, work), version, cache, work)
        return from_files(local.resolve(), version, cache, work)
    if local.is_file() and ARCHIVE.search(local.name):
        return from_files(local, version, cache, work)
    if local.is_file():  # what `git bundle create` wrote; to fetch from it runs nothing
        address = str(local.resolve())
        return from_git(mirrored(address, version, cache, is_bundle=True), version, cache, work)
    if not ADDRESS.fullmatch(repo):
        raise SourceError("there is no such file or folder, and it is no address for Git")
    return from_git(mirrored(repo, version, cache), version, cache, work)


def main() -> int:
    """Get the source and print its path."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repo", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--role", required=True)
    parser.add_argument("--correct", type=Path)
    given = parser.parse_args()
    try:
        given.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=given.cache) as work:
            commit, archive = get_source(given.repo, given.version, given.cache, Path(work))
            if given.correct:
                archive = corrected(archive, given.correct, Path(work))
        told = {"commit": commit, "archive": str(archive), "sha256": sha256_of(archive)}
    except (SourceError, UnpackError) as error:
        shown = LOGIN.sub("", given.repo)
        hint = f": set {given.role}_version" if isinstance(error, WrongVersionError) else ""
        reason = " ".join(f"{error}{hint}".replace(given.repo, shown).split())
        told = {"reason": f"its source, {shown}, cannot be had: {reason}"}
    except OSError as error:
        print(f"Keeping the source in {given.cache}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
