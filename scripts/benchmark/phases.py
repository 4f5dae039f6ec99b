"""The phases of a scene: what is done to each side, and the figures that come of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from benchmark.crowd import Crowd, Entered
from benchmark.results import Results, Sheet, percentile
from benchmark.sides import Cost, Side, Window

if TYPE_CHECKING:
    from benchmark.cases import Scene

T = TypeVar("T")
Phase = Callable[[list[Side], "Scene", Results], None]
"""Works through all sides."""

_US: Final = 1e6
_SETTLE_S: Final = 2.0
_PROBE_S: Final = 0.005
# In this time a person at work lets his browser beat once.
_BEAT_S: Final = 25.0
_PING_S: Final = 20.0
# A few changes cost Valkey less than what it does besides varies.
_MANY: Final = 50


def in_turn(phase: Callable[[Side, Scene, Sheet], None]) -> Phase:
    """Make a phase of what is done to one side after the other."""

    def through(sides: list[Side], scene: Scene, results: Results) -> None:
        for side in sides:
            phase(side, scene, Sheet(results, scene.title, side.name))

    return through


def warm_up(side: Side) -> None:
    """Have a small crowd do a little of everything, so that nothing is done for the first time later on."""
    side.gather("warm", 50, 50)
    side.crowd.call(Crowd.connect, 200, full=True)
    side.crowd.call(Crowd.beat, 1_000, 0.3)
    side.crowd.call(Crowd.change, 100, 50)
    side.crowd.call(Crowd.drop)
    side.await_empty()


def nobody(sides: list[Side], scene: Scene, results: Results) -> None:
    """Nobody is there: what the server and Valkey take for themselves, which is in all that idle people cost."""
    for side, window in _at_once(sides, lambda _: time.sleep(scene.idle_s)):
        sheet = Sheet(results, scene.title, side.name)
        sheet.add("CPU of the server with nobody there", window.cost.server / window.wall_s * 100, "%", "info")
        sheet.add("Valkey's CPU with nobody there", window.cost.valkey / window.wall_s * 100, "%", "info")


@in_turn
def sign_in(side: Side, scene: Scene, sheet: Sheet) -> None:
    """Everybody signs in for the first time, and so is told to everybody; then they just are."""
    side.gather("team", scene.sockets, scene.team_size or scene.sockets, scene.watched)
    before_kb, before_bytes = side.resident_kb(), side.stored_bytes()
    window = side.measure(lambda: side.crowd.call(Crowd.connect, scene.connects_per_s))
    count = _entered("signing in", window, sheet)
    sheet.add("CPU per first sign-in, told to all", window.cost.server / count * _US, "µs", "info")
    time.sleep(_SETTLE_S)
    sheet.add("memory per idle socket", (side.resident_kb() - before_kb) / count, "KB")
    if side.valkey:
        sheet.add("Valkey's CPU per first sign-in", window.cost.valkey / count * _US, "µs")
        sheet.add("bytes in Redis per user", (side.stored_bytes() - before_bytes) / count)


@in_turn
def reconnect(side: Side, scene: Scene, sheet: Sheet) -> None:
    """Everybody leaves and comes back without a word of where he was: token, join, and a whole snapshot."""
    _drop(side, sheet)
    side.await_empty()
    window = side.measure(lambda: side.crowd.call(Crowd.connect, scene.connects_per_s, full=True))
    count = _entered("connecting", window, sheet)
    sheet.add("CPU per connect: token, join, snapshot", window.cost.server / count * _US, "µs")
    if side.valkey:
        sheet.add("Valkey's CPU per connect", window.cost.valkey / count * _US, "µs")


def rest(sides: list[Side], scene: Scene, results: Results) -> None:
    """Nothing happens, on all sides at once; what that takes is left out of what the later phases cost."""
    for side, window in _at_once(sides, lambda _: time.sleep(scene.idle_s)):
        # The plain endpoint does nothing but ping, every 20 s: those who came quickly all at once, which is mostly
        # not in the other phases.
        if not side.plain or scene.sockets / scene.connects_per_s > _PING_S / 2:
            side.idle = Cost(*(total / window.wall_s for total in window.cost))
        if not side.plain or scene.idle_s >= _PING_S:
            _per_user("while all are idle", side, window, scene, results)


def work(sides: list[Side], scene: Scene, results: Results) -> None:
    """Everybody is at work and says so every 25 s, on all sides at once."""
    rate = scene.sockets / _BEAT_S
    for side, window in _at_once(sides, lambda side: side.crowd.call(Crowd.beat, rate, scene.work_s)):
        _per_user("while all beat every 25 s", side, window, scene, results)


@in_turn
def heartbeats(side: Side, scene: Scene, sheet: Sheet) -> None:
    """Everybody beats."""
    window = side.measure(lambda: side.crowd.call(Crowd.beat, scene.heartbeats_per_s, scene.load_s))
    _used("heartbeats", window, sheet)
    sent, busy = window.answer, window.cost.less(side.idle, window.wall_s)
    sheet.add("CPU per heartbeat", busy.server / sent * _US, "µs")
    if side.valkey:
        sheet.add("heartbeats not counted", sent - window.cost.heartbeats, kind="zero")
        sheet.add("Redis commands sent for 1,000 heartbeats", busy.sent / sent * 1_000)


@in_turn
def changes(side: Side, scene: Scene, sheet: Sheet) -> None:
    """Many change, one after another."""
    for _ in range(scene.repeats):
        _change(f"{scene.changes_per_s:g} changes/s", side, scene.changes_per_s, scene.load_s, sheet)


@in_turn
def lone_changes(side: Side, scene: Scene, sheet: Sheet) -> None:
    """One changes now and then, with quiet in between."""
    _change("a lone change", side, 1 / scene.lone_gap_s, scene.lone_changes * scene.lone_gap_s, sheet)


@in_turn
def storm(side: Side, scene: Scene, sheet: Sheet) -> None:
    """All sockets break at once and come back at once, saying where their views stood."""

    def break_and_return() -> Entered:
        _drop(side, sheet)
        return side.crowd.call(Crowd.connect, resume=not side.plain, full=True)

    window = side.measure(break_and_return, _PROBE_S)
    count = _entered("storm", window, sheet)
    sheet.add("storm: until all are back", window.answer.wall_s, "s")
    sheet.add("storm: CPU per return", window.cost.server / count * _US, "µs")
    sheet.add("storm: longest wait for the event loop", percentile(window.round_trips_ms, 1), "ms", "info")
    if side.valkey:
        sheet.add("storm: changes published", window.cost.published, kind="zero")
        sheet.add("storm: returns by snapshot instead of delta", window.answer.snapshots, kind="zero")


def _at_once(sides: list[Side], work: Callable[[Side], T]) -> list[tuple[Side, Window[T]]]:
    with ThreadPoolExecutor(len(sides)) as pool:
        return list(zip(sides, pool.map(lambda side: side.measure(lambda: work(side)), sides), strict=True))


def _per_user(when: str, side: Side, window: Window[Any], scene: Scene, results: Results) -> None:
    sheet, cost = Sheet(results, scene.title, side.name), window.cost
    users_s = scene.sockets * window.wall_s
    sheet.add(f"CPU of the server {when}", cost.server / window.wall_s * 100, "%")
    sheet.add(f"CPU of the server per user and second {when}", cost.server / users_s * _US, "µs", "info")
    if side.valkey:
        sheet.add(f"Valkey's CPU {when}", cost.valkey / window.wall_s * 100, "%")
        sheet.add(f"Valkey's CPU per user and second {when}", cost.valkey / users_s * _US, "µs", "info")
        sheet.add(f"Redis commands sent per user and second {when}", cost.sent / users_s)
        sheet.add(f"Redis commands run per user and second {when}", cost.run / users_s)


def _change(what: str, side: Side, per_s: float, seconds: float, sheet: Sheet) -> None:
    window = side.measure(lambda: side.crowd.call(Crowd.change, per_s, round(per_s * seconds)))
    _used(what, window, sheet)
    seen, busy = window.answer, window.cost.less(side.idle, window.wall_s)
    sheet.add(f"{what}: CPU per update delivered", busy.server / seen.deliveries * _US, "µs")
    sheet.add(f"{what}: CPU per change", busy.server / seen.changes * _US, "µs", "info")
    # In teams of one the sampled sockets hardly ever have anything to see.
    for part in (50, 99) if seen.latencies_ms else ():
        sheet.add(f"{what}: seen after, p{part}", percentile(seen.latencies_ms, part / 100), "ms", "info")
    sheet.add(f"{what}: updates missed", seen.missed, kind="zero")
    if side.valkey:
        sheet.add(f"{what}: Redis commands sent per change", busy.sent / seen.changes)
        if seen.changes >= _MANY:
            sheet.add(f"{what}: Valkey's CPU per change", busy.valkey / seen.changes * _US, "µs")


def _drop(side: Side, sheet: Sheet) -> None:
    for code, count in side.crowd.call(Crowd.drop).items():
        sheet.add(f"sockets lost with close code {code}", count, kind="zero")


def _entered(what: str, window: Window[Entered], sheet: Sheet) -> int:
    entered = window.answer
    _used(what, window, sheet)
    sheet.add("connects that failed", len(entered.failures), kind="zero")
    if not entered.snapshots + entered.deltas:
        raise RuntimeError(f"Expected sockets to get in, got {entered.failures[:1]}")
    return entered.snapshots + entered.deltas


def _used(what: str, window: Window[Any], sheet: Sheet) -> None:
    """Note what parts of a core were used: the load generator's tells whether it was the bottleneck."""
    for name in ("server", "valkey", "generator"):
        sheet.add(f"{what}: part of a core used, {name}", getattr(window.cost, name) / window.wall_s * 100, "%", "info")
