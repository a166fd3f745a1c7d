"""What is known to name a machine or a person, found in a run before anything is replaced.

What was recognised once, at any place of the run, is then replaced at all of them.
"""

from __future__ import annotations

import getpass
import os
import pwd
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from collect.account import Account
from collect.attempt import AttemptRecord, read_log
from collect.run import ATTEMPTS_FOLDER
from collect.sharing.encodings import texts_in
from collect.sharing.patterns import (
    GIT_USER,
    HOME,
    MAC,
    NAME_ENDS,
    NO_DOMAINS,
    PATH,
    REPOSITORY,
    digits_of,
    git_host,
)
from collect.sharing.services import services_in

_HOME, _MAC, _REPOSITORY = re.compile(HOME), re.compile(MAC), re.compile(REPOSITORY)
_PATH = re.compile(PATH)


@dataclass
class KnownNames:
    """What was found, in the order in which it was.

    Attributes:
        users: whose folders are named.
        hardware: MAC addresses, as twelve digits.
        sources: hosts of repositories.
        domains: of nodes, with two labels or more.
        services: hosts of private services, with two labels or more.
        machines: words that name a machine of the inventory.
    """

    users: dict[str, None] = field(default_factory=dict)
    hardware: dict[str, None] = field(default_factory=dict)
    sources: dict[str, None] = field(default_factory=dict)
    domains: dict[str, None] = field(default_factory=dict)
    services: dict[str, None] = field(default_factory=dict)
    machines: dict[str, None] = field(default_factory=dict)


def known_in(
    folder: Path, account: Account, nodes: Iterable[str], machines: Iterable[str] = ()
) -> KnownNames:
    """Look through plan, records and logs of a run.

    Args:
        folder: of the run.
        account: of it.
        nodes: their names.
        machines: names and addresses of the inventory, in small letters.
    """
    found = KnownNames()
    domain = re.compile(
        rf"(?<![A-Za-z0-9])(?i:{_any_of(nodes)})"
        r"((?:\.[A-Za-z][A-Za-z0-9-]{1,62}){2,8})(?![A-Za-z0-9.-])"
    )
    begin, end = NAME_ENDS
    machine = re.compile(rf"{begin}(?i:{_any_of(machines)}){end}")
    for text in _texts(folder, account):
        for user in (one["user"] for one in _HOME.finditer(text)):
            found.users |= dict.fromkeys(_of_home(user))
        found.hardware |= dict.fromkeys(digits_of(one[0]) for one in _MAC.finditer(text))
        hosts = [one[1] for one in GIT_USER.finditer(text)]
        if "://" in text or "@" in text:
            hosts += [git_host(one[0]) for one in _REPOSITORY.finditer(text)]
        found.sources |= dict.fromkeys(host.casefold() for host in hosts)
        found.services |= dict.fromkeys(services_in(text))
        found.machines |= dict.fromkeys(one[0].casefold() for one in machine.finditer(text))
        for name in (one[1][1:].casefold() for one in domain.finditer(text)):
            if name.rpartition(".")[2] not in NO_DOMAINS:
                found.domains[name] = None
    return found


def _any_of(words: Iterable[str]) -> str:
    """What finds any of the words, the longest first; nothing where there is none."""
    return "|".join(map(re.escape, sorted(words, key=lambda one: (-len(one), one)))) or r"(?!)"


def _of_home(user: str) -> Iterator[str]:
    """The name of a home folder, blanks as they are; what is before a blank may be all of it."""
    plain = re.sub(r"\\{1,2} ", " ", user)
    yield plain
    if plain == user and " " in user:
        yield user.partition(" ")[0]


def records_of(account: Account) -> Iterator[AttemptRecord]:
    """The records of all attempts that have one."""
    for trial in account.trials:
        for attempt in trial.attempts:
            if attempt.record is not None:
                yield attempt.record


def _texts(folder: Path, account: Account) -> Iterator[str]:
    yield account.manifest.model_dump_json()
    for record in records_of(account):
        yield record.model_dump_json()
        for name in record.file_bytes:
            yield from texts_in(read_log(folder / ATTEMPTS_FOLDER / record.attempt_id, name))


def own_names() -> Iterator[str]:
    """Names of this machine and of who uses it."""
    host = socket.gethostname()
    yield from (host, host.partition(".")[0])
    for user in _own_users():
        yield user
        with suppress(KeyError):
            entry = pwd.getpwnam(user)
            yield Path(entry.pw_dir).name
            whole = entry.pw_gecos.partition(",")[0].strip()
            if " " in whole:
                yield whole
    yield Path.home().name


def _own_users() -> Iterator[str]:
    yield os.environ.get("SUDO_USER", "")
    with suppress(OSError, KeyError):  # a container without a name for its user
        yield getpass.getuser()


def own_homes() -> Iterator[str]:
    """Home folders of who uses this machine that no pattern knows as such."""
    homes = [str(Path.home())]
    for user in _own_users():
        with suppress(KeyError):
            homes.append(pwd.getpwnam(user).pw_dir)
    for home in dict.fromkeys(homes):
        if home.count("/") > 1 and not _PATH.fullmatch(home) and Path(home).is_absolute():
            yield home
