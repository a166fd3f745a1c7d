"""Which models can be fine-tuned, and how long their examples may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import HerdError
from experiments.engines.petals import unserved
from experiments.finetune.recipe import Recipe, recipe_mistake
from models.catalogue import load_catalogue
from models.tuned_prompts import PROMPT_METHODS

if TYPE_CHECKING:
    from models.catalogue import ModelSpec


def require_trainable(recipe: Recipe) -> ModelSpec:
    """Return the base of a recipe.

    Raises:
        HerdError: the catalogue has none of this name, it cannot be trained, or its context is
            shorter than the recipe's examples; with file and line.
    """
    if recipe.name == recipe.model:
        raise recipe_mistake(recipe, "name", "is that of the base. Choose another name")
    try:
        spec = load_catalogue().get(recipe.model)
    except HerdError as error:
        raise recipe_mistake(
            recipe, "model", f"is {recipe.model}. {str(error).removesuffix('.')}"
        ) from None
    if spec.unpadded is not None:
        raise recipe_mistake(
            recipe,
            "model",
            f"has added heads, which are not trained. Write {spec.unpadded.name}; in a matrix the "
            f"tuned model can have them, too, as {recipe.name}+kvN",
        )
    if spec.tuned is not None:
        raise recipe_mistake(
            recipe,
            "model",
            f"is itself a fine-tuned model. Write its base, {spec.tuned.parentage.base}, and all "
            "data in one recipe",
        )
    if spec.format == "dllama":
        raise recipe_mistake(
            recipe,
            "model",
            f"is {recipe.model}, which is published with 4-bit weights for distributed-llama only. "
            "Choose a model with other weights; `fab models` lists them",
        )
    if recipe.method in PROMPT_METHODS and (reason := unserved(spec)):
        raise recipe_mistake(
            recipe,
            "model",
            f"is {recipe.model}, which Petals cannot serve: {reason}. Choose a LLaMA model of "
            "before version 3.1, or the method lora",
        )
    _require_context(recipe, spec)
    return spec


def _require_context(recipe: Recipe, spec: ModelSpec) -> None:
    prompts = recipe.prompts if recipe.method in PROMPT_METHODS else 0
    if recipe.sequence + prompts > spec.shape.context:
        with_prompts = f" with {prompts} trained positions before it" if prompts else ""
        raise recipe_mistake(
            recipe,
            "sequence",
            f"is {recipe.sequence}{with_prompts}, but {spec.name} reads at most "
            f"{spec.shape.context} tokens. Write at most {spec.shape.context - prompts}",
        )
