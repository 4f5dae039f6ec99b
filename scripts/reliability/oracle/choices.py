"""What somebody may have chosen last: his choices as writes to a register that anybody may read at any time."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import NamedTuple

from reliability.oracle.delays import Delays
from reliability.oracle.record import Record, Transcript
from reliability.oracle.spans import FOREVER, Span, union


class Choice(NamedTuple):
    """One choice, carried out at some instant from `asked` to `done`; or perhaps never, if it is not `certain`."""

    asked: int
    done: int
    status: str
    certain: bool


class Choices:
    """Works out which choice may be in force."""

    def __init__(self, record: Record, delays: Delays) -> None:
        self._bounds, self._delays = record.bounds, delays
        self._of: defaultdict[tuple[str, str], list[Choice]] = defaultdict(list)
        for each in record.transcripts:
            self._take(each)
        self.chosen = cache(self._chosen)

    def _chosen(self, user: str, team: str, status: str, *, lossy: bool = True) -> list[Span]:
        """When `status` may be what he has chosen.

        Args:
            lossy: allow for what faults destroy by their nature.
        """
        made = [self._weakened(each) if lossy else each for each in self._of[user, team]]
        # Who never chose is online.
        made.append(Choice(-FOREVER, -FOREVER, "online", True))
        spans = []
        for each in made:
            if each.status == status:
                after = [other.done for other in made if other.certain and other.asked >= each.done and other != each]
                spans.append(Span(each.asked, min(after, default=FOREVER)))
        if lossy and status == "online":
            # A worker that has just begun knows of nothing that was there before.
            spans += (Span(end, recovered) for _, end, recovered in self._delays.wiped())
        return union(spans)

    def _take(self, each: Transcript) -> None:
        answers = each.answers()
        for said in each.of_type("set_status"):
            answer = answers.get(said.message["id"])
            if answer is None:
                # It is not known when, or whether, its worker took it up.
                done, certain = self._delays.late(said.at, each.worker) + self._bounds.unavailable, False
            elif answer.message["type"] == "ack":
                done, certain = answer.at, True
            elif answer.message["code"] == "unavailable":
                done, certain = answer.at + self._bounds.transit, False
            else:
                continue
            for team in each.teams if said.message.get("team") is None else [said.message["team"]]:
                self._of[each.user, team].append(Choice(said.at, done, said.message["status"], certain))

    def _weakened(self, choice: Choice) -> Choice:
        for start, _, recovered in self._delays.losses():
            # Its answer may have been read long after it was given.
            if choice.certain and start <= choice.done and choice.asked < recovered:
                return choice._replace(done=max(choice.done, recovered), certain=False)
        return choice
