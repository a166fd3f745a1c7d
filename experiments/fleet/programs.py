"""Programs that were installed together with this Python, Ansible's above all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import HerdError
from core.foreign import one_line

QUIET: Mapping[str, str] = {
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_FORCE_COLOR": "0",
    "ANSIBLE_DEBUG": "0",
    "ANSIBLE_VERBOSITY": "0",
    "ANSIBLE_DEPRECATION_WARNINGS": "0",
    "ANSIBLE_DISPLAY_TRACEBACK": "never",
    "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
}
"""Where Ansible's messages are read, and not shown as they come; every mistake is one."""

NARROWING = frozenset({"ANSIBLE_RUN_TAGS", "ANSIBLE_SKIP_TAGS"})
"""With them a playbook does a part of its work, and ends as if it had done all."""
ANSWER_S = 120
NOT_INSTALLED = "`make setup` installs it into .venv; then: source .venv/bin/activate"
VAULT_REMEDIES = (
    "Give the vault's password in a file named by ANSIBLE_VAULT_PASSWORD_FILE, or "
    "`vault_password_file` below [defaults] of ansible.cfg. To be asked for it: export "
    "ANSIBLE_ASK_VAULT_PASS=true"
)
LONGEST_MESSAGE = 300
MOST_MESSAGES = 4
_SHOWN = re.compile(r", got: .*$|^Origin: .*$", re.MULTILINE)
_ORIGIN = re.compile(r"^Origin: ([^<\n]+:\d+:\d+)$", re.MULTILINE)


def beside_python(program: str) -> str:
    """A program of the virtual environment that runs this, or the one on the PATH."""
    beside = Path(sys.executable).with_name(program)
    return str(beside) if beside.exists() else shutil.which(program) or program


def ansible_environment(project: Path) -> dict[str, str]:
    """The environment for each of Ansible's programs.

    The project's `ansible.cfg` is named in it: Ansible passes over the one in a world-writable
    folder, such as each of Windows' folders inside WSL. Who has `ANSIBLE_CONFIG` set means another,
    here as for `ansible-playbook`. The locale is one that Ansible takes; those that are not UTF-8,
    or not installed, it refuses.

    Raises:
        HerdError: `ANSIBLE_CONFIG` names a file that is not there.
    """
    own = os.environ.get("ANSIBLE_CONFIG")
    config = Path(own).expanduser().absolute() if own else project.absolute() / "ansible.cfg"
    if own and not config.exists():
        raise HerdError(
            f"Calling Ansible: ANSIBLE_CONFIG names {config}, which does not exist. For the "
            "project's own settings: unset ANSIBLE_CONFIG"
        )
    kept = {name: value for name, value in os.environ.items() if name not in NARROWING}
    return {**kept, "ANSIBLE_CONFIG": str(config), "LC_ALL": "C.UTF-8"}


def ask_ansible(argv: Sequence[str], project: Path, doing: str) -> tuple[str, str]:
    """What one of Ansible's programs prints, and in a few sentences what it warns of.

    Args:
        argv: the program, which asks for nothing, and its arguments.
        project: folder with `ansible.cfg`, in which it runs.
        doing: the beginning of an error's message.

    Raises:
        HerdError: it is not installed, failed, or did not end.
    """
    try:
        done = subprocess.run(
            argv,
            cwd=project,
            env={**ansible_environment(project), **QUIET},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=ANSWER_S,
            check=False,
        )
    except FileNotFoundError:
        raise HerdError(f"{doing}: {argv[0]} is not installed. {NOT_INSTALLED}") from None
    except subprocess.TimeoutExpired:
        raise HerdError(f"{doing}: Ansible did not finish within {ANSWER_S} s.") from None
    if "No module named 'ansible" in done.stderr:
        raise HerdError(f"{doing}: Ansible is not installed next to {argv[0]}. {NOT_INSTALLED}")
    said = said_by_ansible(done.stderr)
    if done.returncode != 0:
        last = one_line(done.stderr.rstrip().rpartition("\n")[2])
        told = with_remedy(f"{doing}: Ansible failed. {said or last}")
        raise HerdError(f"{told}{of_config()}")
    return done.stdout, said


def of_config() -> str:
    """For the end of a message: which settings count, where they are not the project's."""
    own = os.environ.get("ANSIBLE_CONFIG")
    if not own:
        return ""
    return f" (ANSIBLE_CONFIG is {one_line(own, 200)}, so the project's ansible.cfg was not read.)"


def with_remedy(said: str) -> str:
    """The message, and how to give the password of a vault where it mentions one."""
    words = said.lower()
    is_vault = "vault" in words and ("decrypt" in words or "password" in words)
    return f"{said} {VAULT_REMEDIES}" if is_vault else said


def said_by_ansible(printed: str) -> str:
    """Ansible's errors, then its warnings, each once and in one line, with file and line.

    Lines of a file that it shows with an error are left out, because they may contain passwords.
    """
    told: dict[bool, list[str]] = {True: [], False: []}
    for part in re.split(r"^(?=\[|ERROR)", printed, flags=re.MULTILINE):
        kind, _, text = part.partition(":")
        if not kind.lstrip("[").startswith(("ERROR", "WARNING")):
            continue
        sentence = one_line(_SHOWN.sub("", text.split("\n\n")[0]), LONGEST_MESSAGE)
        places = [place for place in _ORIGIN.findall(text) if place not in sentence]
        words = f"{sentence} ({places[-1]})" if places else sentence
        is_error = "ERROR" in kind
        if words not in told[is_error]:
            told[is_error].append(words)
    return " ".join(f"{one.rstrip('.')}." for one in [*told[True], *told[False]][:MOST_MESSAGES])
