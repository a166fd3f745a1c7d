"""A model whose blocks a swarm has: loading the client's part, and decoding step by step."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, cast

from herd_petals import compat, identity, timing
from herd_petals.prompts import DEEP, PROMPTS, Prompts, PromptsError

WHOLE_S = 60.0
"""How long servers may take to be seen by the client after they said that they serve."""
LOOK_S = 0.25
REQUEST_S = 120.0
"""A server that does not answer a step for so long is lost."""


class SwarmError(Exception):
    """Why the swarm did not do what was asked, one sentence."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of every program that asks a swarm."""
    parser.add_argument("--model", required=True)
    parser.add_argument("--swarm", required=True)
    parser.add_argument("--first", required=True)
    parser.add_argument("--threads", type=int, required=True)


def swarm_of(given: argparse.Namespace, prompts: Prompts | None = None) -> Swarm:
    """The client's side of the swarm that was named so."""
    return Swarm(given.model, given.swarm, given.first, given.threads, prompts)


@dataclass
class Step:
    """Tokens that went through the chain of servers together.

    Attributes:
        token: the one chosen to follow them.
        total_ms: embedding, chain, logits, and the choice of the token.
        chain_ms: of the chain of servers.
        servers_ms: server's name to how long the client waited for its answer.
        computing_ms: server's name to how long it worked on it by its own clock. It may be longer
            than the waiting: a server hands on to the next what the client hands on, too.
    """

    token: int
    total_ms: float
    chain_ms: float
    servers_ms: dict[str, float]
    computing_ms: dict[str, float]


class Swarm:
    """The client's side of a private swarm.

    Args:
        model: folder of the model.
        name: of the swarm (prefix of its keys).
        first: `address:port` of the first peer.
        threads: of the client's own computing.
        prompts: trained positions before every text; None for the model as it is.

    Raises:
        PromptsError: the prompts are of another model.
    """

    def __init__(
        self, model: str, name: str, first: str, threads: int, prompts: Prompts | None = None
    ) -> None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        compat.prepare()
        import torch  # noqa: PLC0415 - only after the number of threads is set
        from petals import AutoDistributedModelForCausalLM  # noqa: PLC0415
        from transformers import AutoTokenizer  # noqa: PLC0415

        compat.close_sessions_only_on_purpose()
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self._torch = torch
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self._model = AutoDistributedModelForCausalLM.from_pretrained(
            model,
            initial_peers=[identity.peer_multiaddress(first)],
            dht_prefix=name,
            torch_dtype=torch.float32,
            use_chunked_forward=False,
            show_route=False,
            max_retries=1,
            request_timeout=REQUEST_S,
            **({"tuning_mode": prompts.method, "pre_seq_len": prompts.count} if prompts else {}),
        )
        self._before = prompts.count if prompts else 0
        if prompts is not None and prompts.tensors:
            self.put_prompts(prompts.tensors)
        self._manager = self._model.transformer.h.sequence_manager
        self._chain_ms = 0.0
        self._servers_ms: dict[str, float] = {}
        self._computing_ms: dict[str, float] = {}
        self._time_sessions()

    @property
    def context(self) -> int:
        """Tokens that the model has room for, after its prompts."""
        return int(self._model.config.max_position_embeddings) - self._before

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end a text."""
        ends = self._model.generation_config.eos_token_id
        return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])

    def await_whole(self) -> list[tuple[str, int, int]]:
        """Wait until every block has a server.

        Returns:
            Each server's name, its first block and the one after its last.

        Raises:
            SwarmError: some blocks have none.
        """
        from petals.data_structures import ServerState  # noqa: PLC0415
        from petals.utils.dht import get_remote_module_infos  # noqa: PLC0415

        uids = list(self._manager.block_uids)
        until = time.monotonic() + WHOLE_S
        while True:
            infos = get_remote_module_infos(self._manager.dht, uids, latest=True)
            servers = [
                [s for s in info.servers.values() if s.state == ServerState.ONLINE] if info else []
                for info in infos
            ]
            lacking = [str(block) for block, having in enumerate(servers) if not having]
            if not lacking:
                break
            if time.monotonic() > until:
                raise SwarmError(f"no server has the blocks {', '.join(lacking)}")
            time.sleep(LOOK_S)
        spans = {(s.public_name, s.start_block, s.end_block) for row in servers for s in row}
        return sorted(spans, key=lambda span: span[1])

    def session(self, tokens: int) -> AbstractContextManager[Any]:
        """What must be open while `step` is called: a text with room for so many tokens."""
        longest = tokens + self._before
        return cast(
            "AbstractContextManager[Any]", self._model.inference_session(max_length=longest)
        )

    def step(self, ids: Sequence[int], choose: Callable[[Any], int]) -> Step:
        """Send tokens through the chain, after those sent before in the open session.

        Args:
            ids: the tokens.
            choose: picks a token by the logits after the last of them.

        Raises:
            SwarmError: a server did not answer.
        """
        self._servers_ms.clear()
        self._computing_ms.clear()
        begun = time.perf_counter()
        token = choose(self._logits(ids)[-1])
        total_ms = (time.perf_counter() - begun) * 1000
        return Step(
            token, total_ms, self._chain_ms, dict(self._servers_ms), dict(self._computing_ms)
        )

    def sampler(self, temperature: float, seed: int) -> Callable[[Any], int]:
        """What picks a token: the likeliest at temperature 0, else by chance."""
        if temperature == 0:
            return lambda logits: int(logits.argmax())
        chance = self._torch.Generator().manual_seed(seed)

        def choose(logits: Any) -> int:  # noqa: ANN401 - torch has no types here
            weights = (logits / temperature).softmax(-1)
            return int(self._torch.multinomial(weights, 1, generator=chance))

        return choose

    def log_probabilities(self, ids: Sequence[int]) -> list[float]:
        """Natural logarithm of each token's probability after those before it; not the first's.

        Raises:
            SwarmError: a server did not answer.
        """
        with self.session(len(ids)):
            logits = self._logits(ids[:-1]).double().log_softmax(-1)
        return [float(row[token]) for row, token in zip(logits, ids[1:], strict=True)]

    def prompts(self) -> dict[str, Any]:
        """The prompts by name, as what a step of training changes."""
        inner = self._model.transformer
        there = {PROMPTS: inner.prompt_embeddings.weight}
        if hasattr(inner, "intermediate_prompt_embeddings"):
            there[DEEP] = inner.intermediate_prompt_embeddings.weight
        return {name: tensor.requires_grad_() for name, tensor in there.items()}

    def put_prompts(self, tensors: Mapping[str, Any]) -> None:
        """Read texts with these prompts from now on; what is not named is zero.

        Raises:
            PromptsError: they have other sizes than this model's.
        """
        for name, tensor in self.prompts().items():
            given = tensors.get(name)
            if given is None:
                tensor.zero_()
            elif given.shape != tensor.shape:
                raise PromptsError(
                    f"the prompts are of another model: {name} is {tuple(given.shape)}, and this "
                    f"one has {tuple(tensor.shape)}"
                )
            else:
                tensor.copy_(given)

    def embedded(self, ids: Sequence[int]) -> dict[str, Any]:
        """The model's own vectors of tokens, as prompts."""
        return {PROMPTS: self._model.transformer.word_embeddings(self._torch.tensor(list(ids)))}

    def read(self, ids: Any) -> Any:  # noqa: ANN401 - torch has no types here
        """The logits after each token of a batch, (texts, tokens, pieces).

        Raises:
            SwarmError: a server did not answer.
        """
        with _answered():
            return self._model(input_ids=ids).logits

    def learn(self, loss: Any) -> None:  # noqa: ANN401 - likewise
        """Compute how the prompts change a loss.

        Raises:
            SwarmError: a server did not answer.
        """
        with _answered():
            loss.backward()

    def _logits(self, ids: Sequence[int]) -> Any:  # noqa: ANN401 - torch has no types here
        return self._model(input_ids=self._torch.tensor([list(ids)])).logits[0]

    def _time_sessions(self) -> None:
        """Make Petals' sessions, of the chain and of one server, report their times."""
        from petals.client import inference_session as upstream  # noqa: PLC0415

        server_step = upstream._ServerInferenceSession.step  # noqa: SLF001
        chain_step = upstream.InferenceSession.step

        def timed_server(session: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            begun = time.perf_counter()
            try:
                return server_step(session, *args, **kwargs)
            except Exception as error:
                span = session.span
                raise SwarmError(
                    f"the server {span.server_info.public_name}, which has the blocks "
                    f"{span.start} to {span.end - 1}, did not answer ({_words(error)})"
                ) from error
            finally:
                self._servers_ms[_name(session)] = (time.perf_counter() - begun) * 1000

        def timed_chain(session: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            begun = time.perf_counter()
            try:
                return chain_step(session, *args, **kwargs)
            finally:
                self._chain_ms = (time.perf_counter() - begun) * 1000

        def heard(session: object, computing_ms: float) -> None:
            self._computing_ms[_name(session)] = computing_ms

        timing.hear_times(heard)
        upstream._ServerInferenceSession.step = timed_server  # noqa: SLF001
        upstream.InferenceSession.step = timed_chain


@contextmanager
def _answered() -> Iterator[None]:
    """Say in one sentence that the chain of servers broke."""
    try:
        yield
    except Exception as error:
        raise SwarmError(f"a server of the swarm did not answer ({_words(error)})") from error


def _name(session: Any) -> str:  # noqa: ANN401 - upstream's session with one server
    return str(session.span.server_info.public_name)


def _words(error: Exception) -> str:
    """What an exception says, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200].rstrip(": ")
