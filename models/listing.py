"""The table that `fab models` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from models.build import WEIGHTS_OF_FORMAT, expected_size_bytes, is_cached

if TYPE_CHECKING:
    from models.build import Format
    from models.catalogue import Catalogue, ModelSpec

_MIB = 1024 * 1024
_MILLION = 1e6


def models_table(catalogue: Catalogue) -> Table:
    """Every model of the catalogue: parameters, shape, licence, and the size of each file.

    A size with a mark is in this machine's cache already.
    """
    table = Table(caption="sizes in MiB; ✓ = already in the cache of this machine", show_lines=True)
    for heading in (
        "name",
        "parameters",
        "shape",
        "licence",
        "llama.cpp (GGUF)",
        "distributed-llama (.m)",
    ):
        table.add_column(heading, overflow="fold")
    for name in catalogue.names():
        spec = catalogue.get(name)
        shape = spec.shape
        words = (
            f"dim {shape.dim}, hidden {shape.hidden_dim}, {shape.layers} layers, "
            f"{shape.heads} heads, {shape.kv_heads} KV heads, vocabulary {shape.vocab}, "
            f"context {shape.context}"
        )
        table.add_row(
            f"{name}\n[dim]{spec.about}[/dim]",
            f"{spec.parameters / _MILLION:.1f} M",
            words,
            spec.licence,
            _sizes(spec, "gguf"),
            _sizes(spec, "dllama"),
        )
    return table


def _sizes(spec: ModelSpec, file_format: Format) -> str:
    lines = []
    for weights in WEIGHTS_OF_FORMAT[file_format]:
        mark = " ✓" if is_cached(spec, file_format, weights) else ""
        size_mib = expected_size_bytes(spec, file_format, weights) / _MIB
        lines.append(f"{weights} {size_mib:.0f}{mark}")
    return "\n".join(lines)
