"""The model as PyTorch computes it, and which of its tensors a method trains."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.finetune.training.pytorch import Computer, quiet_torch

if TYPE_CHECKING:
    from experiments.finetune.recipe import Recipe, Target

MODULES: dict[Target, str] = {
    "q": "q_proj",
    "k": "k_proj",
    "v": "v_proj",
    "o": "o_proj",
    "gate": "gate_proj",
    "up": "up_proj",
    "down": "down_proj",
}
"""What a recipe calls a matrix, as transformers calls it."""
ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
FULL_WEIGHTS = "trained.safetensors"
"""What `full` trained: tensors by the names that the base's file has."""
_NOT_TRAINED = ("embed_tokens", "lm_head")
_ADAPTER = "default"


def load_model(folder: Path, computer: Computer, *, quantised: bool = False) -> Any:  # noqa: ANN401
    """Load a Hugging Face directory in float32, or with the matrices in 4 bits on a GPU.

    Args:
        folder: with `config.json` and `model.safetensors`.
        computer: where it will compute.
        quantised: by bitsandbytes, for QLoRA.
    """
    torch = quiet_torch()
    transformers = importlib.import_module("transformers")
    how: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": "sdpa"}
    if quantised:
        how["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
        how["device_map"] = {"": 0}
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, **how)
    model.config.use_cache = False
    model.train()
    return model if quantised else model.to(computer.kind)


def prepare_tensors(model: Any, recipe: Recipe) -> dict[str, Any]:  # noqa: ANN401
    """Add what the recipe's method trains to the model, and freeze all else.

    The first values of LoRA's matrices are drawn from PyTorch's random state.

    Returns:
        The trained tensors, by the names that the adapter's file gives them.
    """
    if recipe.method == "full":
        for name, tensor in model.named_parameters():
            tensor.requires_grad = not any(part in name for part in _NOT_TRAINED)
        return {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}
    peft = importlib.import_module("peft")
    wrapped = peft.get_peft_model(model, peft.LoraConfig(**_lora(recipe)))
    return {
        name.replace(f".{_ADAPTER}.", "."): tensor
        for name, tensor in wrapped.named_parameters()
        if tensor.requires_grad
    }


def adapter_config(recipe: Recipe) -> bytes:
    """PEFT's `adapter_config.json`: the same bytes each time, with no path of this machine."""
    config = importlib.import_module("peft").LoraConfig(**_lora(recipe)).to_dict()
    config |= {"base_model_name_or_path": recipe.model, "inference_mode": True}
    plain = {
        key: sorted(value) if isinstance(value, set) else value for key, value in config.items()
    }
    return json.dumps(plain, indent=2, sort_keys=True, default=str).encode() + b"\n"


def load_tuned(base_folder: Path, adapter_folder: Path, computer: Computer) -> Any:  # noqa: ANN401
    """The base with the adapter applied, not merged."""
    model = load_model(base_folder, computer)
    if (adapter_folder / ADAPTER_CONFIG).exists():
        peft = importlib.import_module("peft")
        return peft.PeftModel.from_pretrained(model, adapter_folder).base_model.model.eval()
    trained = importlib.import_module("safetensors.torch").load_file(adapter_folder / FULL_WEIGHTS)
    model.load_state_dict(trained, strict=False)
    return model.eval()


def _lora(recipe: Recipe) -> dict[str, Any]:
    return {
        "task_type": "CAUSAL_LM",
        "r": recipe.rank,
        "lora_alpha": 2 * recipe.rank,
        "lora_dropout": 0.0,
        "target_modules": sorted(MODULES[target] for target in recipe.targets),
    }
