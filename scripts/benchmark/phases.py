"""The phases of a case: what is done to one side, and the figures that come of it."""

from __future__ import annotations

import time
from typing import Final

from benchmark.crowd import percentiles
from benchmark.plan import Plan
from benchmark.results import Results
from benchmark.sides import NOTHING, Side, Window

_SETTLE_S: Final = 2.0
_US: Final = 1e6
_PROBE_S: Final = 0.05
_DENSE_PROBE_S: Final = 0.005
_MANY: Final = 50


def warm_up(side: Side) -> None:
    """Have a small crowd do a little of everything, so that nothing is done for the first time later on."""
    side.gather("warm", 50, 50)
    side.connect(200, full=True)
    side.load.order("heartbeats", per_s=1_000, seconds=0.3)
    side.load.order("changes", per_s=100, count=50)
    side.load.order("drop")
    side.await_empty()


def sign_in(side: Side, plan: Plan, results: Results, case: str) -> None:
    """Everybody signs in for the first time, and so is told to everybody; then they just are."""
    before_kb = side.resident_kb()
    window = side.measure(lambda: side.connect(plan.connects_per_s))
    count = _entered(window, side, results, case)
    _used(window, side, results, f"{case}, signing in")
    _add(results, case, "CPU per first sign-in, told to all", "µs", side, window.server_s / count * _US)
    if not side.plain:
        _add(results, case, "Valkey's CPU per first sign-in", "µs", side, window.valkey_s / count * _US)
    time.sleep(_SETTLE_S)
    results.add(case, "memory per idle socket", "KB", side.name, (side.resident_kb() - before_kb) / count, "ratio")


def reconnect(side: Side, plan: Plan, results: Results, case: str) -> None:
    """Everybody leaves and comes back without a word of where he was: token, join, and a whole snapshot."""
    _drop(side, results, case)
    side.await_empty()
    window = side.measure(lambda: side.connect(plan.connects_per_s, full=True))
    count = _entered(window, side, results, case)
    _used(window, side, results, f"{case}, connecting")
    per_connect = window.server_s / count * _US
    results.add(case, "CPU per connect: token, join, snapshot", "µs", side.name, per_connect, "ratio")
    if not side.plain:
        _add(results, case, "Valkey's CPU per connect", "µs", side, window.valkey_s / count * _US)


def heartbeats(side: Side, plan: Plan, results: Results, case: str) -> None:
    """Everybody beats."""
    per_s = plan.heartbeats_per_s
    side.await_pings_over(plan.load_s)
    window = side.measure(lambda: side.load.order("heartbeats", per_s=per_s, seconds=plan.load_s))
    sent = window.answer["sent"]
    _used(window, side, results, f"{case}, heartbeats")
    busy = window.above(side.idle)
    results.add(case, "CPU per heartbeat", "µs", side.name, busy.server / sent * _US, "ratio")
    if not side.plain:
        missing = sent - window.counted["presence_heartbeats_total"]
        results.add(case, "heartbeats not counted", "", side.name, missing, "zero")
        _add(results, case, "Redis commands sent for 1,000 heartbeats", "", side, busy.sent / sent * 1_000)


def fan_out(side: Side, plan: Plan, results: Results, case: str) -> None:
    """Many change, one after another."""
    rate = plan.changes_per_s
    count = round(rate * plan.load_s)
    side.await_pings_over(plan.load_s)
    window = side.measure(lambda: side.load.order("changes", per_s=rate, count=count), _PROBE_S)
    _changes(window, side, results, case, f"{rate:g} changes/s")


def lone(side: Side, plan: Plan, results: Results, case: str) -> None:
    """One changes now and then, with quiet in between."""
    rate = 1 / plan.lone_gap_s
    side.await_pings_over(plan.lone_changes * plan.lone_gap_s)
    window = side.measure(lambda: side.load.order("changes", per_s=rate, count=plan.lone_changes), _PROBE_S)
    _changes(window, side, results, case, "a lone change")


def idle(sides: list[Side], plan: Plan, results: Results, case: str) -> None:
    """Nothing happens, on all sides at once; what that takes is left out of what the other phases cost."""
    windows: dict[str, Window] = {}

    def rest(left: list[Side]) -> dict[str, float]:
        if left:
            windows[left[0].name] = left[0].measure(lambda: rest(left[1:]))
        else:
            time.sleep(plan.idle_s)
        return {}

    rest(sides)
    for side in sides:
        window = windows[side.name]
        idle_rates = window.rates()
        # What comes in bursts was waited for, and so is not in the other phases.
        side.idle = NOTHING if side.pings_at_once else idle_rates
        # The plain endpoint does nothing but ping, every 20 s.
        if not side.plain or plan.idle_s >= 20:
            results.add(case, "CPU of the server while all are idle", "%", side.name, idle_rates.server * 100, "ratio")
        if side.plain:
            continue
        users_s = plan.sockets * window.wall_s
        per_user = "per user and second while all are idle"
        results.add(case, f"Redis commands sent {per_user}", "", side.name, window.sent / users_s, "value")
        results.add(case, f"Redis commands run {per_user}", "", side.name, window.traffic.commands / users_s, "value")
        results.add(case, f"Redis traffic {per_user}", "bytes", side.name, window.traffic.bytes / users_s, "value")
        _add(results, case, "Valkey's CPU while all are idle", "%", side, idle_rates.valkey * 100)


def storm(side: Side, plan: Plan, results: Results, case: str) -> None:
    """All sockets break at once and come back at once, saying where their views stood."""

    def break_and_return() -> dict[str, object]:
        _drop(side, results, case)
        return side.connect(0, resume=not side.plain, full=True)

    window = side.measure(break_and_return, _DENSE_PROBE_S)
    count = _entered(window, side, results, case)
    _used(window, side, results, f"{case}, storm")
    _add(results, case, "storm: until all are back", "s", side, window.answer["wall_s"])
    results.add(case, "storm: CPU per return", "µs", side.name, window.server_s / count * _US, "ratio")
    if window.round_trips_ms:
        longest_ms = max(window.round_trips_ms)
        _add(results, case, "storm: longest wait for the event loop", "ms", side, longest_ms)
    if not side.plain:
        published = window.counted["presence_changes_published_total"]
        results.add(case, "storm: changes published", "", side.name, published, "zero")
        snapshots = window.answer["kinds"].get("snapshot", 0)
        results.add(case, "storm: returns by snapshot instead of delta", "", side.name, snapshots, "zero")


def _changes(window: Window, side: Side, results: Results, case: str, what: str) -> None:
    answer = window.answer
    _used(window, side, results, f"{case}, {what}")
    busy = window.above(side.idle)
    per_update = busy.server / answer["deliveries"] * _US
    results.add(case, f"{what}: CPU per update delivered", "µs", side.name, per_update, "ratio")
    per_change = busy.server / answer["changes"] * _US
    results.add(case, f"{what}: CPU per change", "µs", side.name, per_change, "")
    seen = answer["latency_ms"]
    for name, latency_ms in seen.items():
        # In teams of one the sampled sockets hardly ever have anything to see.
        if name != "max" and seen["max"]:
            _add(results, case, f"{what}: seen after, {name}", "ms", side, latency_ms)
    if window.round_trips_ms:
        loop_ms = percentiles([round_trip / 1000 for round_trip in window.round_trips_ms])["p99"]
        _add(results, case, f"{what}: wait for the event loop, p99", "ms", side, loop_ms)
    results.add(case, f"{what}: updates missed", "", side.name, answer["missed"], "zero")
    _add(results, case, f"{what}: updates per frame", "", side, answer["updates_per_frame"])
    if not side.plain:
        sent = busy.sent / answer["changes"]
        _add(results, case, f"{what}: Redis commands sent per change", "", side, sent)
        # A few changes cost Valkey less than what it does besides varies.
        if answer["changes"] >= _MANY:
            valkey_us = busy.valkey / answer["changes"] * _US
            _add(results, case, f"{what}: Valkey's CPU per change", "µs", side, valkey_us)


def _drop(side: Side, results: Results, case: str) -> None:
    for code, count in side.load.order("drop")["lost"].items():
        results.add(case, f"sockets lost with close code {code}", "", side.name, count, "zero")


def _entered(window: Window, side: Side, results: Results, case: str) -> int:
    results.add(case, "connects that failed", "", side.name, window.answer["failed"], "zero")
    count = sum(window.answer["kinds"].values())
    if not count:
        raise RuntimeError(f"Expected sockets to get in, got {window.answer['why']}")
    return int(count)


def _used(window: Window, side: Side, results: Results, case: str) -> None:
    parts = (window.server_s, window.valkey_s, window.generator_s)
    results.used(case, side.name, *(part / window.wall_s for part in parts))


def _add(results: Results, case: str, name: str, unit: str, side: Side, value: float) -> None:
    results.add(case, name, unit, side.name, value)
