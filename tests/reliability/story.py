"""A record as a run leaves it, made by hand: two people in a team, all as it should be, to be doctored."""

from __future__ import annotations

from reliability.oracle.bounds import Bounds
from reliability.oracle.record import End, Record, Said, Transcript
from reliability.oracle.spans import Span

BOUNDS = Bounds()
TEAM = "acme"
IDLE = 8_000
# When it began, milliseconds since the epoch.
START = 1_800_000_000_000


class Story:
    """Juan works, Maria looks; instants in milliseconds from the start.

    Args:
        lasts: how long.
    """

    def __init__(self, lasts: int = 30_000) -> None:
        self.record = Record(BOUNDS, Span(START, START + lasts), {TEAM: IDLE})
        self._version = 0
        self._shown: dict[str, tuple[str, int, str]] = {}

    def connect(self, user: str, at: int, session: str = "s1", before: Transcript | None = None) -> Transcript:
        """He says hello and is welcome, has a first view, and is at work."""
        number = len(self.record.transcripts)
        resumes = None if before is None else before.number
        each = Transcript(number, user, session, (TEAM,), START + at, resumes, worker="worker1")
        self.record.transcripts.append(each)
        self.say(each, at, type="hello", idle_ms=0)
        self.hear(each, at + 10, type="welcome")
        self.hear(each, at + 10, type="self", team=TEAM, chosen="online", idle_timeout_ms=IDLE)
        self.hear(each, at + 10, type="snapshot", team=TEAM, **self._state())
        return each

    def say(self, each: Transcript, at: int, **message: object) -> None:
        each.sent.append(Said(START + at, message))

    def hear(self, each: Transcript, at: int, **message: object) -> None:
        each.received.append(Said(START + at, message))

    def work(self, each: Transcript, start: int, end: int) -> None:
        """Beat every second, and be answered."""
        for number, at in enumerate(range(start, end, 1_000)):
            self.say(each, at, type="heartbeat", idle_ms=0, id=f"{start}-{number}")
            self.hear(each, at + 5, type="ack", id=f"{start}-{number}")

    def choose(self, each: Transcript, at: int, status: str) -> None:
        """Choose, and be told so."""
        self.say(each, at, type="set_status", status=status, id=f"choice-{at}")
        self.hear(each, at + 5, type="ack", id=f"choice-{at}")

    def change(self, user: str, at: int, status: str, reason: str, *to: Transcript) -> None:
        """Somebody's status changes, and these are told."""
        self._version += 1
        self._shown[user] = (status, START + at, reason)
        for each in to:
            self.hear(
                each, at + 20, type="delta", team=TEAM, epoch="e1", version=self._version, users=self._users(user)
            )

    def end(self, each: Transcript, at: int, how: End) -> None:
        each.end, each.ended = how, START + at

    def _state(self) -> dict[str, object]:
        users = [user for user, (status, _, _) in self._shown.items() if status != "offline"]
        return {"epoch": "e1", "version": self._version, "users": self._users(*users)}

    def _users(self, *users: str) -> dict[str, object]:
        return {user: dict(zip(("status", "since", "reason"), self._shown[user], strict=True)) for user in users}


def day(*, juan_leaves: bool = True) -> tuple[Story, Transcript, Transcript]:
    """Maria is there and works; Juan comes, chooses busy, and leaves at 12 s, to be offline when the grace is over."""
    story = Story()
    maria = story.connect("maria", -1_000)
    story.change("maria", -995, "online", "signed_in", maria)
    story.work(maria, 0, 30_000)
    juan = story.connect("juan", 1_000)
    story.change("juan", 1_005, "online", "signed_in", maria, juan)
    story.work(juan, 2_000, 12_000)
    story.choose(juan, 6_000, "busy")
    story.change("juan", 6_003, "busy", "chosen", maria, juan)
    story.hear(juan, 6_004, type="self", team=TEAM, chosen="busy", idle_timeout_ms=IDLE)
    if juan_leaves:
        story.end(juan, 12_000, End.LEFT)
        story.change("juan", 15_200, "offline", "disconnected", maria)
    for each in (maria, juan):
        each.sent.sort(key=_when)
        each.received.sort(key=_when)
    return story, maria, juan


def _when(said: Said) -> int:
    return said.at
