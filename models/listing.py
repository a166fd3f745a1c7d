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
    table.add_column("name", no_wrap=True)
    for heading in ("what", "licence"):
        table.add_column(heading)
    for heading in ("GGUF", ".m"):
        table.add_column(heading, no_wrap=True, justify="right")
    for name in catalogue.names():
        spec = catalogue.get(name)
        sizes = (_sizes(spec, "gguf"), _sizes(spec, "dllama"))
        table.add_row(name, _description(spec), spec.licence, *sizes)
    return table


def _description(spec: ModelSpec) -> str:
    shape = spec.shape
    return (
        f"{spec.about}. {spec.parameters / _MILLION:.1f} M parameters: dim {shape.dim}, "
        f"hidden {shape.hidden_dim}, {shape.layers} layers, {shape.heads} heads, "
        f"{shape.kv_heads} KV heads, vocabulary {shape.vocab}, context {shape.context}"
    )


def _sizes(spec: ModelSpec, file_format: Format) -> str:
    lines = []
    for weights in WEIGHTS_OF_FORMAT[file_format]:
        mark = " ✓" if is_cached(spec, file_format, weights) else ""
        size_mib = expected_size_bytes(spec, file_format, weights) / _MIB
        lines.append(f"{weights} {size_mib:.0f}{mark}")
    return "\n".join(lines)
