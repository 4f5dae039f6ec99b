"""The pulse: who is pinged, who is cut off and why, with time as an argument."""

from __future__ import annotations

import asyncio
import math

import pytest

from presence_server.core.connection import HELLO_TIMEOUT_S
from presence_server.live import pulse as pulse_module
from presence_server.live.connection import STUCK_S, Connection
from presence_server.live.pulse import STANDSTILL_S, Pulse
from tests.live.room import Clock, until

INTERVAL_S = 20.0
TIMEOUT_S = 15.0


class Line:
    """A socket that counts what it is asked for."""

    def __init__(self) -> None:
        self.pings = 0
        self.left = 1_000_000
        self.confirms = False

    def write(self, frame: bytes) -> None:
        raise AssertionError("Expected nothing to be sent")

    def ping(self) -> None:
        self.pings += 1

    def close(self, code: int, reason: str = "") -> None:
        raise AssertionError("Expected the pulse to leave the end to others")

    def pending(self) -> int:
        return self.left

    def taken(self) -> int:
        return -self.left

    def silent_s(self) -> float:
        return 0.0 if self.confirms else math.inf

    abort = pause_reading = resume_reading = ping


class Beating:
    """A pulse, a clock that is told, and who was ended.

    Attributes:
        now_s: the clock.
        ended: the close code and when, by connection.
    """

    def __init__(self, interval_s: float = INTERVAL_S, timeout_s: float = TIMEOUT_S) -> None:
        self.pulse = Pulse(interval_s, timeout_s, self._end)
        self.start_s = self.now_s = asyncio.get_running_loop().time()
        self.ended: dict[Connection, tuple[int, float]] = {}
        self.lines: dict[Connection, Line] = {}

    def add(self, *, opened: bool = True, expires_in_s: float = math.inf) -> Connection:
        line = Line()
        connection = Connection(f"c{len(self.lines)}", line, self.now_s)
        self.lines[connection] = line
        self.pulse.add(connection, self.now_s)
        if opened:
            connection.opened(())
            self.renew(connection, expires_in_s)
        return connection

    def renew(self, connection: Connection, expires_in_s: float) -> None:
        connection.expires_s = self.now_s + expires_in_s
        self.pulse.opened(connection, self.now_s)

    def live(self, seconds: float, *answering: Connection, step_s: float = 0.25) -> None:
        """Let time go on; those who are answering send something after every beat."""
        for _ in range(round(seconds / step_s)):
            self.now_s += step_s
            self.pulse.beat(self.now_s)
            for connection in answering:
                connection.heard_s = self.now_s

    def codes(self) -> dict[Connection, int]:
        return {connection: code for connection, (code, _) in self.ended.items()}

    def ended_after_s(self, connection: Connection) -> float:
        return self.ended[connection][1] - self.start_s

    def _end(self, connection: Connection, code: int, reason: str) -> None:
        assert connection not in self.ended
        assert reason
        self.ended[connection] = (code, self.now_s)
        connection.closed()
        self.pulse.discard(connection)


async def test_each_is_pinged_once_an_interval_and_stays_while_it_answers() -> None:
    beating = Beating()
    connections = [beating.add() for _ in range(100)]
    beating.live(3 * INTERVAL_S, *connections)
    assert {line.pings for line in beating.lines.values()} == {3}
    assert beating.ended == {}


async def test_who_does_not_answer_is_cut_off_after_the_timeout() -> None:
    """Pinged within an interval, given the timeout, not cut off before."""
    beating = Beating()
    silent, lively = beating.add(), beating.add()
    beating.live(INTERVAL_S + TIMEOUT_S + 0.5, lively)
    assert beating.codes() == {silent: 1011}
    assert beating.ended_after_s(silent) >= TIMEOUT_S


async def test_an_answer_at_the_last_moment_counts() -> None:
    beating = Beating()
    connection = beating.add()
    while not beating.lines[connection].pings:
        beating.live(0.25)
    beating.live(TIMEOUT_S - 0.5)
    connection.heard_s = beating.now_s
    beating.live(0.5)
    assert beating.ended == {}


@pytest.mark.parametrize(("interval_s", "timeout_s"), [(1.0, 10.0), (10.0, 1.0), (0.5, 0.5)])
async def test_interval_and_timeout_are_independent(interval_s: float, timeout_s: float) -> None:
    """Pinged again before the first answer is due: the second ping must not move the first one's deadline."""
    beating = Beating(interval_s, timeout_s)
    silent, late = beating.add(), beating.add()
    step_s = 0.1
    for step in range(round((interval_s + timeout_s) * 3 / step_s)):
        beating.live(step_s, step_s=step_s)
        # It answers, but always takes half of the time it has.
        late.heard_s = max(late.heard_s, beating.now_s - timeout_s / 2)
        if step % 50 == 0:
            await asyncio.sleep(0)
    assert beating.codes() == {silent: 1011}
    assert beating.ended_after_s(silent) <= interval_s + timeout_s + 1.0


async def test_no_hello_in_time_is_4002() -> None:
    beating = Beating()
    stranger, guest = beating.add(opened=False), beating.add(opened=False)
    beating.live(HELLO_TIMEOUT_S - 0.5, stranger, guest)
    guest.opened(())
    guest.expires_s = math.inf
    beating.live(1.0, stranger, guest)
    assert beating.codes() == {stranger: 4002}
    assert beating.ended_after_s(stranger) >= HELLO_TIMEOUT_S


async def test_what_came_instead_of_a_hello_puts_nothing_off() -> None:
    """A message that waits for its turn when the time is over may be the hello; once it is not, the time is over."""
    beating = Beating()
    stranger = beating.add(opened=False)
    stranger.greeted = True
    beating.live(HELLO_TIMEOUT_S + 0.5, stranger)
    assert beating.codes() == {}
    stranger.greeted = False
    beating.live(1.0, stranger)
    assert beating.codes() == {stranger: 4002}


@pytest.mark.parametrize("expires_in_s", [-5.0, 0.0, 0.6, 10.0, 21.0, 25.0, 100.3])
async def test_a_token_that_expires_is_4004_and_not_before(expires_in_s: float) -> None:
    beating = Beating()
    connection, other = beating.add(expires_in_s=expires_in_s), beating.add()
    beating.live(max(0.0, expires_in_s) + 1.0, connection, other)
    assert beating.codes() == {connection: 4004}
    assert expires_in_s <= beating.ended_after_s(connection) <= max(0.0, expires_in_s) + 0.5


async def test_a_token_that_was_renewed_in_time_goes_on() -> None:
    beating = Beating()
    connection = beating.add(expires_in_s=10.0)
    for _ in range(5):
        beating.live(9.0, connection)
        beating.renew(connection, 10.0)
    assert beating.ended == {}
    beating.live(10.5, connection)
    assert beating.codes() == {connection: 4004}


async def test_stuck_for_ten_seconds_is_4003() -> None:
    beating = Beating()
    stuck, slow = beating.add(), beating.add()
    for connection in (stuck, slow):
        connection.paused(beating.now_s)
        beating.pulse.blocked(connection)
    beating.live(STUCK_S - 0.5, stuck, slow)
    assert slow.resumed()
    beating.pulse.unblocked(slow)
    beating.live(1.0, stuck, slow)
    assert beating.codes() == {stuck: 4003}
    assert beating.ended_after_s(stuck) >= STUCK_S


async def test_who_takes_something_is_served_however_slowly() -> None:
    beating = Beating()
    slow = beating.add()
    slow.paused(beating.now_s)
    beating.pulse.blocked(slow)
    for _ in range(30):
        beating.live(STUCK_S - 1.0, slow)
        # A ping of two bytes waits as well, and is no reason to think that nothing was taken.
        beating.lines[slow].left += 2 - 1_400
    assert beating.ended == {}
    taken_s = beating.now_s
    beating.live(STUCK_S + 0.5, slow)
    assert beating.codes() == {slow: 4003}
    assert beating.ended[slow][1] - taken_s >= STUCK_S - 0.25


async def test_who_is_blocked_is_not_cut_off_for_a_pong_that_is_not_read() -> None:
    """Nothing is read from a slow reader, so its pongs are not either: it has its ten seconds all the same."""
    beating = Beating(interval_s=2.0, timeout_s=2.0)
    slow = beating.add()
    slow.paused(beating.now_s)
    beating.pulse.blocked(slow)
    beating.live(STUCK_S - 0.5)
    assert beating.ended == {}
    beating.live(1.0)
    assert beating.codes() == {slow: 4003}


async def test_a_ping_behind_what_is_still_to_be_taken_is_waited_for() -> None:
    """The system takes megabytes at once, so a slow line is not blocked, and its pong comes late."""
    beating = Beating()
    slow = beating.add()
    line = beating.lines[slow]
    line.confirms = True
    for _ in range(40):
        beating.live(STUCK_S - 1.0)
        line.left -= 25_000
    assert beating.ended == {}
    assert line.left == 0
    taken_s = beating.now_s
    beating.live(INTERVAL_S + TIMEOUT_S + 1.0)
    # Nothing is before the next ping any more.
    assert beating.codes() == {slow: 1011}
    assert beating.ended[slow][1] - taken_s >= TIMEOUT_S


async def test_who_takes_nothing_more_before_a_ping_is_stuck() -> None:
    beating = Beating()
    stuck = beating.add()
    beating.lines[stuck].confirms = True
    beating.live(2 * INTERVAL_S + TIMEOUT_S + STUCK_S)
    assert beating.codes() == {stuck: 4003}


async def test_of_a_line_that_is_gone_nothing_is_waited_for() -> None:
    """Nobody confirms the ping itself, which therefore counts as not taken."""
    beating = Beating()
    gone = beating.add()
    beating.live(INTERVAL_S + TIMEOUT_S + 0.5)
    assert beating.codes() == {gone: 1011}


async def test_who_is_gone_is_forgotten() -> None:
    beating = Beating()
    connection = beating.add(opened=False)
    beating.pulse.blocked(connection)
    connection.closed()
    beating.pulse.discard(connection)
    beating.live(2 * INTERVAL_S)
    assert beating.ended == {}
    assert beating.lines[connection].pings == 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pulse_module, "time", clock)
    return clock


async def test_silence_while_the_process_stood_still_is_nobodys_fault(clock: Clock) -> None:
    """Stopped, or the machine slept: what has come in meanwhile lies in the sockets and is read first."""
    beating = Beating(interval_s=0.2, timeout_s=2.0)
    connection = beating.add()
    running = asyncio.create_task(beating.pulse.run())
    await until(lambda: beating.lines[connection].pings)
    clock.ahead_s = 2.0 + STANDSTILL_S
    pings = beating.lines[connection].pings
    await until(lambda: beating.lines[connection].pings > pings)
    assert beating.ended == {}
    # From now on it has the whole timeout again, and no more.
    clock.ahead_s += STANDSTILL_S * 0.9
    await until(lambda: beating.ended)
    assert beating.codes() == {connection: 1011}
    running.cancel()
