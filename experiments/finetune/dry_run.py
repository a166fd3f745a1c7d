"""`fab finetune --dry-run`: what the model would read, and what training would take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import TYPE_CHECKING

from experiments.finetune.data.prepare import look_at_data
from experiments.finetune.training.estimate import memory_need, require_room, time_need, told
from experiments.finetune.training.pytorch import choose_computer, require_pytorch
from models.build import ensure_artifact
from models.formats.huggingface.vocabulary_reader import read_vocabulary
from models.tokenizer import byte_piece

if TYPE_CHECKING:
    from core.progress import Reporter
    from experiments.finetune.data.prepare import Example
    from experiments.finetune.recipe import Recipe
    from models.catalogue import ModelSpec
    from models.tokenizer import Tokenizer

SHOWN = 3
"""Examples that are printed token by token."""
_METHODS_HERE = ("lora", "full")


def dry_run(
    recipe: Recipe, spec: ModelSpec, say: Callable[[str], None], reporter: Reporter
) -> None:
    """Print the first examples, the counts, the memory and the time; nothing of it is kept.

    Args:
        recipe: as `load_recipe` read it.
        spec: the base.
        say: hears each line.
        reporter: hears how the base is fetched and written.

    Raises:
        HerdError: the data cannot be read, or the training does not fit into memory.
    """
    require_pytorch()
    base = ensure_artifact(spec, "huggingface", "f32", reporter).file("model").path.parent
    looked = look_at_data(recipe, base, spec, say)
    vocabulary = read_vocabulary(base)
    for number, example in enumerate(looked.train[:SHOWN], 1):
        for line in example_lines(number, example, vocabulary):
            say(line)
    say(_lengths("to train on", looked.train))
    say(_lengths("held out", looked.held_out))
    if recipe.method not in _METHODS_HERE:
        say("Memory and time: the nodes of the swarm train, so they are not estimated here.")
        return
    computer = choose_computer()
    need = memory_need(recipe, spec.shape, looked.train)
    require_room(need, computer, recipe)
    say(f"Computer: {computer}.")
    for line in told(
        recipe, need, looked.train, time_need(recipe, base, looked.train, looked.held_out)
    ):
        say(line)


def example_lines(number: int, example: Example, vocabulary: Tokenizer) -> Iterator[str]:
    """An example token by token: its position, id, whether the loss counts it, and its text.

    Args:
        number: of the example, from 1.
        example: what the model reads.
        vocabulary: of the base.
    """
    counted = sum(example.trained[1:])
    yield f"Example {number}: {len(example.ids)} tokens, {counted} with a loss ({example.document})"
    for position, (token, is_trained) in enumerate(zip(example.ids, example.trained, strict=True)):
        mark = "loss" if is_trained and position else "    "
        yield f"{position:6} {token:7} {mark} {shown_text(vocabulary.piece_bytes(token))}"


def shown_text(piece: bytes) -> str:
    """The text of a token in quotes; bytes that are part of a character as `<0xEA>`."""
    text = piece.decode(errors="surrogateescape")
    parts = (byte_piece(ord(one) - 0xDC00) if "\udc80" <= one <= "\udcff" else one for one in text)
    return repr("".join(parts))


def _lengths(which: str, examples: Sequence[Example]) -> str:
    lengths = [len(example.ids) for example in examples]
    if not lengths:
        return f"Examples {which}: none."
    return (
        f"Examples {which}: {len(lengths)}, of {min(lengths)} to {max(lengths)} tokens, median "
        f"{median(lengths):.0f}."
    )
