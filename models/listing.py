"""The table that `fab models` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from core.terminal import shown
from models.build import expected_size_bytes, is_cached, weights_of
from models.limits import DLLAMA_WEIGHTS, node_counts

if TYPE_CHECKING:
    from models.build import Format
    from models.catalogue import Catalogue, ModelFile, ModelSpec
    from models.tuned import TunedRecord

_MIB = 1024 * 1024
_MILLION = 1e6


def models_table(catalogue: Catalogue) -> Table:
    """Every model of the catalogue: what it is, what must be fetched, and each file.

    A size with a mark is in this machine's cache already.
    """
    table = Table(
        caption="sizes in MiB; ✓ = already in the cache of this machine; nodes = how many nodes "
        "can run it with distributed-llama (with llama.cpp, any number up to 16)",
        show_lines=True,
    )
    table.add_column("model")
    for heading in ("GGUF", ".m"):
        table.add_column(heading, no_wrap=True, justify="right")
    for name in catalogue.names():
        spec = catalogue.get(name)
        model = shown(f"{name}\n", style="bold").append(shown(_description(spec), style="not bold"))
        table.add_row(model, *map(shown, (_sizes(spec, "gguf"), _sizes(spec, "dllama"))))
    return table


def refused_lines(catalogue: Catalogue) -> tuple[str, ...]:
    """Why each fine-tuned model that cannot be used is not in the table."""
    return tuple(f"Not listed: {name}. {why}" for name, why in catalogue.refused().items())


def fetched_mib(spec: ModelSpec) -> int:
    """How much must be downloaded, in MiB; by the shape where the catalogue does not say it."""
    if spec.directory:  # bfloat16, as large as f16
        sizes = [file.size_bytes for file in spec.directory if file.name.endswith(".safetensors")]
        told = None if None in sizes else sum(filter(None, sizes))
        return round((told or expected_size_bytes(spec, "gguf", "f16")) / _MIB)
    if spec.checkpoint is None:  # made on this machine
        return 0
    published = _published_bytes(spec.checkpoint)
    return round((published or expected_size_bytes(spec, "dllama", "q4_0")) / _MIB)


def _published_bytes(file: ModelFile) -> int | None:
    sizes = [piece.size_bytes for piece in file.pieces]
    return file.size_bytes or (None if None in sizes else sum(filter(None, sizes)))


def _description(spec: ModelSpec) -> str:
    shape = spec.shape
    size_mib = fetched_mib(spec)
    fetched = f"{size_mib} MiB to fetch" if size_mib else "Nothing to fetch"
    if spec.directory and (token_env := spec.directory[0].sources[0].token_env):
        fetched += f" with a token in {token_env}"
    return (
        f"{spec.about}. {spec.parameters / _MILLION:.1f} M parameters: dim {shape.dim}, "
        f"hidden {shape.hidden_dim}, {shape.layers} layers, {shape.heads} heads, "
        f"{shape.kv_heads} KV heads, vocabulary {shape.vocab}, context {shape.context}. "
        f"{fetched}. {_parentage(spec.tuned)}Nodes: {_nodes(spec)}. Licence: {spec.licence}"
    )


def _parentage(record: TunedRecord | None) -> str:
    """What a fine-tuned model was made of and how, a sentence with a space after it."""
    if record is None:
        return ""
    parents, change = record.parentage, record.held_out_bits_per_byte
    return (
        f"Fine-tuned ({parents.method}, {parents.steps} steps) from {parents.base} "
        f"{parents.base_sha256[:12]}…, data {parents.data_sha256[:12]}…, recipe "
        f"{parents.recipe_sha256[:12]}…, by llama-herd {parents.toolkit}; bits per byte of the "
        f"held-out part {change.before:.3f} before, {change.after:.3f} after. "
    )


def _sizes(spec: ModelSpec, file_format: Format) -> str:
    lines = []
    for weights in weights_of(spec, file_format):
        mark = " ✓" if is_cached(spec, file_format, weights) else ""
        size_mib = expected_size_bytes(spec, file_format, weights) / _MIB
        lines.append(f"{weights} {size_mib:.0f}{mark}")
    return "\n".join(lines) or "no"


def _nodes(spec: ModelSpec) -> str:
    counts = {
        weights: ", ".join(map(str, node_counts(spec.shape, weights))) or "none"
        for weights in DLLAMA_WEIGHTS
        if weights in weights_of(spec, "dllama")
    }
    return "; ".join(f"{numbers} ({weights})" for weights, numbers in counts.items())
