"""The catalogue as `fab models --json` prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from core.json_answer import JsonAnswer, JsonPart
from models.build import expected_size_bytes, is_cached, weights_of
from models.limits import DLLAMA_WEIGHTS, node_counts
from models.listing import fetched_mib
from models.tuned import Parentage

if TYPE_CHECKING:
    from models.catalogue import Catalogue, ModelSpec
    from models.shape import Weights

_Listed = Literal["gguf", "dllama"]
_FORMATS: tuple[_Listed, ...] = ("gguf", "dllama")


class ListedFile(JsonPart):
    """A file that engines load.

    Attributes:
        format: `gguf`, or `dllama` for distributed-llama's `.m`.
        weights: type of its weights.
        size_bytes: expected size.
        cached: it is in the cache of this machine.
    """

    format: _Listed
    weights: str
    size_bytes: int
    cached: bool


class ListedModel(JsonPart):
    """A model.

    Attributes:
        parameters: number of trained values.
        fetch_mib: how much must be downloaded, in MiB; 0 where it is made on this machine.
        token_env: environment variable with the token that the download needs; null if none.
        dllama_nodes: type of weights to the numbers of nodes that distributed-llama can use.
        tuned: of a fine-tuned model, how it was made; null for others.
    """

    name: str
    about: str
    licence: str
    source: str
    parameters: int
    dim: int
    hidden_dim: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int
    context: int
    fetch_mib: int
    token_env: str | None
    files: tuple[ListedFile, ...]
    dllama_nodes: dict[str, tuple[int, ...]]
    tuned: Parentage | None


class ModelsAnswer(JsonAnswer):
    """The models that can be used.

    Attributes:
        refused: name of each fine-tuned model that cannot be used, to the reason.
    """

    models: tuple[ListedModel, ...]
    refused: dict[str, str]


def models_answer(catalogue: Catalogue) -> ModelsAnswer:
    """Answer for a catalogue."""
    specs = [catalogue.get(name) for name in catalogue.names()]
    return ModelsAnswer(models=tuple(map(_listed, specs)), refused=catalogue.refused())


def _listed(spec: ModelSpec) -> ListedModel:
    shape = spec.shape
    return ListedModel(
        name=spec.name,
        about=spec.about,
        licence=spec.licence,
        source=spec.source,
        parameters=spec.parameters,
        dim=shape.dim,
        hidden_dim=shape.hidden_dim,
        layers=shape.layers,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        vocab=shape.vocab,
        context=shape.context,
        fetch_mib=fetched_mib(spec),
        token_env=spec.directory[0].sources[0].token_env if spec.directory else None,
        files=tuple(_file(spec, kind, one) for kind in _FORMATS for one in weights_of(spec, kind)),
        dllama_nodes={
            weights: tuple(node_counts(shape, weights))
            for weights in DLLAMA_WEIGHTS
            if weights in weights_of(spec, "dllama")
        },
        tuned=spec.tuned.parentage if spec.tuned else None,
    )


def _file(spec: ModelSpec, kind: _Listed, weights: Weights) -> ListedFile:
    return ListedFile(
        format=kind,
        weights=weights,
        size_bytes=expected_size_bytes(spec, kind, weights),
        cached=is_cached(spec, kind, weights),
    )
