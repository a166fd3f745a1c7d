"""Every verb of `fab`: parse, call, print.

Each verb imports what it calls: all of it takes a second to load, and `fab --list` needs none.
"""

from __future__ import annotations

import functools
import json as json_module
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fabric import task
from fabric.main import program
from invoke.context import Context
from invoke.exceptions import Exit

from core.errors import HerdError

if TYPE_CHECKING:
    from analysis.agreement.report import Agreed
    from analysis.report import Report
    from experiments.planning.matrix import Matrix
    from experiments.runner import RunResult

PROJECT = Path(__file__).resolve().parent
DEFAULT_MATRIX = "experiments/matrices/scaling.yml"
AGREEMENT_MATRIX = "experiments/matrices/agreement.yml"
LAB_NODES = 8
MATRIX_HELP = {
    "nodes": "numbers of nodes, such as 1,2,4,8",
    "engine": "engines, such as distributed-llama,llama.cpp",
    "model": "models listed by `fab models`",
    "weights": "weight types: f32,f16,q8_0,q4_0",
    "repeats": "trials of each cell",
    "seed": "seed for the order of trials",
    "set": "another axis, such as workers=fresh,kept; may be given several times",
    "matrix": f"the matrix file (default {DEFAULT_MATRIX})",
    "inventory": "Ansible inventory (default: that of ansible.cfg)",
}
WITHOUT_HELP = "nodes to leave out, as if they were not in the inventory, such as pi3,desk"
MAX_COST_HELP = "what the APIs may cost in the whole run, in the currency of their prices"


def verb(
    **options: Any,  # noqa: ANN401  # passed on to Invoke as they are
) -> Callable[[Callable[..., None]], Any]:
    """A task whose errors that a user can cause end as one paragraph and exit code 1."""

    def decorate(function: Callable[..., None]) -> Any:  # noqa: ANN401  # Invoke has no types
        @functools.wraps(function)
        def guarded(*args: object, **kwargs: object) -> None:
            try:
                function(*args, **kwargs)
            except HerdError as error:
                from core.terminal import for_errors

                raise Exit(for_errors(str(error)), code=1) from None
            except BrokenPipeError:  # as in `fab parse-log … | head`
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

        return task(**options)(guarded)

    return decorate


def _name_machines(words: list[str]) -> None:
    """Mark the bare words after `adopt` as machines: Invoke's tasks take a fixed number of them.

    Args:
        words: the command line after `fab` and its own flags; changed in place.
    """
    if "adopt" not in words:
        return
    marked: list[str] = []
    is_value = False
    for word in words[words.index("adopt") + 1 :]:
        is_flag = word.startswith("-")
        marked += [word] if is_flag or is_value else ["--machine", word]
        is_value = is_flag and "=" not in word and not is_value
    words[words.index("adopt") + 1 :] = marked


if getattr(program, "core", None) is not None:  # not where a test imports this file
    _name_machines(program.core.unparsed)


def _say(text: str) -> None:
    from core.terminal import say_text

    say_text(text)


def _matrix(
    path: str | None,
    axes: list[str],
    named: dict[str, str | None],
    repeats: int | None,
    seed: int | None,
) -> Matrix:
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
        overrides[name.strip()] = values
    if path:
        flags = ["--matrix", from_project(path), *flags]
    matrix = load_matrix(Path(path) if path else PROJECT / DEFAULT_MATRIX)
    matrix = matrix.override(axes=overrides, repeats=repeats, seed=seed)
    return matrix.model_copy(update={"flags": tuple(flags)})


@verb(
    help={
        "nodes": "how many (1 to 16)",
        "arm64": "how many of them (the last ones) are emulated Raspberry Pis: never for "
        "measuring speed",
        "release": "their Debian releases, in turn: bookworm,trixie (default: that of this "
        "machine)",
        "vulkan": "names of nodes with a software Vulkan driver, such as pi1,pi3: never for "
        "measuring speed",
    }
)
def lab_up(
    _context: Context,
    nodes: int = LAB_NODES,
    arm64: int = 0,
    release: str = "",
    vulkan: str = "",
) -> None:
    """Start the virtual nodes."""
    from experiments.fleet import lab

    lab.lab_up(nodes, arm64, release, vulkan)


@verb()
def lab_down(_context: Context) -> None:
    """Remove the virtual nodes; only the cached image is kept."""
    from experiments.fleet import lab

    lab.lab_down()


@verb()
def lab_status(_context: Context) -> None:
    """List the virtual nodes and the state of each."""
    from experiments.fleet import lab

    nodes = lab.lab_status()
    if not nodes:
        _say("The lab is down. Bring it up with: fab lab-up --nodes 8")
    for node in nodes:
        _say(
            f"{node.name:5} {node.address:12} {node.state:7} {node.release:8} {node.architecture} "
            f"{node.cpus:g} CPU {node.memory} {node.link_mbit} Mbit/s"
            f"{' emulated' if node.is_emulated else ''}"
            f"{' software Vulkan' if node.gpu == 'vulkan' else ''}"
        )


@verb(
    help={
        "limit": "names of nodes, such as pi3,desk (default: all)",
        "deep": "also import PyTorch and bitsandbytes wherever they are installed",
        "json": "findings and facts as one JSON object",
        "inventory": MATRIX_HELP["inventory"],
    }
)
def doctor(
    _context: Context,
    limit: str | None = None,
    deep: bool = False,
    json: bool = False,
    inventory: str | None = None,
) -> None:
    """Show what each machine is, what will not work on it, and how to fix it. Changes nothing."""
    from rich.console import Console

    from experiments.doctor.diagnose import worst
    from experiments.doctor.finding import Severity
    from experiments.doctor.run import examine
    from experiments.doctor.show import as_json, show_diagnoses

    diagnoses = examine(PROJECT, inventory, limit, deep=deep)
    if json:
        print(json_module.dumps(as_json(diagnoses)))
    else:
        show_diagnoses(diagnoses, Console())
    if worst(diagnoses) is Severity.PROBLEM:
        raise Exit(code=1)


@verb(
    help={
        "machine": "[name=][user@]host[:port]; bare words after `adopt` are also machines",
        "inventory": "the inventory file, created if missing (default inventory/fleet.yml)",
        "fingerprint": "fingerprint of a host key that you trust, instead of a question; may be "
        "given several times",
        "key": "private key for the login, added to the inventory (default: SSH's own choice)",
    },
    iterable=["machine", "fingerprint"],
)
def adopt(
    _context: Context,
    machine: list[str] | None = None,
    inventory: str | None = None,
    fingerprint: list[str] | None = None,
    key: str | None = None,
) -> None:
    """Add machines to the inventory: fab adopt pi@192.0.2.11 pi@192.0.2.12 …; the first is root."""
    from rich.console import Console

    from experiments.adopt.fleet import DEFAULT
    from experiments.adopt.run import adopt as adopt_machines
    from experiments.adopt.screen import Terminal, next_commands
    from experiments.doctor.diagnose import worst
    from experiments.doctor.finding import Severity
    from experiments.doctor.run import examine
    from experiments.doctor.show import show_diagnoses

    chosen = inventory or DEFAULT
    adopted = adopt_machines(
        PROJECT, machine or [], chosen, Terminal(), fingerprints=fingerprint or [], key=key
    )
    _say("")
    diagnoses = examine(PROJECT, chosen, ",".join(adopted.names), deep=False)
    show_diagnoses(diagnoses, Console())
    for line in next_commands(adopted.nodes, diagnoses):
        _say(line)
    if not adopted.is_all or worst(diagnoses) is Severity.PROBLEM:
        raise Exit(code=1)


@verb()
def models(_context: Context) -> None:
    """List the models that can be used."""
    from models.__main__ import main as models_main

    code = models_main(["list"])
    if code:
        raise Exit(code=code)


@verb(
    help={
        "source": "a .gguf, a .m with its .t, a Hugging Face directory, or llama2.c's .bin",
        "target": "a .m file (with its .t in the same folder), a .gguf file, or a new folder",
        "weights": "f32, f16 (not .m), q8_0 (GGUF), q4_0 (no folder); default q4_0, folder f32",
        "kv_heads": "KV heads to write; added heads are zero-padded, so that more nodes can "
        "share it",
    }
)
def convert(
    _context: Context, source: str, target: str, weights: str | None = None, kv_heads: int = 0
) -> None:
    """Convert a model of your own to the files that an engine loads."""
    from core.progress import StderrReporter
    from models.convert import convert as convert_model

    for path in convert_model(
        Path(source), Path(target), weights, kv_heads or None, StderrReporter()
    ):
        _say(str(path))


@verb(
    help={
        "file": "the recipe, such as experiments/finetunes/stories.yml",
        "dry-run": "print what the model would read, and the memory and time; train nothing",
        "new": "start again; what was trained under this name is moved aside",
        "inventory": "of a training through Petals, another inventory than that of ansible.cfg",
    }
)
def finetune(
    _context: Context,
    file: str,
    dry_run: bool = False,
    new: bool = False,
    inventory: str | None = None,
) -> None:
    """Fine-tune a model by a recipe, or continue after a stop, and prove what changed."""
    from rich.console import Console

    from experiments.finetune.outcome import finished_lines
    from experiments.finetune.recipe import load_recipe
    from experiments.finetune.run import finetune as finetune_model
    from experiments.finetune.run import try_recipe
    from experiments.finetune.training.progress import training_progress

    recipe = load_recipe(Path(file))
    if dry_run:
        try_recipe(recipe, say=_say)
        return
    record = finetune_model(
        recipe, say=_say, progress=training_progress(Console()), new=new, inventory=inventory
    )
    for line in finished_lines(record):
        _say(line)
    if record.sameness and record.sameness.faults:
        raise Exit(code=1)


@verb(help={**MATRIX_HELP, "without": WITHOUT_HELP}, iterable=["set", "without"])
def plan(
    _context: Context,
    nodes: str | None = None,
    engine: str | None = None,
    model: str | None = None,
    weights: str | None = None,
    repeats: int | None = None,
    seed: int | None = None,
    set: list[str] | None = None,  # noqa: A002  # the flag is called --set
    matrix: str | None = None,
    inventory: str | None = None,
    without: list[str] | None = None,
) -> None:
    """Show the trials of a matrix, their order, time and cost, and why a cell cannot run."""
    from experiments.planner import plan_matrix
    from experiments.planning.describe import describe

    named = {"nodes": nodes, "engine": engine, "model": model, "weights": weights}
    left_out = _names(without)
    wanted = _leaving_out(_matrix(matrix, set or [], named, repeats, seed), left_out)
    found = plan_matrix(wanted, PROJECT, inventory=inventory, without=left_out)
    for line in describe(found):
        _say(line)


@verb(
    help={
        **{name: MATRIX_HELP[name] for name in ("nodes", "engine", "model", "weights", "set")},
        "matrix": MATRIX_HELP["matrix"],
        "systems": "prepare a comparison of these systems instead, as for `fab compare`",
        "systems-file": "another systems file",
        "questions": "questions file (default: the matrix's)",
        "inventory": MATRIX_HELP["inventory"],
        "without": WITHOUT_HELP,
    },
    iterable=["set", "without"],
)
def prepare(
    _context: Context,
    nodes: str | None = None,
    engine: str | None = None,
    model: str | None = None,
    weights: str | None = None,
    set: list[str] | None = None,  # noqa: A002  # the flag is called --set
    matrix: str | None = None,
    systems: str | None = None,
    systems_file: str | None = None,
    questions: str | None = None,
    inventory: str | None = None,
    without: list[str] | None = None,
) -> None:
    """Put the engines and models that a matrix needs on the nodes that need them."""
    from experiments.prepare import prepare as prepare_nodes

    named = {"nodes": nodes, "engine": engine, "model": model, "weights": weights}
    if systems or systems_file or questions:
        from experiments.planning.compare import comparison

        given = [f"--{name}" for name, values in (*named.items(), ("set", set)) if values]
        if given:
            raise HerdError(
                f"{given[0]}: a comparison sets this itself; leave out this flag or --systems."
            )
        wanted = comparison(
            matrix=matrix, questions=questions, systems=systems, systems_file=systems_file
        )
    else:
        wanted = _matrix(matrix, set or [], named, None, None)
    left_out = _names(without)
    if not prepare_nodes(wanted, PROJECT, _say, inventory=inventory, without=left_out):
        raise Exit(code=1)


@verb(
    help={
        **MATRIX_HELP,
        "without": WITHOUT_HELP,
        "max-cost": MAX_COST_HELP,
        "new": "start a new run even if an unfinished one could continue",
    },
    iterable=["set", "without"],
)
def run_matrix(
    _context: Context,
    nodes: str | None = None,
    engine: str | None = None,
    model: str | None = None,
    weights: str | None = None,
    repeats: int | None = None,
    seed: int | None = None,
    set: list[str] | None = None,  # noqa: A002  # the flag is called --set
    matrix: str | None = None,
    inventory: str | None = None,
    without: list[str] | None = None,
    max_cost: str | None = None,
    new: bool = False,
) -> None:
    """Run a matrix, or continue an unfinished run, and write its report."""
    from experiments.planning.money import parse_sum

    named = {"nodes": nodes, "engine": engine, "model": model, "weights": weights}
    wanted = _matrix(matrix, set or [], named, repeats, seed)
    result = _measure(wanted, inventory, without, new=new, max_cost=parse_sum(max_cost))
    _write_report(result.folder)
    if result.exit_code:
        raise Exit(code=result.exit_code)


@verb(
    help={
        **{name: MATRIX_HELP[name] for name in ("nodes", "engine", "model", "weights", "set")},
        "matrix": f"prompts and text (default {AGREEMENT_MATRIX})",
        "inventory": MATRIX_HELP["inventory"],
        "without": WITHOUT_HELP,
        "new": "start a new run even if an unfinished one could continue",
    },
    iterable=["set", "without"],
)
def check_agreement(
    _context: Context,
    nodes: str | None = None,
    engine: str | None = None,
    model: str | None = None,
    weights: str | None = None,
    set: list[str] | None = None,  # noqa: A002  # the flag is called --set
    matrix: str | None = None,
    inventory: str | None = None,
    without: list[str] | None = None,
    new: bool = False,
) -> None:
    """Compare engines' texts with the reference implementation, token by token."""
    from collect.run import Greedy

    named = {"nodes": nodes, "engine": engine, "model": model, "weights": weights}
    wanted = _matrix(matrix or str(PROJECT / AGREEMENT_MATRIX), set or [], named, None, None)
    if not isinstance(wanted.workload, Greedy):
        found = f"its workload is {wanted.workload.kind}" if wanted.workload else "it has `parts`"
        raise HerdError(
            f"--matrix {matrix}: {found}; agreement needs the workload `greedy`, as in "
            f"{AGREEMENT_MATRIX}."
        )
    result = _measure(wanted, inventory, without, new=new)
    agreement = _write_report(result.folder).agreement
    if agreement:
        _print_agreement(agreement)
    if result.exit_code or (agreement and agreement.is_wrong):
        raise Exit(code=result.exit_code or 1)


@verb(
    help={
        "questions": "questions file (default: the matrix's)",
        "systems": "names from experiments/systems.yml, such as chatgpt,distributed-llama",
        "systems-file": "another systems file",
        "repeats": "how often each system is asked",
        "max-cost": MAX_COST_HELP,
        "replay": "use API answers kept from earlier runs; asks no API, costs nothing",
        "matrix": "longest answer, temperature … (default experiments/matrices/compare.yml)",
        "inventory": MATRIX_HELP["inventory"],
        "without": WITHOUT_HELP,
        "new": "start a new run even if an unfinished one could continue",
        "export": "also write this text file: every question with every system's answer",
    },
    iterable=["without"],
)
def compare(
    _context: Context,
    questions: str | None = None,
    systems: str | None = None,
    systems_file: str | None = None,
    repeats: int | None = None,
    max_cost: str | None = None,
    replay: bool = False,
    matrix: str | None = None,
    inventory: str | None = None,
    without: list[str] | None = None,
    new: bool = False,
    export: str | None = None,
) -> None:
    """Ask systems the same questions, or continue an unfinished run, and write the report."""
    from experiments.planning.compare import comparison, require_writable
    from experiments.planning.money import parse_sum

    if export:
        require_writable(Path(export))
    wanted = comparison(
        matrix=matrix,
        questions=questions,
        systems=systems,
        systems_file=systems_file,
        repeats=repeats,
        replay=replay,
    )
    result = _measure(wanted, inventory, without, new=new, max_cost=parse_sum(max_cost))
    _write_report(result.folder)
    if export:
        _export(result.folder, export)
    if result.exit_code:
        raise Exit(code=result.exit_code)


@verb(help={"run": "name of the run (default: the latest)", "json": "as one JSON object"})
def status(_context: Context, run: str | None = None, json: bool = False) -> None:
    """Print the ledger of a run."""
    from collect.account import Account, Scrutiny
    from experiments.disk.ledger import find_run, reasons_of, status_of

    account = Account.read(find_run(PROJECT / "results", run), Scrutiny.RECORDS)
    if json:
        print(json_module.dumps(status_of(account)))
    else:
        _print_status(status_of(account))
        for line in reasons_of(account):
            _say(line)


@verb(
    help={
        "run": "name of the run (default: the latest)",
        "export": "write only this text file: every question with every system's answer",
    }
)
def report(_context: Context, run: str | None = None, export: str | None = None) -> None:
    """Rebuild the report of a run from the data in results/."""
    from experiments.disk.ledger import find_run

    folder = find_run(PROJECT / "results", run)
    if export:
        _export(folder, export)
    else:
        _write_report(folder)


@verb(
    help={
        "run": "name of the run (default: the latest that asked questions)",
        "rater": "who rates (default: the name of the user)",
        "csv": "write an empty sheet to this file instead, to send to raters",
        "import": "store the scores from this filled-in sheet",
        "judge": "let this API from experiments/systems.yml compare every pair of answers",
        "max-cost": "what the judge may cost in total, in the currency of its price",
    }
)
def rate(
    _context: Context,
    run: str | None = None,
    rater: str | None = None,
    csv: str | None = None,
    import_: str | None = None,
    judge: str | None = None,
    max_cost: str | None = None,
) -> None:
    """Rate the answers of a run without knowing who gave them, on a local page or as CSV."""
    if sum(map(bool, (csv, import_, judge))) > 1:
        raise HerdError("Give only one of --csv (write a sheet), --import (read one) and --judge.")
    if max_cost and not judge:
        raise HerdError("--max-cost needs --judge: nothing else here costs money.")
    from experiments.rating.sheet import find_asked

    folder = find_asked(PROJECT / "results", run)
    if csv:
        from experiments.rating.spreadsheet import write_sheet

        sheet = write_sheet(folder, Path(csv), rater)
        _say(f"{csv}: {sheet.size} answers to rate. Import it with: fab rate --import {csv}")
    elif import_:
        from experiments.rating.spreadsheet import read_sheet

        read = read_sheet(folder, Path(import_), rater)
        _say(f"{read.rater} rated {read.answers} answers, {read.stored} of them new.")
    elif judge:
        from experiments.planning.money import parse_sum
        from experiments.rating.llm_judge import judge_answers

        judge_answers(folder, judge, _say, parse_sum(max_cost))
    else:
        from experiments.rating.rate import serve_page

        serve_page(folder, rater, _say)


@verb(
    positional=["file"],
    help={"file": "log of distributed-llama, of any version", "worker": "the log is a worker's"},
)
def parse_log(_context: Context, file: str, worker: bool = False) -> None:
    """Print a log of distributed-llama as JSON."""
    from collect.parsers.dllama_json import json_chunks
    from collect.parsers.dllama_source import NotALogError
    from core.terminal import say_json

    try:
        for chunk in json_chunks(Path(file), "worker" if worker else "root"):
            say_json(chunk)
    except NotALogError as error:
        from core.terminal import for_errors

        raise Exit(for_errors(str(error)), code=2) from None


def _names(given: list[str] | None) -> tuple[str, ...]:
    """Names of nodes as `--without` has them: with commas, or several times."""
    names = [name.strip() for words in given or () for name in words.split(",")]
    if not all(names):
        raise HerdError("--without: name nodes from the inventory, such as --without pi3,desk.")
    return tuple(dict.fromkeys(names))


def _leaving_out(matrix: Matrix, left_out: tuple[str, ...]) -> Matrix:
    """The matrix; commands that are printed for it leave out the same nodes."""
    if matrix.flags is None or not left_out:
        return matrix
    flags = (*matrix.flags, "--without", ",".join(left_out))
    return matrix.model_copy(update={"flags": flags})


def _measure(
    matrix: Matrix,
    inventory: str | None,
    without: list[str] | None,
    *,
    new: bool,
    max_cost: float | None = None,
) -> RunResult:
    """Run a matrix and print how that went."""
    from rich.console import Console

    from experiments.runner import run_matrix as execute_matrix
    from experiments.sessions.progress import make_progress

    left_out = _names(without)
    result = execute_matrix(
        _leaving_out(matrix, left_out),
        PROJECT,
        progress=make_progress(Console()),
        new=new,
        command=("fab", *sys.argv[1:]),
        inventory=inventory,
        without=left_out,
        max_cost=max_cost,
    )
    for line in (*result.notes, *result.bill):
        _say(line)
    if result.already_complete:
        _say(_nothing_measured(result.counts))
    _print_status({"run": result.folder.name, **result.counts})
    return result


def _nothing_measured(counts: Mapping[str, int]) -> str:
    """Why a run did not continue."""
    failed, unavailable = counts["failed"], counts["unavailable"]
    if failed:
        return (
            f"Nothing was measured: {failed} trials of this run failed as often as max_attempts "
            "allows, and no others remain. When the cause is fixed, start another run with "
            "--new."
        )
    if unavailable:
        return "Nothing was measured: everything that can run here was measured before. See above."
    return "This run was already complete: nothing was measured. Start another one with --new."


def _print_agreement(agreement: Agreed) -> None:
    from analysis.agreement.report import agreement_table
    from analysis.cells.tabulate import lines

    for line in (*lines(agreement_table(agreement.cells)), *agreement.sentences):
        _say(line)


def _print_status(counts: Mapping[str, str | int]) -> None:

    _say(
        f"{counts['run']}: {counts['planned']} planned = {counts['done']} done + "
        f"{counts['failed']} failed + {counts['unavailable']} unavailable + "
        f"{counts['pending']} pending"
    )


def _export(folder: Path, file: str) -> None:
    from analysis.answers.export import export_answers

    _say(f"Answers: {export_answers(folder, Path(file))}")


def _say_besides(line: str) -> None:
    """Print on standard error what is not part of a verb's answer."""
    from core.terminal import complain

    complain(line)


def _write_report(folder: Path) -> Report:
    from analysis.report import write_report

    written = write_report(folder, PROJECT / "analysis" / "reports", _say_besides)
    _say(f"Report: {written.index}")
    _say(written.verdict)
    return written


def main() -> None:
    """Run as `fab` itself, as `make setup` installs it: Fabric's own would print its version."""
    if sys.argv[1:2] in (["--version"], ["-V"]):
        from core.version import version

        print(f"llama-herd {version(PROJECT)}")
        return
    sys.argv[0] = "fab"
    program.run()


if __name__ == "__main__":
    main()
