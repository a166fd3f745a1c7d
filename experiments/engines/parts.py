"""The files of an engine in addition to its module, and its facts: which are missing or wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from collect.parsers.parser import parser_of
from collect.workloads import Workload
from core.foreign import one_line
from core.paths import PROJECT_FOLDER
from experiments.engines.base import Device
from experiments.engines.engine import Engine, NodeEngine
from experiments.fleet.cluster import Backend
from models.build import WEIGHTS_OF_FORMAT

FACTS = ("about", "workloads")
NODE_FACTS = ("format", "ports", "options")
WORKLOADS = tuple(one.model_fields["kind"].default for one in get_args(get_args(Workload)[0]))
"""Kinds of workloads, as a matrix writes them."""
OPTION = re.compile("--[a-z][a-z0-9-]{0,60}")
"""What a node's helper takes for the name of an option."""


def incomplete(engine: Engine, project: Path = PROJECT_FOLDER) -> str | None:
    """What an engine lacks so that nothing can be measured with it, one sentence; None if nothing.

    Args:
        engine: any one.
        project: folder of `fabfile.py`.
    """
    missing = [
        f"{what} ({path})" for what, path in parts(engine).items() if not (project / path).exists()
    ]
    missing += [f"`{fact}` in {_module(engine)}" for fact in unstated(engine)]
    if missing:
        told = f"{engine.name} is incomplete. It has no {', no '.join(missing)}"
    elif wrong := misstated(engine) or _unread(engine):
        told = f"{engine.name} is incomplete. {wrong}"
    else:
        return None
    return f"{told}. See docs/adding-an-engine.md"


def parts(engine: Engine) -> dict[str, str]:
    """What the part is to its path below the project's folder."""
    page = {"page": f"docs/{engine.page or engine.slug.replace('_', '-')}.md"}
    if not isinstance(engine, NodeEngine):
        return page
    return {
        "parser": f"collect/parsers/{engine.slug}.py",
        "role": f"roles/{engine.slug}/tasks/main.yml",
        **page,
    }


def unstated(engine: Engine) -> list[str]:
    """Facts that every engine must state and this one does not."""
    wanted = FACTS + (NODE_FACTS if isinstance(engine, NodeEngine) else ())
    return [fact for fact in wanted if not getattr(engine, fact, None)]


def misstated(engine: Engine) -> str | None:
    """Which fact of an engine is none that others could read, one sentence; None if all are."""
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "workloads": (WORKLOADS.__contains__, f"some of {', '.join(WORKLOADS)}"),
        "devices": (get_args(Device).__contains__, f"some of {', '.join(get_args(Device))}"),
    }
    if isinstance(engine, NodeEngine):
        if engine.format not in WEIGHTS_OF_FORMAT:
            return f"`format` in {_module(engine)} must be one of {', '.join(WEIGHTS_OF_FORMAT)}"
        if engine.wish is not None and not str(engine.wish).isidentifier():
            return f"`wish` in {_module(engine)} must be a variable such as herd_petals"
        option = (_is_option, "options such as --model")
        backends = get_args(Backend)
        checks |= {"herd_gpu": (backends.__contains__, f"some of {', '.join(backends)}")}
        checks |= {"ports": (_is_range, "ranges such as 9990-9999")}
        checks |= dict.fromkeys(("options", "flags", "texts"), option)
    for fact, (fits, what) in checks.items():
        values = getattr(engine, fact)
        # A comma forgotten makes `("--model")` a text.
        if not isinstance(values, tuple) or not all(map(fits, values)):
            return f"`{fact}` in {_module(engine)} must be a tuple of {what}"
    return None


def _is_option(value: object) -> bool:
    return isinstance(value, str) and OPTION.fullmatch(value) is not None


def _is_range(value: object) -> bool:
    if not isinstance(value, str) or not re.fullmatch(r"\d{1,5}(-\d{1,5})?", value):
        return False
    first, _, last = value.partition("-")
    return 0 < int(first) <= int(last or first) < 1 << 16


def _unread(engine: Engine) -> str | None:
    """Why the parser of an engine would read no log, one sentence; None if it is there."""
    if not isinstance(engine, NodeEngine):
        return None
    file = f"collect/parsers/{engine.slug}.py"
    try:
        if parser_of(engine.name) is not None:
            return None
    except Exception as error:  # noqa: BLE001 - whatever the module does when it is loaded
        why = one_line(f"{type(error).__name__}: {error}").rstrip(".")
        return f"Its parser, {file}, cannot be loaded: {why}"
    return f"Its parser, {file}, does not end in an instance of `Parser`, called PARSER"


def _module(engine: Engine) -> str:
    return f"experiments/engines/{engine.slug}.py"
