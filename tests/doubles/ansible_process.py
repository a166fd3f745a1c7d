"""The process of `ansible_calls`, with Ansible loaded.

It reads lines of JSON: the words of a call, and the file for its output. It makes each call in a
copy of itself (fork), so that none sees what another did, and answers with its exit code. Settings
of the environment, and `ansible.cfg`, are those with which the process began.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from ansible.cli.playbook import PlaybookCLI
from ansible.executor import playbook_executor, task_executor  # noqa: F401 - calls need it
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import filter_loader, init_plugin_loader, test_loader
from ansible.plugins.strategy import linear  # noqa: F401 - likewise


def _serve() -> None:
    asks, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    _print_to(os.devnull)
    _load()
    for line in asks:
        copy = os.fork()
        if copy == 0:
            _call(*json.loads(line))
        code = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
        print(code, file=answers, flush=True)


def _print_to(file: str) -> None:
    os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
    os.dup2(1, 2)


def _load() -> None:
    """What every call needs, without what Ansible remembers of a call."""
    init_plugin_loader()
    InventoryManager(DataLoader(), sources=["localhost,"])
    list(filter_loader.all())
    list(test_loader.all())


def _call(words: Sequence[str], output: str) -> None:
    """End this process as `ansible-playbook` would."""
    _print_to(output)
    code = 255
    try:
        PlaybookCLI.cli_executor(["ansible-playbook", *words])
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
