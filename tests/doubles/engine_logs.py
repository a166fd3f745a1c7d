"""Logs as the engines print them, rebuilt from figures; checked against recorded ones.

Formats: distributed-llama `src/dllama.cpp` and `src/llm.cpp` at v0.16.4 (era E) and
`src/tasks.cpp` at v0.3.1 (era A); llama.cpp `tools/llama-bench` and `tools/perplexity` at 0.7.0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One forward pass of distributed-llama, in the microseconds and bytes that it counts."""

    compute_us: int
    sync_us: int
    sent_bytes: int = 0
    received_bytes: int = 0
    tokens: int = 1
    text: bytes = b" tok"


def dllama_root(
    prefill: Sequence[Step],
    decode: Sequence[Step],
    *,
    nodes: int = 1,
    memory_mb: int = 82,
    worker_addresses: Sequence[str] = (),
    prompt: bytes = b"Hello world",
) -> bytes:
    """Standard output of `dllama inference` of era E that ended well."""
    ending = b"\nEvaluation\n   nBatches: 32\n" + _rate(prefill)
    ending += b"Prediction\n" + _rate(decode)
    return b"".join(
        [
            dllama_start(nodes, memory_mb, worker_addresses),
            prompt + b"\n",
            *(f"🔷️ Eval{_figures(step)} | ({step.tokens} tokens)\n".encode() for step in prefill),
            *(f"🔶 Pred{_figures(step)} | ".encode() + step.text + b"\n" for step in decode),
            ending,
            "⭕ Network is closed\n".encode() if nodes > 1 else b"",
        ]
    )


def dllama_start(nodes: int, memory_mb: int, worker_addresses: Sequence[str] = ()) -> bytes:
    """What the root prints before its first token."""
    shape = (
        "📄 AddBos: 1\n📄 BosId: 4091 (<|begin_of_text|>)\n"
        "📄 EosId: 4092 (<|end_of_text|>) 4095 (<|eot_id|>) \n"
        "📄 RegularVocabSize: 4091\n📄 SpecialVocabSize: 5\n"
        "💡 Arch: Llama\n💡 HiddenAct: Silu\n💡 Dim: 1024\n💡 HeadDim: 64\n💡 QDim: 1024\n"
        "💡 KvDim: 512\n💡 HiddenDim: 2816\n💡 VocabSize: 4096\n💡 nLayers: 8\n💡 nHeads: 16\n"
        "💡 nKvHeads: 8\n💡 OrigSeqLen: 512\n💡 SeqLen: 256\n💡 NormEpsilon: 0.000010\n"
        "💡 RopeType: Llama\n💡 RopeTheta: 10000\n"
        f"📀 RequiredMemory: {memory_mb} MB\n"
    )
    addresses = worker_addresses or [f"10.77.0.{11 + index}:9990" for index in range(1, nodes)]
    for index, address in enumerate(addresses):
        shape += f"⭕ Socket[{index}]: connecting to {address} worker\n"
        shape += f"⭕ Socket[{index}]: connected\n"
    if nodes > 1:
        shape += "⭕ Network is initialized\n"
    shape += "🧠 CPU: avx2 avx512f\n💿 Loading weights...\n💿 Weights loaded\n"
    return (shape + ("🚁 Network is in non-blocking mode\n" if nodes > 1 else "")).encode()


def _figures(step: Step) -> str:
    return (
        f"{step.compute_us // 1000:5d} ms Sync{step.sync_us // 1000:5d} ms | "
        f"Sent{step.sent_bytes // 1024:6d} kB Recv{step.received_bytes // 1024:6d} kB"
    )


def _rate(steps: Sequence[Step]) -> bytes:
    tokens = sum(step.tokens for step in steps)
    total_ms = sum(step.compute_us + step.sync_us for step in steps) / 1000
    if not tokens or not total_ms:
        return f"    nTokens: {tokens}\n   tokens/s: -nan (-nan ms/tok)\n".encode()
    rate = f"{tokens * 1000 / total_ms:3.2f} ({total_ms / tokens:3.2f} ms/tok)"
    return f"    nTokens: {tokens}\n   tokens/s: {rate}\n".encode()


def dllama_worker(index: int, nodes: int, address: str = "10.77.0.12:9990") -> bytes:
    """Standard output of a worker of era E after one trial; `index` counts workers from 0."""
    return (
        f"Listening on {address}...\n⭕ The root node has connected\n⭕ nNodes: {nodes - 2}\n"
        f"⭕ NodeIndex: {index}\n⭕ Socket[0]: accepted root node\n⭕ Network is initialized\n"
        "📀 RequiredMemory: 33 MB\n🧠 CPU: avx2 avx512f\n💿 Weights loaded\n"
        "🚁 Network is in non-blocking mode\n🛑 Stop signal\n⭕ Network is closed\n"
        f"Listening on {address}...\n"
    ).encode()


def dllama_perplexity(perplexity: float, tokens: int, *, nodes: int = 1) -> bytes:
    """Standard output of `dllama perplexity` of era E that ended well."""
    out = dllama_start(nodes, 82).decode() + f"Evaluating {tokens} tokens...\n"
    for index in range(1, tokens):
        out += f"{index:5d} / {tokens - 1}, prob={1 / perplexity:f}\n"
    out += f"\nResults\n   perplexity: {perplexity:f} (lower = better)\n"
    nats = math.log(perplexity)
    out += f"   avgLogProb: {-nats:f}\n   bitPerToken: {nats / math.log(2):f}\n"
    return (out + ("⭕ Network is closed\n" if nodes > 1 else "")).encode()


def dllama_era_a(steps: Sequence[tuple[int, int, int]], *, model: str = "llama2") -> bytes:
    """Standard output of `main inference` of era A: (generation, inference, transfer) in ms."""
    out = f"💡 arch: {model}\n💡 dim: 4096\n💡 nLayers: 32\n💡 nSlices: 2\n"
    for generation_ms, inference_ms, transfer_ms in steps:
        out += (
            f"🔶 G {generation_ms:4d} ms I {inference_ms:4d} ms T {transfer_ms:4d} ms "
            f"S {590:6d} kB R {522:6d} kB  tok\n"
        )
    count = len(steps)
    means = [sum(step[column] for step in steps) / count for column in range(3)]
    out += f"Generated tokens:    {count}\nAvg generation time: {means[0]:.2f} ms\n"
    return (
        out + f"Avg inference time:  {means[1]:.2f} ms\nAvg transfer time:   {means[2]:.2f} ms\n"
    ).encode()


def llama_bench(
    prompt_tokens: int, prompt_ns: int, generate_tokens: int, generate_ns: int
) -> bytes:
    """Standard output of `llama-bench -r 1 -o jsonl` that ended well."""
    lines = []
    for n_prompt, n_gen, took_ns in (
        (prompt_tokens, 0, prompt_ns),
        (0, generate_tokens, generate_ns),
    ):
        rate = round((n_prompt + n_gen) * 1e9 / took_ns, 6)
        lines.append(
            json.dumps(
                {
                    "build_commit": "Debian",
                    "build_number": 11669,
                    "cpu_info": "AMD EPYC",
                    "gpu_info": "10.77.0.11:50052",
                    "backends": "RPC",
                    "model_filename": "model.gguf",
                    "model_type": "llama ?B Q4_0",
                    "model_size": 38026240,
                    "model_n_params": 60039680,
                    "n_threads": 1,
                    "n_gpu_layers": 99,
                    "split_mode": "layer",
                    "n_prompt": n_prompt,
                    "n_gen": n_gen,
                    "n_depth": 0,
                    "test_time": "2026-11-23T02:30:56Z",
                    "avg_ns": took_ns,
                    "stddev_ns": 0,
                    "avg_ts": rate,
                    "stddev_ts": 0.0,
                    "samples_ns": [took_ns],
                    "samples_ts": [rate],
                }
            )
        )
    return ("\n".join(lines) + "\n").encode()


def llama_perplexity(perplexity: float) -> bytes:
    """Standard output of `llama-perplexity` that ended well."""
    return (
        f"[1]{perplexity:.4f},[2]{perplexity:.4f},\n"
        f"0.01.600.597 I Final estimate: PPL = {perplexity:.4f} +/- {perplexity / 40:.5f}\n\n"
    ).encode()
