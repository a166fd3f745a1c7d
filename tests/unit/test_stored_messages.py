"""Messages that runs have stored are Korean on Korean pages; the words of others are quoted."""

from __future__ import annotations

import pytest

from analysis.text.sentence import reported, translated
from collect.parsers import dllama_failures, llama_cpp
from core.language.catalogue import catalogue_of
from core.language.choice import speaking

OWN = {
    "pi3: it swapped 400 KiB": "pi3: 400 KiB를 스왑했습니다",
    "the worker on pi3 was killed because memory ran out (oom-kill)": (
        "pi3의 워커가 메모리 부족으로 강제 종료되었습니다(oom-kill)"
    ),
    "the root on pi1 ended with status 1 before its first line of output": (
        "pi1의 루트가 상태 1로 끝났습니다(첫 줄을 출력하기 전)"
    ),
    "pi3 does not answer while the root was running": "pi3이 응답하지 않습니다(루트가 실행되던 중)",
    "pi8 has 64 MiB of memory free but would need about 82 MiB: axis gpu_layers says how much of "
    "it the GPU gets": (
        "pi8의 여유 메모리는 64 MiB인데 약 82 MiB가 필요합니다: GPU가 맡을 양은 축 gpu_layers로 "
        "정합니다"
    ),
    "the GPU of pc cannot be used: vulkan shows no GPU with the number 1": (
        "pc의 GPU를 쓸 수 없습니다: vulkan에 1번 GPU가 보이지 않습니다"
    ),
}
WITH_WORDS_OF_OTHERS = {
    "Something odd: it happened": "“Something odd: it happened”",
    "root on pi1: Error: something odd": "pi1의 루트: “Error: something odd”",
    "the root on pi1 said: could not find tensor blk.0": (
        "pi1의 루트 메시지: “could not find tensor blk.0”"
    ),
    "the root on pi1 ended with status 1 and said: Cannot take 5 GB (not enough memory)": (
        "pi1의 루트가 상태 1로 끝났습니다. 메시지: “Cannot take 5 GB” (메모리 부족)"
    ),
    "the worker on pi2 did not start: Unit x.service has a bad setting.": (
        "pi2의 워커가 시작되지 않았습니다: “Unit x.service has a bad setting.”"
    ),
}


@pytest.mark.parametrize(("stored", "korean"), (OWN | WITH_WORDS_OF_OTHERS).items())
def test_a_stored_message_in_korean(stored: str, korean: str) -> None:
    with speaking("ko"):
        assert translated(reported(stored)) == korean
    assert translated(reported(stored)) == stored


def test_what_an_engine_says_has_a_meaning_in_korean() -> None:
    known = catalogue_of("ko")
    meanings = [meaning for _, meaning in dllama_failures._MEANINGS]
    assert [one for one in meanings if known.of(one) is None] == []
    causes = [cause.replace("\\1", "7") for _, cause in llama_cpp._CAUSES if cause != "\\1"]
    assert [one for one in causes if not (known.of(one) or known.recognised(one))] == []
