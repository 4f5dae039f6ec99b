"""The client's decisions: when to beat, to come back, to give up, to renew (presence-policy.js)."""

from __future__ import annotations

import base64
import json
import random
from itertools import pairwise
from typing import Any

import pytest
from playwright.async_api import Page

from tests.support.tokens import mint

pytestmark = pytest.mark.asyncio(loop_scope="session")

HELLO_LIMIT = 32 * 1024


async def call(page: Page, body: str, argument: object = None) -> Any:
    """Run `body` with the module as `policy` and the argument as `given`."""
    return await page.evaluate(
        "async (given) => { const policy = await import('/static/presence-policy.js'); " + body + " }", argument
    )


# --- coming back ------------------------------------------------------------------------------------------------------


async def test_backoff_has_full_jitter_and_a_cap(modules: Page) -> None:
    delays = await call(
        modules,
        "return [0, 1, 2, 4, 10, 5000].map((attempt) => [0, 0.5, 0.999999].map((dice) => "
        "policy.backoffMs(attempt, dice)));",
    )
    assert [low for low, _, _ in delays] == [0] * 6
    assert [middle for _, middle, _ in delays] == [500, 1_000, 2_000, 8_000, 15_000, 15_000]
    assert all(high < 30_000 for _, _, high in delays)


async def test_backoff_takes_other_limits(modules: Page) -> None:
    assert await call(modules, "return policy.backoffMs(3, 0.5, { baseMs: 10, capMs: 60 });") == 30


async def test_client_comes_back_after_every_close_but_4500_to_4999(modules: Page) -> None:
    retried = await call(
        modules,
        "const codes = Array.from({ length: 4000 }, (_, n) => n + 1000); "
        "return codes.filter((code) => policy.afterClose(code, true).retry);",
    )
    assert retried == list(range(1000, 4500))


@pytest.mark.parametrize(
    ("code", "token_is_fresh", "retry", "new_token", "quick", "stop_reason"),
    [
        (1006, False, True, False, False, None),
        (1013, False, True, False, False, None),
        (4001, False, True, False, True, None),
        (4002, False, True, False, False, None),
        (4004, False, True, True, True, None),
        (4004, True, True, True, False, None),
        (4005, False, True, False, False, None),
        (4501, False, True, True, True, None),
        (4501, True, False, False, False, "token_refused"),
        (4503, False, False, False, False, "not_allowed"),
        (4504, False, False, False, False, "replaced"),
        (4505, False, False, False, False, "protocol_error"),
        (4506, False, False, False, False, "signed_out"),
        (4777, False, False, False, False, "refused"),
    ],
)
async def test_what_a_close_code_means(
    modules: Page, code: int, token_is_fresh: bool, retry: bool, new_token: bool, quick: bool, stop_reason: str | None
) -> None:
    decision = await call(modules, "return policy.afterClose(...given);", [code, token_is_fresh])
    assert decision == {"retry": retry, "newToken": new_token, "quick": quick, "stopReason": stop_reason}


# --- heartbeats -------------------------------------------------------------------------------------------------------

SIMULATE = """
  const { heartbeatMs, idleTimeouts, inputs, endMs } = given;
  const schedule = new policy.HeartbeatSchedule(0);
  schedule.heartbeatMs = heartbeatMs;
  idleTimeouts.forEach((ms, index) => schedule.setIdleTimeout(`team-${index}`, ms));
  const beats = [];
  const due = [...inputs];
  for (let now = 0; now <= endMs; ) {
    const input = due[0] ?? Infinity;
    now = Math.max(now, Math.min(input, schedule.dueAt));
    if (now > endMs) break;
    if (input <= now) schedule.input(due.shift());
    if (schedule.dueAt <= now) beats.push([now, schedule.beat(now)]);
  }
  return beats;
"""


async def simulate(
    page: Page, inputs: list[int], *, heartbeat_ms: int = 25_000, idle_timeouts: list[int], end_ms: int
) -> list[tuple[float, int]]:
    given = {"heartbeatMs": heartbeat_ms, "idleTimeouts": idle_timeouts, "inputs": inputs, "endMs": end_ms}
    return [(at, idle) for at, idle in await call(page, SIMULATE, given)]


async def test_without_input_it_beats_every_heartbeat_interval(modules: Page) -> None:
    beats = await simulate(modules, [], idle_timeouts=[600_000], end_ms=80_000)
    assert beats == [(25_000, 25_000), (50_000, 50_000), (75_000, 75_000)]


async def test_with_input_it_beats_every_third_of_the_smallest_idle_timeout(modules: Page) -> None:
    inputs = list(range(1_000, 10_000, 500))
    beats = await simulate(modules, inputs, idle_timeouts=[600_000, 6_000], end_ms=9_500)
    assert [at for at, _ in beats] == [2_000, 4_000, 6_000, 8_000]
    assert all(idle <= 500 for _, idle in beats)


async def test_first_input_after_a_pause_is_told_at_once(modules: Page) -> None:
    beats = await simulate(modules, [50_200], idle_timeouts=[600_000], end_ms=60_000)
    assert beats == [(25_000, 25_000), (50_000, 50_000), (50_200, 0)]


@pytest.mark.parametrize("seed", range(20))
async def test_any_input_is_told_in_time_and_with_its_age(modules: Page, seed: int) -> None:
    dice = random.Random(seed)
    heartbeat_ms = dice.choice([5_000, 25_000])
    idle_timeouts = [dice.choice([1_000, 5_000, 60_000, 600_000]) for _ in range(dice.randint(1, 3))]
    active_ms = min(heartbeat_ms, min(idle_timeouts) / 3)
    end_ms = 200_000
    inputs, now = [], 0
    while now < end_ms:
        now += dice.choice([20, 300, 2_000, 20_000, 70_000])
        inputs.append(now)
    beats = await simulate(modules, inputs, heartbeat_ms=heartbeat_ms, idle_timeouts=idle_timeouts, end_ms=end_ms)

    for at, idle in beats:
        last_input = max(moment for moment in [0, *inputs] if moment <= at)
        assert abs(idle - (at - last_input)) <= 1, f"Expected the age of the input at {last_input}, got {idle} at {at}"
    for before, after in pairwise([0.0, *(at for at, _ in beats)]):
        assert after - before <= heartbeat_ms + 1
        if any(before < moment < after - active_ms for moment in inputs):
            assert after - before <= active_ms + 1
    for previous, moment in pairwise([0, *inputs]):
        if moment - previous >= heartbeat_ms and moment <= end_ms:
            assert (moment, 0) in beats, f"Expected the first input after a pause to be told at once, at {moment}"


async def test_a_page_that_stood_still_is_told_from_a_throttled_one(modules: Page) -> None:
    overslept = await call(
        modules,
        "const schedule = new policy.HeartbeatSchedule(0); "
        "return [25_000, 85_000, 110_000, 116_000, 3_600_000].map((now) => schedule.overslept(now));",
    )
    assert overslept == [False, False, False, True, True]


# --- the clock --------------------------------------------------------------------------------------------------------

STEPS = """
  let wall = 1_000_000, steady = 0;
  const clock = policy.createClock(() => wall, () => steady);
  return given.map(([wallStep, steadyStep]) => { wall += wallStep; steady += steadyStep; return clock(); });
"""


async def test_clock_counts_sleep_that_the_steady_clock_does_not_see(modules: Page) -> None:
    assert await call(modules, STEPS, [[500, 500], [3_600_000, 10], [100, 100]]) == [500, 3_600_500, 3_600_600]


async def test_clock_that_is_set_back_does_not_make_time_run_backwards(modules: Page) -> None:
    assert await call(modules, STEPS, [[500, 500], [-3_600_000, 700], [100, 100]]) == [500, 1_200, 1_300]


async def test_clock_that_is_corrected_by_little_is_not_followed(modules: Page) -> None:
    assert await call(modules, STEPS, [[1_030, 1_000]] * 100) == list(range(1_000, 101_000, 1_000))


# --- the hello --------------------------------------------------------------------------------------------------------

BUILD = """
  const { resume, watch, ...rest } = JSON.parse(given);
  return policy.buildHello({ ...rest, resume: new Map(Object.entries(resume)), watch: new Map(Object.entries(watch)) });
"""


async def build_hello(page: Page, **fields: Any) -> tuple[dict[str, Any], int, list[str]]:
    hello = {"token": "t", "idleMs": 0, "replaces": None, "resume": {}, "watch": {}} | fields
    result = await call(page, BUILD, json.dumps(hello))
    return json.loads(result["frame"]), len(result["frame"].encode()), result["deferred"]


async def test_hello_says_all_that_the_contract_has(modules: Page) -> None:
    hello, _, deferred = await build_hello(
        modules,
        token="abc",
        idleMs=1200,
        replaces="c9f",
        resume={"__proto__": {"epoch": "k3", "version": 812}},
        watch={"acme": ["juan", "ana"]},
    )
    assert hello == {
        "type": "hello",
        "token": "abc",
        "idle_ms": 1200,
        "replaces": "c9f",
        "resume": {"__proto__": {"epoch": "k3", "version": 812}},
        "watch": {"acme": ["juan", "ana"]},
    }
    assert deferred == []


async def test_hello_leaves_out_what_there_is_none_of(modules: Page) -> None:
    hello, _, _ = await build_hello(modules)
    assert hello == {"type": "hello", "token": "t", "idle_ms": 0}


@pytest.mark.parametrize("seed", range(10))
async def test_hello_stays_within_its_limit(modules: Page, seed: int) -> None:
    dice = random.Random(seed)

    def team() -> str:
        return "".join(dice.choices("abc+@:_", k=dice.randint(1, 128)))

    token = "t" * dice.randint(100, 8_000)
    resume = {team(): {"epoch": "k" * 22, "version": 10**9} for _ in range(dice.choice([1, 20, 100]))}
    watch = {team(): [team() for _ in range(dice.choice([1, 10, 1_000]))] for _ in range(5)}
    hello, size, deferred = await build_hello(modules, token=token, resume=resume, watch=watch)
    assert size <= HELLO_LIMIT
    assert hello["token"] == token
    assert hello.get("resume", {}).items() <= resume.items()
    assert hello.get("watch", {}) == {team: users for team, users in watch.items() if team not in deferred}


# --- tokens -----------------------------------------------------------------------------------------------------------


async def test_token_is_renewed_well_before_it_expires(modules: Page) -> None:
    delays = await call(modules, "return given.map((dice) => policy.renewDelayMs(3_600_000, dice));", [0, 0.5, 0.999])
    assert delays[0] == 2_700_000
    assert delays[1] == 2_880_000
    assert delays[2] < 3_060_000


async def test_renewal_of_a_token_for_years_fits_a_timer(modules: Page) -> None:
    assert await call(modules, "return policy.renewDelayMs(1e12, 0.5);") == 2**31 - 1
    assert await call(modules, "return policy.renewDelayMs(-5_000, 0.5);") == 0


async def test_token_is_read_without_judging_it(modules: Page) -> None:
    token = mint("maría?>~", ["acme", "_b"], exp=2_000_000_000)
    assert await call(modules, "return policy.readToken(given);", token) == {
        "expiresAtMs": 2_000_000_000_000,
        "teams": ["acme", "_b"],
    }


@pytest.mark.parametrize(
    "token", ["", "a.b.c", "not a token", "a." + base64.b64encode(b"[1]").decode() + ".c", "a.bnVsbA.c"]
)
async def test_token_that_cannot_be_read_says_nothing(modules: Page, token: str) -> None:
    assert await call(modules, "return policy.readToken(given);", token) == {"expiresAtMs": None, "teams": None}
