"""What a system is: an engine with a model on so many nodes, or an API (`systems.yml` here)."""

from __future__ import annotations

import difflib
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from collect.run import Price
from core.errors import HerdError
from core.record import Record, Scalar
from core.yaml_file import load_yaml_file
from experiments.engines import APIS, ENGINES
from experiments.engines.base import EACH, EACH_ROOT, ON_AXIS, Axis, Endpoint
from experiments.engines.common import model_spec
from experiments.planning.axes import COMMON_AXES, PLACE_AXES, axis_problems

_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")
_PATH = re.compile(r"[!-~]*")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
SET_BY_US = ("model", "messages", "max_tokens", "max_completion_tokens", "stream", "n")
"""What a system must not set in a request: answers would be other ones than reckoned with."""
UNTOLD = "unknown"
"""The type of the weights of an API."""


def _address(url: str) -> str:
    """An address to which a key may be sent; a message about it does not repeat it."""
    place = urlsplit(url)
    if place.username or place.password or place.query or place.fragment:
        raise PydanticCustomError(
            "hidden",
            "the address must have no user, password, query or fragment: a key belongs in "
            "`key_env`",
        )
    if place.scheme not in ("https", "http") or not _can_be_reached(place):
        raise PydanticCustomError("address", "write it like https://api.openai.com/v1")
    return url.rstrip("/")


def _can_be_reached(place: SplitResult) -> bool:
    """Whether a server's name, port and path can be those of one."""
    try:
        host = (place.hostname or "").encode("idna").decode()
        port = place.port
    except ValueError:
        return False
    return bool(_HOST.fullmatch(host) and _PATH.fullmatch(place.path)) and port != 0


def _variable(name: str) -> str:
    """The name of an environment variable; what is none may be a key and is not shown."""
    if not (name.isascii() and name.isidentifier() and name.isupper()):
        raise PydanticCustomError(
            "hidden",
            "it must be the NAME of an environment variable in capitals, such as OPENAI_API_KEY, "
            "never the key",
        )
    return name


class System(Record):
    """One system.

    Attributes:
        about: for readers.
        engine: that runs it; `openai` for an API.
        model: in the catalogue, or as the API calls it.
        nodes: how many it runs on; an API needs none.
        weights: type of the weights.
        axes: the engine's own axes, a value each.
        url: of an API, up to `/v1`.
        key_env: name of the environment variable that holds its key; None if it takes none.
        token_limit: what it calls the most tokens of an answer.
        extra: more fields of a request, or other values for `temperature` and `seed`.
        price: what it costs.
    """

    about: str = ""
    engine: str
    model: Annotated[str, Field(min_length=1)]
    nodes: Annotated[int, Field(ge=1)] | None = None
    weights: str | None = None
    axes: dict[str, Scalar] = Field(default_factory=dict)
    url: Annotated[str, AfterValidator(_address)] | None = None
    key_env: Annotated[str, AfterValidator(_variable)] | None = None
    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"  # noqa: S105 - none
    extra: dict[str, Scalar] = Field(default_factory=dict)
    price: Price | None = None

    @model_validator(mode="after")
    def _fits_its_engine(self) -> Self:
        problem = self._api_problem() if self.engine in APIS else self._node_problem()
        if problem:
            raise ValueError(problem)
        return self

    def _api_problem(self) -> str | None:
        if self.url is None:
            return "an API needs a `url`"
        if self.nodes is not None or self.weights is not None or self.axes:
            return "an API has no nodes, weights or axes"
        place = urlsplit(self.url)
        if place.scheme == "http" and self.key_env and place.hostname not in LOOPBACK:
            return "http exposes the key to the network: use https"
        ours = [name for name in self.extra if name in SET_BY_US or name.startswith("stream")]
        return f"`extra` must not set {ours[0]}" if ours else None

    def _node_problem(self) -> str | None:
        if self.url or self.key_env or self.extra or self.price:
            apis = " or ".join(APIS)
            return (
                f"`url`, `key_env`, `extra` and `price` are only for an API: its engine is {apis}"
            )
        own = {axis.name for axis in (*COMMON_AXES, *PLACE_AXES, *_own_axes(self.engine))}
        strange = [name for name in self.axes if name not in own]
        if strange:
            return f"{self.engine} has no axis {strange[0]}"
        if self.axes.get(ON_AXIS.name) in (EACH, EACH_ROOT):
            return (
                f"a system is one cell, and `on: {self.axes[ON_AXIS.name]}` are several: name nodes"
            )
        # A fine-tuned model may be there later: `Systems.get` asks for it.
        values = {name: (value,) for name, value in self.params().items() if name != "model"}
        return " ".join(problem for _, problem in axis_problems(values)) or None

    def params(self) -> dict[str, Scalar]:
        """The axes that the system fixes."""
        if self.engine in APIS:
            fixed: dict[str, Scalar] = {"nodes": 0, "weights": UNTOLD, "workers": "fresh"}
        else:
            given = {"nodes": self.nodes, "weights": self.weights}
            fixed = {name: value for name, value in given.items() if value is not None}
        return {"engine": self.engine, "model": self.model, **fixed, **self.axes}

    def endpoint(self) -> Endpoint | None:
        """Where its API is; None for one on nodes."""
        if self.url is None:
            return None
        return Endpoint(self.url, self.key_env, self.token_limit, self.extra, self.price)


def _require_model(name: str, model: str) -> None:
    try:
        model_spec(model)
    except HerdError as error:
        raise HerdError(f"The system {name} runs {model}. {error}") from None


def _own_axes(engine: str) -> tuple[Axis, ...]:
    return ENGINES[engine].axes if engine in ENGINES else ()


class Systems(Record):
    """The file."""

    systems: dict[Annotated[str, Field(pattern=r"^[\w.-]{1,40}$")], System]

    def get(self, name: str) -> System:
        """The system of that name.

        Raises:
            HerdError: there is none, or its model cannot be used.
        """
        if name in self.systems:
            system = self.systems[name]
            if system.engine not in APIS:
                _require_model(name, system.model)
            return system
        near = difflib.get_close_matches(name, self.systems, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise HerdError(
            f"Unknown system {name}. {hint}The known systems are {', '.join(self.systems)}; add "
            "others to experiments/systems.yml."
        )


@cache
def load_systems(path: Path) -> Systems:
    """Read a file of systems.

    Raises:
        HerdError: no such file, not YAML, or a mistake in it; with file and line.
    """
    return load_yaml_file(path, Systems, "the file of systems")
