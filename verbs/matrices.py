"""Flags with which verbs name a matrix, and the nodes to leave out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import HerdError
from verbs.verb import PROJECT

if TYPE_CHECKING:
    from experiments.planning.matrix import Matrix

DEFAULT_MATRIX = "experiments/matrices/scaling.yml"
MATRIX_HELP = {
    "nodes": "numbers of nodes, such as 1,2,4,8",
    "engine": "engines, such as distributed-llama,llama.cpp",
    "model": "models listed by `fab models`",
    "weights": "weight types: f32,f16,q8_0,q4_0",
    "repeats": "trials of each cell",
    "seed": "seed for the order of trials",
    "set": "another axis, such as workers=fresh,kept; several times for several axes",
    "matrix": f"the matrix file (default {DEFAULT_MATRIX})",
    "inventory": "Ansible inventory (default: that of ansible.cfg)",
}
NOISE_HELP = "measure each cell as two identical arms, to see how far they differ by chance"
WITHOUT_HELP = "nodes to leave out, as if they were not in the inventory, such as pi3,desk"
MAX_COST_HELP = "what the APIs may cost in the whole run, in the currency of their prices"


def matrix_of(
    path: str | None,
    axes: list[str],
    named: dict[str, str | None],
    repeats: str | None,
    seed: str | None,
    *,
    noise: bool = False,
) -> Matrix:
    """Read a matrix as a command line names it.

    Args:
        path: of the matrix file; None for the default.
        axes: of `--set`, each AXIS=VALUE,VALUE.
        named: axis to the values that its flag has; None where it was not given.
        repeats: trials of each cell; None for those of the file.
        seed: of the order of trials; None for that of the file.
        noise: measure each cell as two arms, also if the file does not say so.

    Raises:
        HerdError: no such matrix, axis or value, or an axis twice; with what would be right.
    """
    from core.foreign import one_line
    from experiments.fleet.commands import from_project
    from experiments.planning.matrix import load_matrix

    overrides = {name: values for name, values in named.items() if values is not None}
    flags = [word for name, values in overrides.items() for word in (f"--{name}", values)]
    for assignment in axes:
        flags += ["--set", assignment]
        name, equals, values = assignment.partition("=")
        if not (name and equals and values):
            raise HerdError(
                f"--set {assignment}: write AXIS=VALUE,VALUE, as in workers=fresh,kept."
            )
        if (axis := name.strip()) in overrides:
            raise HerdError(
                f"--set {one_line(assignment, 80)}: the axis {one_line(axis, 80)} is given twice. "
                "Give all its values at once, with commas."
            )
        overrides[axis] = values
    if path:
        flags = ["--matrix", from_project(path), *flags]
    matrix = load_matrix(Path(path) if path else PROJECT / DEFAULT_MATRIX)
    matrix = matrix.override(axes=overrides, repeats=repeats, seed=seed, noise=noise)
    return matrix.model_copy(update={"flags": tuple(flags)})


def names_of(given: list[str] | None) -> tuple[str, ...]:
    """Names of nodes as `--without` has them: with commas, or several times."""
    names = [name.strip() for words in given or () for name in words.split(",")]
    if not all(names):
        raise HerdError("--without: name nodes from the inventory, such as --without pi3,desk.")
    return tuple(dict.fromkeys(names))


def leaving_out(matrix: Matrix, left_out: tuple[str, ...]) -> Matrix:
    """The matrix; commands that are printed for it leave out the same nodes."""
    if matrix.flags is None or not left_out:
        return matrix
    flags = (*matrix.flags, "--without", ",".join(left_out))
    return matrix.model_copy(update={"flags": flags})
