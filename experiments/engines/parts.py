"""The files of an engine in addition to its module, and which of them are missing."""

from __future__ import annotations

from pathlib import Path

from core.paths import PROJECT_FOLDER
from experiments.engines.engine import Engine, NodeEngine

FACTS = ("about", "workloads")
NODE_FACTS = ("format", "ports", "options")


def incomplete(engine: Engine, project: Path = PROJECT_FOLDER) -> str | None:
    """What an engine lacks so that nothing can be measured with it, one sentence; None if nothing.

    Args:
        engine: any one.
        project: folder of `fabfile.py`.
    """
    missing = [
        *(
            f"{what} ({path})"
            for what, path in parts(engine).items()
            if not (project / path).exists()
        ),
        *(f"`{fact}` in experiments/engines/{engine.slug}.py" for fact in unstated(engine)),
    ]
    if not missing:
        return None
    told = f"{engine.name} is incomplete. It has no {', no '.join(missing)}"
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
