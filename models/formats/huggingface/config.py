"""Reads `config.json` of a Hugging Face directory: which model it is, and its shape.

Format: huggingface/transformers (`LlamaConfig`, `Qwen3Config`, versions 4 and 5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from core.errors import HerdError
from models.formats.huggingface.json_file import as_kind, read_object
from models.formats.huggingface.known import require_computable_config, require_known
from models.formats.unsayable import is_off, unsayable
from models.shape import NORM_EPSILONS, Architecture, ModelShape, RopeScaling, mistakes

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = "config.json"
ARCHITECTURES: dict[str, Architecture] = {
    "LlamaForCausalLM": "llama",
    "Qwen3ForCausalLM": "qwen3",
}
_QWEN3_HEAD_DIM = 128


class _Rope(BaseModel):
    """`rope_scaling` of transformers 4 or `rope_parameters` of 5."""

    model_config = ConfigDict(extra="allow")

    rope_theta: float | None = None
    rope_type: str | None = None
    type: str | None = None
    factor: float | None = None
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    original_max_position_embeddings: float | None = None
    partial_rotary_factor: float | None = None

    @property
    def rule(self) -> str | None:
        """How frequencies are scaled; None for not at all."""
        kind = self.rope_type or self.type
        if kind is None and self.factor not in {None, 1}:
            return "one that it does not name"
        stretches = kind != "default" and (kind, self.factor) != ("linear", 1)
        return kind if stretches else None


class _Config(BaseModel):
    """The part of `config.json` that says what is computed."""

    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt | None = None
    head_dim: PositiveInt | None = None
    vocab_size: PositiveInt
    max_position_embeddings: PositiveInt
    rms_norm_eps: float = 1e-6
    rope_theta: float | None = None
    rope_scaling: _Rope | None = None
    rope_parameters: _Rope | None = None
    sliding_window: int | None = None
    use_sliding_window: bool | None = None
    tie_word_embeddings: bool | None = None


def read_shape(folder: Path) -> ModelShape:
    """The shape that `config.json` states.

    Raises:
        HerdError: the file is absent or damaged, of another architecture, or says something that
        the intermediate representation cannot express.
    """
    path = folder / CONFIG
    stated = read_object(path)
    architecture = _architecture(stated, path)
    require_computable_config(stated, path)
    config = as_kind(stated, _Config, path)
    window = config.sliding_window
    usual = architecture != "qwen3"  # Qwen3Config has no window unless it is told to
    slides = usual if config.use_sliding_window is None else config.use_sliding_window
    if slides and window is not None:
        _require_whole_window(window, config.max_position_embeddings, path)
    heads, dim = config.num_attention_heads, config.hidden_size
    head_dim = _QWEN3_HEAD_DIM if architecture == "qwen3" else dim // heads
    epsilons = (known for known in NORM_EPSILONS if np.isclose(config.rms_norm_eps, known, atol=0))
    try:
        return ModelShape.model_validate(
            {
                "dim": dim,
                "hidden_dim": config.intermediate_size,
                "layers": config.num_hidden_layers,
                "heads": heads,
                "kv_heads": config.num_key_value_heads or heads,
                "head_dim": config.head_dim or head_dim,
                "vocab": config.vocab_size,
                "context": config.max_position_embeddings,
                "tied_classifier": bool(config.tie_word_embeddings),
                "rope_theta": _rope_theta(config, path),
                "architecture": architecture,
                "norm_epsilon": next(epsilons, config.rms_norm_eps),
                "rope_scaling": _rope_scaling(config, path),
            }
        )
    except ValidationError as error:
        raise HerdError(f"{path} has an impossible shape: {mistakes(error)}.") from None


def _require_whole_window(window: int, context: int, path: Path) -> None:
    if window < context:
        raise unsayable(path, f"has the setting `sliding_window` ({window})")


def _architecture(stated: dict[str, object], path: Path) -> Architecture:
    """What `architectures` names; `model_type`, by which transformers goes, must agree."""
    listed = stated.get("architectures")
    named = listed[0] if isinstance(listed, list) and listed else listed
    if is_off(named):
        kind = stated.get("model_type")
        named = next((name for name, known in ARCHITECTURES.items() if known == kind), None)
    architecture = ARCHITECTURES.get(str(named))
    if architecture is None:
        what = f"is of the architecture {named}" if named else "names no architecture"
        raise HerdError(f"{path} {what}; it must be {' or '.join(ARCHITECTURES)}.")
    if stated.get("model_type", architecture) != architecture:
        raise HerdError(
            f"{path} names the architecture {named}, but the model type "
            f"`{stated['model_type']}`; it must be `{architecture}`."
        )
    return architecture


def _rope_theta(config: _Config, path: Path) -> float:
    inner = [rope.rope_theta for rope in (config.rope_parameters, config.rope_scaling) if rope]
    stated = {theta for theta in (*inner, config.rope_theta) if theta is not None}
    if len(stated) > 1:
        raise HerdError(
            f"{path} gives two different values for `rope_theta`: "
            f"{' and '.join(f'{theta:g}' for theta in sorted(stated))}."
        )
    return next(iter(stated), 10_000)


def _rope_scaling(config: _Config, path: Path) -> RopeScaling | None:
    stated = [rope for rope in (config.rope_parameters, config.rope_scaling) if rope is not None]
    for rope in stated:
        if rope.rule not in {None, "llama3"}:
            raise HerdError(
                f"{path} scales rotary frequencies by the rule `{rope.rule}`; it must be "
                "`llama3` or none."
            )
        require_known(rope.model_extra or {}, (), path)
        if rope.partial_rotary_factor not in {None, 1}:
            raise unsayable(
                path, f"has the setting `partial_rotary_factor` ({rope.partial_rotary_factor:g})"
            )
    scalings = [_scaling(rope) for rope in stated]
    if len(scalings) > 1 and scalings[0] != scalings[1]:
        raise HerdError(
            f"{path} scales rotary frequencies in `rope_parameters` differently from "
            "`rope_scaling`. Remove the wrong one."
        )
    return next(iter(scalings), None)


def _scaling(rope: _Rope) -> RopeScaling | None:
    if rope.rule is None:
        return None
    return RopeScaling.model_validate(
        {
            "factor": rope.factor,
            "low_frequency_factor": rope.low_freq_factor,
            "high_frequency_factor": rope.high_freq_factor,
            "original_context": rope.original_max_position_embeddings,
        }
    )
