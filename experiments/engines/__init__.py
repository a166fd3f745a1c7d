"""The engines that a matrix may name."""

from collections.abc import Mapping
from types import MappingProxyType

from experiments.engines.base import Engine
from experiments.engines.distributed_llama import DistributedLlama
from experiments.engines.llama_cpp import LlamaCpp
from experiments.engines.petals import Petals

ENGINES: Mapping[str, Engine] = MappingProxyType(
    {engine.name: engine for engine in (DistributedLlama(), LlamaCpp(), Petals())}
)
"""Engine name to engine."""
