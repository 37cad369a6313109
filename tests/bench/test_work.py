"""What is sent: texts, conversations, traces, and their writing ahead of need."""

from __future__ import annotations

import asyncio
import json
import random
import time
import tracemalloc
from collections import Counter
from itertools import count, islice
from pathlib import Path
from statistics import mean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.bench.traces.mooncake import BLOCK_TOKENS
from dynamo_cli.bench.work.body import Format
from dynamo_cli.bench.work.conversation import Conversation, no_more_than
from dynamo_cli.bench.work.prompts import parts, words
from dynamo_cli.bench.work.stock import Stock, Writer
from dynamo_cli.bench.work.synthetic import Shape
from dynamo_cli.bench.work.trace import Trace
from dynamo_cli.errors import UsageError


def text(conversation: Conversation) -> str:
    return " ".join(next(conversation.turns).parts)


def prompts(shape: Shape, number: int) -> list[str]:
    return [text(shape.conversation(n)) for n in range(number)]


@given(st.integers(1, 3000), st.integers(0, 2**32))
def test_a_text_has_the_words_that_were_asked_for(length: int, seed: int) -> None:
    assert len(words(random.Random(seed), length).split()) == length
    assert len(" ".join(parts(random.Random(seed), length)).split()) == length


def test_prompts_are_unique_from_their_first_words_and_the_same_for_a_seed() -> None:
    first = prompts(Shape(isl=200, seed=1), 500)
    assert len({" ".join(prompt.split()[:8]) for prompt in first}) == 500
    assert first == prompts(Shape(isl=200, seed=1), 500)
    assert not set(first) & set(prompts(Shape(isl=200, seed=2), 500))


def test_lengths_are_spread_as_asked() -> None:
    shape = Shape(isl=100, isl_stddev=20, osl=50, osl_stddev=5)
    turns = [next(shape.conversation(number).turns) for number in range(2000)]
    isl = [len(" ".join(turn.parts).split()) for turn in turns]
    assert (mean(isl), pstdev(isl)) == (pytest.approx(100, rel=0.02), pytest.approx(20, rel=0.1))
    assert pstdev(turn.max_tokens for turn in turns) == pytest.approx(5, rel=0.1)


def test_a_length_is_never_below_1() -> None:
    assert min(len(prompt.split()) for prompt in prompts(Shape(isl=1, isl_stddev=30), 100)) == 1


def test_the_same_prompt_for_all() -> None:
    assert len(set(prompts(Shape(same=True), 20))) == 1


def test_groups_share_a_prefix_and_nothing_else() -> None:
    made = [prompt.split() for prompt in prompts(Shape(isl=10, prefix=300, groups=4), 200)]
    assert {len(prompt) for prompt in made} == {310}
    assert len({tuple(prompt[:300]) for prompt in made}) == 4
    assert len({tuple(prompt[300:]) for prompt in made}) == 200


@given(st.integers(1, 5), st.integers(1, 40))
def test_requests_are_cut_in_the_last_conversation(turns: int, requests: int) -> None:
    shape = Shape(turns=turns)
    made = list(no_more_than(requests, map(shape.conversation, count())))
    lengths = [len(list(conversation.turns)) for conversation in made]
    assert lengths == [conversation.length for conversation in made]
    assert sum(lengths) == requests
    assert set(lengths[:-1]) <= {turns}


def trace_line(timestamp: float, length: int, hash_ids: list[int], output: int = 3) -> str:
    return json.dumps({"timestamp": timestamp, "input_length": length, "output_length": output, "hash_ids": hash_ids})


def trace(directory: Path, *lines: str) -> Path:
    file = directory / "trace.jsonl"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_equal_blocks_are_equal_text_and_lengths_are_exact(tmp_path: Path) -> None:
    file = trace(tmp_path, trace_line(0, 1100, [1, 2, 3]), trace_line(500, 1030, [1, 2, 9]), trace_line(500, 700, []))
    made = [text(conversation).split() for conversation in Trace(file).conversations()]
    assert [len(prompt) for prompt in made] == [1100, 1030, 700]
    shared = 2 * BLOCK_TOKENS
    assert made[0][:shared] == made[1][:shared]
    assert made[0][shared:] != made[1][shared:]
    assert made[0][:BLOCK_TOKENS] != made[0][BLOCK_TOKENS:shared]
    again = [text(conversation).split() for conversation in Trace(file).conversations()]
    assert again == made
    assert text(next(Trace(file, seed=1).conversations())).split() != made[0]


def test_window_and_speed(tmp_path: Path) -> None:
    file = trace(tmp_path, *(trace_line(1000 * second, 5, []) for second in range(2, 10)))

    def dues(**window: float) -> list[float | None]:
        return [conversation.due_s for conversation in Trace(file, **window).conversations()]

    assert dues() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert dues(speed=4)[:3] == [0, 0.25, 0.5]
    assert dues(start_s=3.5, end_s=7) == [0.5, 1.5, 2.5]
    assert Trace(file, start_s=3.5, end_s=7).count() == 3


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "truncated"),
        ('{"timestamp": 1}', "missing required field `input_length`"),
        ('{"timestamp": 5, "input_length": "x", "output_length": 1}', r"got `str` - at `\$.input_length`"),
        (trace_line(1, 5, []), "timestamp 1 is before that of an earlier line, 3"),
        (trace_line(5, 0, []), "input_length 0 is not at least 1"),
        (trace_line(5, 512, [1, 2]), "2 hash_ids of 512 tokens are more than input_length 512"),
        (trace_line(5, 5, [], -1), "output_length -1 is negative"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, fault: str) -> None:
    file = trace(tmp_path, trace_line(3, 5, [1]), "", line)
    with pytest.raises(UsageError, match=rf"trace\.jsonl:3: .*{fault}"):
        Trace(file).count()


def writer(**more: object) -> Writer:
    return Writer(Format("m"), lambda body: body, **{"cancel_rate": 0.0, "seed": 0, **more})  # type: ignore[arg-type]


async def test_a_huge_trace_is_never_held_whole(tmp_path: Path) -> None:
    file = trace(tmp_path, *(trace_line(n, 4000, [n * 8 + k for k in range(8)]) for n in range(1200)))
    tracemalloc.start()
    stock = Stock(writer(), Trace(file).conversations())
    sent = 0
    while await stock.next():
        sent += 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sent == 1200
    assert peak < 18e6, "24 MB of text went through"


@pytest.mark.alone
async def test_writing_long_prompts_lets_others_run() -> None:
    stock = Stock(writer(), map(Shape(isl=100_000).conversation, count()))
    longest, used = 0.0, time.thread_time()
    while stock._ready.qsize() < 20:
        await asyncio.sleep(0)
        longest, used = max(longest, time.thread_time() - used), time.thread_time()
    await stock.close()
    assert longest < 0.02, "a prompt of 100,000 words takes longer"


async def test_a_fault_of_the_trace_comes_out_of_the_stock(tmp_path: Path) -> None:
    stock = Stock(writer(), Trace(trace(tmp_path, trace_line(0, 5, []), "{")).conversations())
    assert await stock.next()
    with pytest.raises(UsageError, match="jsonl:2"):
        await stock.next()


async def test_a_stock_that_is_full_can_be_closed() -> None:
    stock = Stock(writer(), map(Shape().conversation, count()))
    await stock.filled()
    await asyncio.wait_for(stock.close(), 1)


async def test_the_share_of_requests_to_cancel() -> None:
    stock = Stock(writer(cancel_rate=0.3), map(Shape(osl=20).conversation, range(1000)))
    after = [prepared.cancel_after for _ in range(1000) if (prepared := await stock.next())]
    assert len([n for n in after if n]) == pytest.approx(300, rel=0.15)
    assert set(after) == set(range(21))


async def test_a_later_turn_carries_the_answers() -> None:
    conversation = Shape(turns=3).conversation(0)
    scribe = writer()
    sent = []
    for number in range(3):
        prepared = await scribe.write(conversation)
        assert prepared is not None
        assert prepared.turn == number
        sent.append(json.loads(prepared.data)["messages"])
        conversation.hear(f"answer {number}")
    assert await scribe.write(conversation) is None
    assert [message["role"] for message in sent[2]] == ["user", "assistant", "user", "assistant", "user"]
    assert sent[2][:3] == [*sent[1][:2], sent[1][2]]
    assert [message["content"] for message in sent[2][1::2]] == ["answer 0", "answer 1"]


def test_a_body_and_the_users_own_fields() -> None:
    form = Format("m", ignore_eos=True, ask_worker=True, extra={"temperature": 0.5, "max_tokens": 9})
    body = json.loads(form.body([{"role": "user", "content": "x"}], 5))
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "max_tokens": 9,
        "stream": True,
        "stream_options": {"include_usage": True},
        "ignore_eos": True,
        "nvext": {"extra_fields": ["worker_id"]},
        "temperature": 0.5,
    }
    plain = json.loads(Format("m", stream=False).body([], 5))
    assert plain == {"model": "m", "messages": [], "max_tokens": 5, "stream": False}


def test_groups_are_used_about_equally() -> None:
    shape = Shape(isl=1, prefix=3, groups=3)
    used = Counter(" ".join(prompt.split()[:3]) for prompt in islice(prompts(shape, 600), 600))
    assert min(used.values()) > 120
