"""All engines, found by looking through this folder: a module that ends in `ENGINE` is one.

Nothing else lists them. `python -m experiments.engines` prints what Ansible must know of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pkgutil import iter_modules
from types import MappingProxyType

from experiments.engines.engine import Engine, NodeEngine
from experiments.engines.found import engine_in


def _found() -> Iterator[Engine]:
    for module in iter_modules(__path__):
        if not module.name.startswith("_"):
            engine = engine_in(__name__, module.name)
            if engine is not None:
                yield engine


ENGINES: Mapping[str, Engine] = MappingProxyType({engine.name: engine for engine in _found()})
"""Engine name to engine."""
ON_NODES: Mapping[str, NodeEngine] = MappingProxyType(
    {name: engine for name, engine in ENGINES.items() if isinstance(engine, NodeEngine)}
)
"""Those that are installed on nodes, which a matrix may name."""
APIS: tuple[str, ...] = tuple(name for name in ENGINES if name not in ON_NODES)
"""Those that need no node: `experiments/systems.yml` names them."""
DEFAULT: str = next(name for name, engine in ON_NODES.items() if engine.is_default)
"""What a matrix that names no engine means."""
