"""How a run was measured, in sentences for the section on method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath

from analysis.answers.accuracy import RIGHT
from analysis.cells.family import STOPPED, Compared
from analysis.cells.planned import has_grown
from analysis.sections.head import workload_in_words
from analysis.statistics.stats import FEWEST, LEVEL
from analysis.study import Study
from analysis.text.sentence import Sentence, say
from analysis.text.wording import listing, nodes, number, percent, plural, within
from collect.run import RunManifest
from core.record import Scalar

Facts = Mapping[str, Scalar | None]

MACHINES = "The cluster has {count}: {machines}."
MACHINE = "{times} \N{MULTIPLICATION SIGN} {name} ({about})"
VIRTUAL_NODE = "virtual node ({kind})"
CORES = "{cores} of {processor}"
MEMORY = "{memory} GiB of memory"
SYSTEM = "They run {systems}."
LINKS = "Their links run at {rates} Mbit/s."
VIRTUAL = (
    "The nodes are virtual and share one machine, so absolute speeds are those of its cores and "
    "say nothing about other machines."
)
NO_NODES = "No machine of ours computed: the systems are APIs."
ENGINES = "Engines: {engines}."
ENGINE = "{name} {version}"
COMMITTED = "{name} {version} (commit {commit})"
APIS = "APIs: {apis}."
API = "{name} (model {model})"
MODELS = "Model files, with the beginning of their SHA-256: {files}."
ASKED = "In each trial, the engine has to {task}."
OF_PART = "In the part {part}, the engine has to {task}, in {repeats} of each cell."
CELLS = "The run has {cells}, a cell being one combination of {axes}."
BLOCKS = (
    "Each cell was planned with {repeats}. Trials were done in blocks that contain every cell "
    "once, in an order that was shuffled for each block (seed {seed})."
)
PART_BLOCKS = (
    "Trials of all parts were done in blocks that contain each cell at most once, in an order that "
    "was shuffled for each block (seed {seed})."
)
ADDED = (
    "Blocks were added until the intervals of the compared cells were narrow, or {most} trials of "
    "a cell were reached. Because such a stop favours differences, p-values are multiplied by "
    "{times}."
)
WARM_UP = "In each session, a cell began with {warmup} as a warm-up, which no figure contains."
NO_WARM_UP = "No trial was left out as a warm-up."
ATTEMPTS = (
    "A trial that failed was tried again, {most} times in all at most. An attempt during which a "
    "node throttled, swapped, lost speed of its link or had its clock set does not count."
)
ONE_ATTEMPT = (
    "A trial that failed was not tried again. An attempt during which a node throttled, swapped, "
    "lost speed of its link or had its clock set does not count."
)
LEDGER = "Of {planned} planned trials, {states}."
FIGURES = (
    "A figure is the median over the trials of a cell with its exact interval of order statistics, "
    "which covers {level} or more from {fewest} trials on. Below that, the range is given."
)
RATIOS = (
    "A ratio is computed within blocks, so that what slows all machines during a block cancels. It "
    "is the geometric mean over blocks with Student's interval of the mean logarithm, and its "
    "p-value is that of the same t, or larger where neighbouring blocks are alike or trials have "
    "two speeds."
)
TOO_FEW = (
    "With fewer than {fewest} trials on a side no speed is called higher or lower, no matter "
    "which medians they have."
)
CORRECTED = "All {comparisons} of the run are corrected together (Holm)."
ALONE = "The run makes 1 comparison, which needs no correction."
JUDGED = (
    "No difference means that the interval is within {margin}. Otherwise, faster or slower means "
    "that the p-value is below 0.05; anything else is reported as undecided."
)
STEADIEST = (
    "No comparison is taken to be steadier than the steadiest tenth of all: where one spreads "
    "less, its p-value uses their spread."
)
QUESTIONS = (
    "Figures of answers are medians over questions. Answers are compared question by question "
    "instead, from {fewest} questions on."
)
RIGHT_BY_KEY = "Which of two systems is right more often is McNemar's exact test."
FLOOR = (
    "Each cell was measured as two identical arms. No difference smaller than the noise floor of "
    "{floors} that they showed is reported, and none is excluded where the floor is wider than "
    "{margin}."
)
ALL_AS_THEY_ARE = 10
"""Up to so many comparisons, each is used with its own spread."""
FLOOR_OF = "{floor} for {quantity}"
MOST_NAMED = 6
"""Kinds of machines and model files that are named one by one."""
GIB = 1024


def method_of(study: Study) -> tuple[tuple[Sentence, ...], ...]:
    """The paragraphs on how a run was measured: machines, task and order, statistics."""
    paragraphs = (_machines(study), _order(study), _statistics(study))
    return tuple(made for paragraph in paragraphs if (made := tuple(paragraph)))


def _machines(study: Study) -> Iterator[Sentence]:
    run = study.run
    if run.nodes:
        yield say(MACHINES, count=nodes(len(run.nodes)), machines=_kinds(run))
        yield from _together(run)
        if study.is_lab:
            yield say(VIRTUAL)
    elif all(cell.params["nodes"] == 0 for cell in run.cells):
        yield say(NO_NODES)
    if run.engines:
        told = [str(_engine(name, stamp)) for name, stamp in run.engines.items()]
        yield say(ENGINES, engines=listing(told))
    if run.systems:
        named = [say(API, name=name, model=one.model) for name, one in run.systems.items()]
        yield say(APIS, apis=listing(list(named)))
    if run.models:
        files = [f"{PurePath(file).name} ({digest[:12]})" for file, digest in run.models.items()]
        yield say(MODELS, files=listing(_cut(files)))


def _kinds(run: RunManifest) -> str:
    """`4 Raspberry Pi 5 Model B (4 cores of Cortex-A76, 7.9 GiB of memory)`."""
    kinds = Counter(_machine(facts) for facts in run.nodes.values())
    told = [say(MACHINE, times=times, name=name, about=about)
            for (name, about), times in kinds.items()]  # fmt: skip
    return listing(_cut(list(told)))


def _cut(told: list[str]) -> list[str]:
    rest = len(told) - MOST_NAMED
    return told if rest <= 0 else [*told[:MOST_NAMED], f"{rest} more (see the appendix)"]


def _machine(facts: Facts) -> tuple[str, str]:
    processor = facts.get("cpu_model") or facts.get("architecture")
    virtual = facts.get("virtualisation")
    name = facts.get("board") or (say(VIRTUAL_NODE, kind=virtual) if virtual else processor)
    about: list[str] = []
    if cores := facts.get("cores"):
        counted = plural(int(cores), "core")
        is_known = processor and processor != name
        about.append(say(CORES, cores=counted, processor=processor) if is_known else counted)
    if memory := facts.get("memory_mib"):
        about.append(say(MEMORY, memory=number(float(memory) / GIB, 2)))
    if gpu := facts.get("gpu_0_name"):
        about.append(str(gpu))
    return str(name or "machine of unknown kind"), ", ".join(map(str, about)) or "nothing reported"


def _together(run: RunManifest) -> Iterator[Sentence]:
    """What the nodes' systems and links are, each once."""
    for fact, template, place in (("os", SYSTEM, "systems"), ("link_mbit", LINKS, "rates")):
        found = dict.fromkeys(
            str(facts[fact]) for facts in run.nodes.values() if facts.get(fact) is not None
        )
        if found:
            yield say(template, **{place: listing(list(found))})


def _engine(name: str, stamp: Facts) -> Sentence:
    version, commit = (str(stamp.get(key) or "") for key in ("version", "commit"))
    if not version or version == commit:
        return say(
            ENGINE, name=name, version=f"(commit {commit[:12]})" if commit else "(no version)"
        )
    template = COMMITTED if commit else ENGINE
    places = {"commit": commit[:12]} if commit else {}
    return say(template, name=name, version=version, **places)


def _order(study: Study) -> Iterator[Sentence]:
    run = study.run
    axes = [axis.replace("_", " ") for axis, values in run.axes.items() if len(values) > 1]
    if run.workload is not None:
        yield say(ASKED, task=workload_in_words(run.workload, run))
    for part in study.parts.values():
        own = part.run
        if own.workload is not None:
            repeats = plural(own.repeats, "trial")
            task = workload_in_words(own.workload, own)
            yield say(OF_PART, part=own.title, task=task, repeats=repeats)
    if axes:
        yield say(CELLS, cells=plural(len(run.cells), "cell"), axes=listing(axes))
    if study.parts:
        yield say(PART_BLOCKS, seed=run.seed)
    else:
        yield say(BLOCKS, repeats=plural(run.repeats, "trial"), seed=run.seed)
        if has_grown(run, study.cells):
            yield say(ADDED, most=max(cell.planned for cell in study.cells), times=STOPPED)
    yield say(WARM_UP, warmup=plural(run.warmup, "trial")) if run.warmup else say(NO_WARM_UP)
    yield say(ATTEMPTS, most=run.max_attempts) if run.max_attempts > 1 else say(ONE_ATTEMPT)
    states = [f"{count} are {state}" for state, count in study.counts.items() if count]
    if states:
        yield say(LEDGER, planned=sum(study.counts.values()), states=listing(states))


def _statistics(study: Study) -> Iterator[Sentence]:
    parts = tuple(study.parts.values()) or (study,)
    if not any(cell.is_measured for part in parts for cell in part.cells):
        return
    yield say(FIGURES, level=percent(LEVEL), fewest=FEWEST)
    rows = [row for part in parts for row in part.family.rows]
    if not rows:
        return
    yield say(RATIOS)
    yield from _of_questions(rows)
    tried = sum(row.is_tried for row in rows)
    if any(not row.is_tried and row.pair.fewest == FEWEST for row in rows):
        yield say(TOO_FEW, fewest=FEWEST)
    margin = within(study.run.equivalence_margin)
    if tried:
        all_of_them = plural(tried, "comparison")
        yield say(CORRECTED, comparisons=all_of_them) if tried > 1 else say(ALONE)
        yield say(JUDGED, margin=margin)
    if tried > ALL_AS_THEY_ARE:
        yield say(STEADIEST)
    floors = {what: one for part in parts if part.noise for what, one in part.noise.floors.items()}
    if floors:
        told = [say(FLOOR_OF, floor=percent(one.ratio - 1), quantity=what)
                for what, one in floors.items()]  # fmt: skip
        yield say(FLOOR, floors=listing(list(told)), margin=margin)


def _of_questions(rows: Iterable[Compared]) -> Iterator[Sentence]:
    """How answers are compared, whose unit is the question."""
    asked = [row.pair for row in rows if row.pair.fewest != FEWEST]
    if asked:
        yield say(QUESTIONS, fewest=asked[0].fewest)
    if any(pair.what == RIGHT for pair in asked):
        yield say(RIGHT_BY_KEY)
