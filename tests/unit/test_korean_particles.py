"""A particle follows what stands before it as a Korean reads that aloud."""

from __future__ import annotations

import pytest

from core.language.filling import filled
from core.language.particles import with_particles

TABLE = """
서버|은(는)|는
노드|을(를)|를
셀|은(는)|은
셀|(으)로|로
토큰|이(가)|이
시행|(으)로|으로
노드 8대|은(는)|는
시도 3회|이(가)|가
질문 5개|와(과)|와
0|이(가)|이
1|은(는)|은
1|(으)로|로
2|은(는)|는
3|을(를)|을
3|(으)로|으로
4|이(가)|가
5|와(과)|와
6|과(와)|과
7|(으)로|로
8|은(는)|은
8|이(가)|이
8|을(를)|을
8|(으)로|로
9|은(는)|는
10|은(는)|은
10|(으)로|으로
12|을(를)|를
16|이(가)|이
100|은(는)|은
128|은(는)|은
1000|을(를)|을
1 000|은(는)|은
10000|이(가)|이
100000000|이(가)|이
1000000000000|이(가)|가
0.5|은(는)|는
2.0|은(는)|은
3.14|을(를)|를
pi1|은(는)|은
pi1|(으)로|로
pi2|은(는)|는
pi3|이(가)|이
pi8|을(를)|을
pi10|와(과)|과
node-4|이(가)|가
llama.cpp|은(는)|는
llama.cpp|(으)로|로
distributed-llama|은(는)|는
Petals|이(가)|가
petals|을(를)|를
GPU|은(는)|는
CPU|(으)로|로
API|을(를)|를
RAM|은(는)|은
LLM|이(가)|이
NVML|(으)로|로
URL|을(를)|을
SSH|와(과)|와
HTTP|은(는)|는
Q4_0|은(는)|은
Q8_0|(으)로|으로
q40|이(가)|이
q80|은(는)|은
f32|은(는)|는
f16|을(를)|을
kv16|이(가)|이
stories15m|은(는)|은
qwen3-0.6b|은(는)|는
Llama-3.2-1B|을(를)|를
Mistral-7B-v0.3|이(가)|이
tinyllama-1.1b|은(는)|는
Raspberry Pi 5|은(는)|는
Raspberry Pi|와(과)|와
desktop|은(는)|은
laptop|이(가)|이
desk|을(를)|를
server|은(는)|는
worker|이(가)|가
router|(으)로|로
token|은(는)|은
model|을(를)|을
model|(으)로|로
table|이(가)|이
web|은(는)|은
link|은(는)|는
root|을(를)|를
controller|은(는)|는
chatgpt|은(는)|는
Claude|이(가)|가
MacBook|을(를)|을
Linux|은(는)|는
5 ms|은(는)|는
1.5 s|을(를)|를
3 %|은(는)|는
3 %|(으)로|로
±3 %|이(가)|가
8 GB|은(는)|는
512 MiB|을(를)|를
12.3 tokens/s|은(는)|는
100 Mbit/s|(으)로|로
4.2 J|은(는)|은
4.2 J|(으)로|로
5 W|이(가)|가
60 °C|은(는)|는
1.84 (1.80-1.88)|은(는)|는
12.3 (11.8-12.9)|을(를)|을
stories15m (f32)|은(는)|은
llama.cpp (net-turbo off)|이(가)|가
(GPU)|은(는)|는
"pi1"|은(는)|은
“서울”|(으)로|로
「부산」|(으)로|으로
`fab plan`|은(는)|은
root.log|을(를)|를
report.md|은(는)|는
사과|(이)며|며
책|(이)며|이며
"""
CASES = [tuple(line.split("|")) for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize(("word", "mark", "right"), CASES)
def test_the_particle_is_the_one_that_a_korean_says(word: str, mark: str, right: str) -> None:
    assert with_particles(word, mark) == right


def test_the_table_is_long() -> None:
    assert len(CASES) >= 80
    assert len(set(CASES)) == len(CASES)


@pytest.mark.parametrize("unread", ["", "\N{EN DASH}", "→", "中", "?"])
def test_what_has_no_reading_keeps_both_forms(unread: str) -> None:
    assert with_particles(unread, "은(는) 빠릅니다") == "은(는) 빠릅니다"


def test_particles_of_a_template_are_chosen_and_those_of_values_are_not() -> None:
    places = {"a": "pi1", "b": "을(를)", "c": 8}
    assert filled("{a}은(는) {b} {c}(으)로", places, str) == "pi1은 을(를) 8로"


def test_a_particle_may_follow_words_behind_a_place() -> None:
    assert filled("{n}대을(를), {n}개은(는)", {"n": 2}, str) == "2대를, 2개는"


def test_formats_of_places_are_kept() -> None:
    told = filled("{x:.2f}은(는) {y!r}", {"x": 1.239, "y": "a"}, lambda value: value)
    assert told == "1.24는 'a'"


def test_a_number_that_is_text_already_stays_as_it_is() -> None:
    assert filled("{x:.2f}은(는) {y:g}", {"x": "1.2", "y": "3"}, lambda value: value) == "1.2는 3"
