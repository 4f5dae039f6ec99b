"""Who there is: users with their browsers, and the transcripts of all their connections."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from reliability.oracle.bounds import Bounds
from reliability.oracle.record import Transcript
from tests.support.timing import now_ms


@dataclass(slots=True)
class Session:
    """A browser's sign-in, shared by its tabs.

    Attributes:
        browser: tells it from the others; with how often it signed in, the token's `sid`.
        over: it has signed out; opening a tab signs in anew.
    """

    user: str
    teams: tuple[str, ...]
    browser: str
    over: bool = False
    _count: int = 0

    @property
    def id(self) -> str:
        return f"{self.browser}-{self._count}"

    def renew_if_over(self) -> None:
        """Sign in anew after having signed out."""
        if self.over:
            self._count, self.over = self._count + 1, False


@dataclass(slots=True)
class People:
    """What all tabs share.

    Attributes:
        url: the balancer's WebSocket address.
        lines: by the client's port, to be told which worker has it.
    """

    url: str
    bounds: Bounds
    transcripts: list[Transcript] = field(default_factory=list)
    lines: dict[int, Transcript] = field(default_factory=dict)

    def transcript(self, session: Session, before: Transcript | None) -> Transcript:
        """Begin the transcript of a connection; `before` is the tab's connection before, if it had one."""
        each = Transcript(
            number=len(self.transcripts),
            user=session.user,
            session=session.id,
            teams=session.teams,
            opened=now_ms(),
            resumes=None if before is None else before.number,
        )
        self.transcripts.append(each)
        return each


def place(transcripts: Iterable[Transcript]) -> None:
    """Say of each connection which worker it was on, as the balancer said of most that the same process welcomed.

    It says nothing of those that it was not asked about in time, and of a port that is used again sometimes what was.
    """
    of_process: defaultdict[str, list[Transcript]] = defaultdict(list)
    for each in transcripts:
        if each.welcome is not None:
            process, _, _ = each.welcome.message["connection"].partition("-")
            of_process[process].append(each)
    for connections in of_process.values():
        said = Counter(each.worker for each in connections if each.worker)
        for each in connections if said else ():
            each.worker = said.most_common(1)[0][0]
