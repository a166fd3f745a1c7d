"""The engines: those on nodes, which a matrix may name, and APIs, which are systems."""

from collections.abc import Mapping
from types import MappingProxyType

from experiments.engines.base import Engine
from experiments.engines.distributed_llama import DistributedLlama
from experiments.engines.llama_cpp import LlamaCpp
from experiments.engines.openai import OpenAi
from experiments.engines.petals import Petals

ENGINES: Mapping[str, Engine] = MappingProxyType(
    {engine.name: engine for engine in (DistributedLlama(), LlamaCpp(), Petals(), OpenAi())}
)
"""Engine name to engine."""
API = OpenAi.name
ON_NODES: tuple[str, ...] = tuple(name for name in ENGINES if name != API)
