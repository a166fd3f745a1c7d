"""The catalogue says what is wrong in it, and finds models by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core.errors import HerdError
from models.build import expected_size_bytes
from models.catalogue import load_catalogue

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
models:
  story:
    about: a model
    licence: MIT
    source: https://example.org
    shape: {dim: 288, hidden_dim: 768, layers: 6, heads: 6, kv_heads: 6, head_dim: 48,
            vocab: 32000, context: 256}
    format: llama2c
    files:
      checkpoint:
        name: a.bin
        size_bytes: 10
        sha256: %s
        sources:
          - from: https://example.org/a.bin
      tokenizer:
        name: t.bin
        size_bytes: 10
        sha256: %s
        sources:
          - from: npm:some-package@1.0.0#package/all.data
            bytes: [10, 20]
""" % ("a" * 64, "b" * 64)  # noqa: UP031  # braces belong to the YAML


def complaint(tmp_path: Path, text: str) -> str:
    path = tmp_path / "catalogue.yml"
    path.write_text(text)
    with pytest.raises(HerdError) as caught:
        load_catalogue(path)
    return str(caught.value)


def line_of(text: str, fragment: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if fragment in line)


def test_the_projects_own_catalogue_is_right_and_has_the_real_weights() -> None:
    catalogue = load_catalogue()
    spec = catalogue.get("stories15m")
    assert spec.parameters == 15_191_712
    assert spec.slug == "stories15m"
    assert spec.licence == "MIT"
    assert {"synthetic:tiny", "synthetic:small"} < set(catalogue.names())


def test_the_example_of_these_tests_is_right(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.yml"
    path.write_text(GOOD)
    assert load_catalogue(path).names() == ("story",)


@pytest.mark.parametrize(
    ("wrong", "right", "named_line", "words"),
    [
        (
            "    license: MIT",
            "    licence: MIT",
            "license:",
            ["unknown key `license`", "mean `licence`"],
        ),
        ("        size: 10", "        size_bytes: 10", "size: 10", ["`size`", "mean `size_bytes`"]),
        (
            "          - from: ftp://example.org/a.bin",
            "          - from: https://example.org/a.bin",
            "ftp:",
            ["is not a valid source", "https://…, npm:"],
        ),
        (
            "            bytes: [10, 21]",
            "            bytes: [10, 20]",
            "tokenizer:",
            ["must add up to size_bytes"],
        ),
        ("        sha256: abc", f"        sha256: {'a' * 64}", "sha256: abc", ["`abc`", "pattern"]),
        (
            "head_dim: 47",
            "head_dim: 48",
            "shape:",
            ["head_dim (47)", "must be even"],
        ),
    ],
)
def test_a_mistake_is_named_with_file_line_and_what_would_be_right(
    tmp_path: Path, wrong: str, right: str, named_line: str, words: list[str]
) -> None:
    text = GOOD.replace(right, wrong)
    assert text != GOOD
    message = complaint(tmp_path, text)
    assert f"catalogue.yml, line {line_of(text, named_line)}:" in message
    for word in words:
        assert word in message


def test_broken_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    message = complaint(tmp_path, "models:\n  story:\n    about: [unclosed\n")
    assert "catalogue.yml, line 4: this is not valid YAML" in message


def test_a_key_written_twice_is_not_silently_dropped(tmp_path: Path) -> None:
    text = GOOD.replace("    licence: MIT", "    licence: MIT\n    licence: GPL")
    assert "line 5: the key `licence` appears twice" in complaint(tmp_path, text)


def test_a_model_needs_files_or_a_seed_but_not_both(tmp_path: Path) -> None:
    message = complaint(tmp_path, GOOD.replace("    licence: MIT", "    licence: MIT\n    seed: 1"))
    assert "either `files` or a `directory` (published weights) or a `seed`" in message


def test_an_absent_catalogue_is_an_error_of_one_paragraph(tmp_path: Path) -> None:
    with pytest.raises(HerdError, match="Could not read the catalogue of models"):
        load_catalogue(tmp_path / "none.yml")


def test_an_unknown_name_lists_the_close_ones() -> None:
    with pytest.raises(HerdError, match="Did you mean stories15m"):
        load_catalogue().get("storys15m")


def test_a_name_like_no_other_lists_them_all() -> None:
    with pytest.raises(HerdError, match=r"The known models are: stories15m, .*, synthetic:tiny"):
        load_catalogue().get("zzz")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: `the whole file` must be a mapping (lines of `key: value`)"),
        ("models: [1, 2]\n", "line 1: `models` must be a mapping (lines of `key: value`)"),
        ("models: \x07\n", r"line 1: a text file cannot contain the character '\x07'"),
        ("? [a, b]\n: c\n", "line 1: a key must be one word"),
    ],
)
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in complaint(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "published_gb"),
    [
        ("llama3.2-1b-instruct", 1.7),
        ("llama3.2-3b-instruct", 3.4),
        ("llama3.1-8b-instruct", 6.32),
        ("deepseek-r1-distill-llama-8b", 6.32),
        ("llama3.1-405b-instruct", 238),
        ("qwen3-0.6b", 0.9),
        ("qwen3-1.7b", 2.2),
        ("qwen3-8b", 6.7),
        ("qwen3-14b", 10.9),
    ],
)
def test_the_shapes_of_ready_models_give_the_sizes_that_their_publisher_says(
    name: str, published_gb: float
) -> None:
    """In GB as in distributed-llama's README, which rounds or cuts; 70B is told there in GiB."""
    size_bytes = expected_size_bytes(load_catalogue().get(name), "dllama", "q4_0")
    assert size_bytes / 1e9 == pytest.approx(published_gb, rel=0.07)


def test_heads_are_not_added_to_a_model_that_is_used_as_published() -> None:
    with pytest.raises(HerdError, match="is published in distributed-llama's format and used"):
        load_catalogue().get("qwen3-8b+kv16")
