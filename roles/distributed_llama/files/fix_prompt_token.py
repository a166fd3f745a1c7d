"""Corrects one index of distributed-llama's source in three places.

    fix_prompt_token.py FOLDER

After reading the prompt, upstream takes the token behind the last one of the prompt for the last
one (docs/upstream-defects.md). Exit status 1 with one line on standard error where FOLDER holds
another source: a place to correct is not there exactly once.
"""

from __future__ import annotations

import sys
from pathlib import Path

PROMPT_TOKENS = {
    "src/dllama.cpp": (("inputTokens", "pos"), ("inputTokens", "i")),
    "src/dllama-api.cpp": (("promptTokens", "i"),),
}
"""Array and index of each place, by file."""


def main(folder: Path) -> int:
    """Correct the source in a folder."""
    for name, places in PROMPT_TOKENS.items():
        path = folder / name
        is_plain = path.is_file() and not path.is_symlink()
        text = path.read_text(encoding="utf-8", errors="surrogateescape") if is_plain else ""
        for array, index in places:
            wrong = f" token = {array}[{index} + 1];"
            if text.count(wrong) != 1:
                print(
                    f"its {name} does not hold `{wrong.strip()}` once, so the token of the "
                    "prompt cannot be corrected there: set distributed_llama_fix_prompt_token "
                    "to false, or another distributed_llama_version",
                    file=sys.stderr,
                )
                return 1
            text = text.replace(wrong, f" token = {array}[{index}];")
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
