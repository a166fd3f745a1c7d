"""What a token would take on machines that no one here has, by the catalogue of machines.

Nothing is fitted: speeds are what is believed of usual machines, with the published figures of this
one. So intervals are wide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.model.cost import (
    COEFFICIENTS,
    TERMS,
    Coefficient,
    Floats,
    Setting,
    Term,
    features_of,
    terms_of,
)
from analysis.model.fit import totals_of
from analysis.model.guesses import Guess, guess
from analysis.model.machines import KnownMachine, load_machines
from analysis.model.posterior import CLASS_PRIORS, DEGREES, ELSEWHERE
from analysis.model.wire import Wire, limit, wire_of
from analysis.text.sentence import say
from analysis.text.wording import listing, nodes, number
from analysis.what_if.answer import ends_of, too_little_of
from analysis.what_if.supposed import Supposed, supposed_of
from core.errors import HerdError
from core.foreign import one_line
from models.catalogue import load_catalogue
from models.shape import ModelShape, Weights, packed_bytes

DRAWS = 2000
USUAL_WEIGHTS: Weights = "q4_0"
FLOATS = ("f32", "f16")
"""Weights of servers of a chain that pass activations on. They make smaller ones on GPUs only."""
ENGINE_MEDIAN, ENGINE_SPREAD = 1.22, 0.25
"""How much longer another program takes than that of the published token rates: up to half as
long again."""
CONTEXT = 4096
"""Tokens that there must be room for, of models that have a longer context."""
USUAL_LINK_MBIT = 940.0
MIB = 1024
"""Of a GiB."""
ONLY_OF_RUNS = ("run", "root", "latency", "memory", "processor")
HEAD = (
    "A guess, because nothing was measured here: {machine} goes through about {gbs} GB/s of "
    "weights of 4 bits, by {source}."
)
ERROR = (
    "For 25 published cells of Raspberry Pi 4B and 5 on 1 to 8 nodes such guesses are off by 12 % "
    "in the median and by 42 % at most, and all are in their 90 % interval. Other machines, and "
    "engines that pass activations along a chain, were not checked."
)
ASKED = "{model}, {weights} weights, {engine} on {nodes}, links of {mbit} Mbit/s"
TIME = (
    "  {ms} ms per token ({low} to {high} in 90 of 100 cases), {rate} tokens/s ({slow} to {fast})"
)
SPLIT = "  consists of (medians, ms): {terms}"
CANNOT = "  cannot run: {why}"
NO_WEIGHTS = "on a processor its servers compute with f32 or f16 weights, not with {asked}"
EMPTY = "--machine needs the name of a machine, such as `Raspberry Pi 5 8GB`."
UNKNOWN = "  whether it fits in memory is not checked: write the size, such as `{name} 8GB`"


@dataclass(frozen=True, slots=True)
class Bought:
    """A setting on machines of the catalogue, and what is guessed of it.

    Attributes:
        machine: what all nodes are.
        memory_gib: of each; None where it was not said.
        engine: its name.
        model: name of the model.
        setting: in full.
        found: how fast the machine is.
        ms: median and ends of the 90 % interval of a token's time; None where it cannot run.
        terms: medians in ms.
        reason: why it cannot run; empty if it can.
    """

    machine: KnownMachine
    memory_gib: float | None
    engine: str
    model: str
    setting: Setting
    found: Guess
    ms: tuple[float, float, float] | None
    terms: Mapping[Term, float]
    reason: str = ""


def bought_of(machine: str, engine: str | None, given: Mapping[str, str | None]) -> list[Bought]:
    """Guess every setting that flags ask for.

    Args:
        machine: name in the catalogue, which may end with a size of memory, such as `8GB`.
        engine: name of the engine; its newest release counts.
        given: flag to what was written (`supposed_of`).

    Raises:
        HerdError: there is no such machine or engine, nothing can be guessed of it, or a flag is
            wrong.
    """
    for name in ONLY_OF_RUNS:
        if given.get(name) is not None:
            raise HerdError(f"--{name} is about a run, and --machine about machines without one.")
    if given.get("model") is None:
        raise HerdError("--machine needs --model, such as --model llama3.1-8b-instruct.")
    if engine is None:
        raise HerdError("--machine needs --engine: the name of an engine that runs on nodes.")
    known, size = _machine(machine)
    found = guess(known.name)
    wire = wire_of(engine, None, {})
    if wire is None:
        raise HerdError(f"--engine {one_line(engine)}: no formula is known for what it exchanges.")
    flags = {name: text for name, text in given.items() if name not in ONLY_OF_RUNS}
    return [_bought(known, size, found, engine, wire, one) for one in supposed_of(flags)]


def _machine(text: str) -> tuple[KnownMachine, float | None]:
    if not text.strip():
        raise HerdError(EMPTY)
    catalogue = load_machines()
    named = re.fullmatch(r"(.*\S)\s+(\d+(?:\.\d+)?)\s?Gi?B", text.strip(), re.IGNORECASE)
    if named is None:
        return catalogue.of(text.strip()), None
    machine, size = catalogue.of(named[1]), float(named[2])
    sizes = machine.memory_gib.values if machine.memory_gib else ()
    if sizes and size not in sizes:
        right = listing([f"{one:g}" for one in sizes], "or")
        raise HerdError(f"--machine {one_line(text)}: it is sold with {right} GB.")
    return machine, size


def _bought(
    machine: KnownMachine,
    size: float | None,
    found: Guess,
    engine: str,
    wire: Wire,
    asked: Supposed,
) -> Bought:
    model = str(asked.model)
    published = machine.link_mbit.value if machine.link_mbit else USUAL_LINK_MBIT
    link = asked.link
    rate = published if link is None else link.mbit or published * link.times
    setting = Setting(
        shape=load_catalogue().get(model).shape,
        weights=asked.weights or USUAL_WEIGHTS,
        nodes=asked.nodes or 1,
        wire=wire,
        link_mbit=rate,
    )
    reason = limit(wire, setting.shape, setting.weights, setting.nodes) or ""
    if not reason and wire == "chain_push" and setting.weights not in FLOATS:
        reason = say(NO_WEIGHTS, asked=setting.weights)
    if not reason and size is not None:
        have = (int(size * MIB),) * setting.nodes
        reason = too_little_of(setting, have, min(setting.shape.context, CONTEXT))
    ms, terms = (None, {}) if reason else time_of(found, setting)
    return Bought(machine, size, engine, model, setting, found, ms, terms, reason)


def guess_draws(found: Guess, shape: ModelShape, seed: int = 1) -> dict[Coefficient, Floats]:
    """Draw coefficients of a machine from its guess and from what is believed of usual ones."""
    generator = np.random.default_rng(seed)

    def drawn(median: float, spread: float) -> Floats:
        return median * np.exp(spread * generator.standard_normal((DRAWS, 1)))

    priors = {name: prior for name, prior in CLASS_PRIORS.items() if name != ELSEWHERE}
    values = {name: drawn(p.median, p.spread) for name, p in priors.items()}
    rate = drawn(found.weights_gbs / ENGINE_MEDIAN, float(np.hypot(found.spread, ENGINE_SPREAD)))
    share = values["arithmetic"], values["layer"]
    memory = 1 / rate / (1 + share[0] + share[1])
    layer_mb = packed_bytes(shape.layer_matrix_values, "q4_0") / 1e6
    values |= {
        "memory": memory,
        "arithmetic": memory * share[0],
        "layer": memory * share[1] * layer_mb,
        "rate": np.minimum(values["rate"], 1.0),
        "capacity": np.ones((DRAWS, 1)),
        # Last, so that the other draws are those of before there was this coefficient.
        ELSEWHERE: drawn(CLASS_PRIORS[ELSEWHERE].median, CLASS_PRIORS[ELSEWHERE].spread),
    }
    return {name: values[name] for name in COEFFICIENTS}


def _noise(seed: int = 2) -> tuple[Floats, Floats]:
    generator = np.random.default_rng(seed)
    off = generator.standard_t(DEGREES, size=(DRAWS, 2))
    usual = [CLASS_PRIORS[name].median for name in ("noise_total", "noise_sync")]
    return np.exp(off[:, :1] * usual[0]), np.exp(off[:, 1:] * usual[1])


def time_of(found: Guess, setting: Setting) -> tuple[tuple[float, float, float], dict[Term, float]]:
    """Median and ends of a token's time in ms, and the median of each term."""
    terms = terms_of(guess_draws(found, setting.shape), features_of([setting]))
    middles = {term: float(np.median(terms[term])) for term in TERMS}
    return ends_of(totals_of(terms, _noise())[:, 0]), middles


def bought_lines(guessed: Sequence[Bought]) -> Iterator[str]:
    """Say what is guessed, and how wrong that may be."""
    first = guessed[0]
    yield say(
        HEAD,
        machine=first.machine.name,
        gbs=number(first.found.weights_gbs),
        source=first.found.source,
    )
    yield say(ERROR)
    for one in guessed:
        setting = one.setting
        yield say(
            ASKED,
            model=one.model,
            weights=setting.weights,
            engine=one.engine,
            nodes=nodes(setting.nodes),
            mbit=f"{setting.link_mbit:g}",
        )
        if one.ms is None:
            yield say(CANNOT, why=one.reason)
            continue
        ms, low, high = map(number, one.ms)
        rate, fast, slow = (number(1000 / end) for end in one.ms)
        yield say(TIME, ms=ms, low=low, high=high, rate=rate, slow=slow, fast=fast)
        terms = [
            say("{term} {number}", term=term, number=number(value))
            for term, value in one.terms.items()
            if value > 0
        ]
        yield say(SPLIT, terms=listing(terms))
        if one.memory_gib is None:
            yield say(UNKNOWN, name=one.machine.name)
