"""The matrix file of the best setting: written once, and never over a file that was edited."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from collect.search import TuningResult
from collect.workloads import Benchmark
from core.durable import replace_file, writing
from core.errors import HerdError
from core.foreign import one_line
from core.record import Scalar, read_file, why
from experiments.planning.matrix import Matrix, load_matrix

LARGEST_BYTES = 1 << 20
MARKED = "# Written by fab tune; sha256 of what follows: {sha256}\n"
MARK = re.compile(MARKED.format(sha256="([0-9a-f]{64})"))
REPEATS = 10


def require_ours(path: Path) -> None:
    """See that a file can be written: that it is not there, or is as it was written.

    Raises:
        HerdError: it was edited, is something else, or its folder is missing.
    """
    if not path.parent.is_dir() or path.is_dir():
        raise HerdError(f"--out {path}: name a file in a folder that exists.")
    try:
        content = read_file(path.parent, path.name, LARGEST_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise HerdError(f"--out {path}: it cannot be replaced: {why(error)}.") from None
    mark = MARK.match(content)
    if mark is None or _sha256(content[mark.end() :]) != mark[1]:
        raise HerdError(
            f"--out {path}: this file was edited, or was not written by `fab tune`, and is not "
            "replaced. Rename it, or give another --out."
        )


def write_winner(path: Path, base: Matrix, searched: TuningResult, answer: str) -> None:
    """Write the matrix that measures with the best setting, and see that it loads.

    Args:
        path: of the file.
        base: the matrix of the default cell.
        searched: with a best setting.
        answer: what it gains, a sentence.

    Raises:
        HerdError: it was edited since, or cannot be written.
    """
    require_ours(path)
    best = searched.best
    assert best is not None  # noqa: S101 - the verdict is about it
    text = _text(base, {**searched.fixed, **best.setting}, searched, answer)
    with writing("the matrix of the best setting", path):
        replace_file(
            path, f"# Written by fab tune; sha256 of what follows: {_sha256(text)}\n{text}".encode()
        )
    load_matrix(path)


def _text(base: Matrix, params: Mapping[str, Scalar], searched: TuningResult, answer: str) -> str:
    workload = base.workload
    assert isinstance(workload, Benchmark)  # noqa: S101 - settings are compared by their speed
    run = searched.confirmation.run if searched.confirmation else searched.rungs[-1].run
    content = {
        "title": f"Best setting of {params['engine']} for {params['model']}",
        "workload": workload.model_dump(),
        "axes": {name: [value] for name, value in params.items()},
        "repeats": REPEATS,
        "warmup": max(1, base.warmup),
        "max_attempts": base.max_attempts,
        "equivalence_margin": base.equivalence_margin,
        "deadline_s": base.deadline_s,
        "seed": base.seed,
    }
    comments = f"# {one_line(answer, 300)}\n# Search {searched.name}, run {run}.\n"
    return comments + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
