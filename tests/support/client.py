"""A WebSocket client that keeps its view as a correct browser client would, and objects to what it must not be sent."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection

from tests.support.timing import CONVERGE_S, SLACK_S, SOON_S, now_ms
from tests.support.view import Message, TeamView, Told
from tests.support.wire import Wire

T = TypeVar("T")


class Client(Wire):
    """One connection of one user; `connect` opens it."""

    def __init__(self, connection: ClientConnection, name: str) -> None:
        super().__init__(connection, name)
        self._ids = itertools.count(1)

    @classmethod
    async def connect(
        cls,
        url: str,
        token: object,
        *,
        idle_ms: object = None,
        resume: object = None,
        watch: object = None,
        replaces: object = None,
        resume_from: Client | None = None,
        origin: str | None = None,
        name: str = "client",
        **connect_options: Any,
    ) -> Client:
        """Open a connection and send hello; None leaves a field of it out.

        Args:
            resume_from: an earlier connection, whose views this one goes on with.
        """
        client = await cls.open(url, name=name, origin=origin, **connect_options)
        if resume_from is not None:
            client.views = {team: view.continued() for team, view in resume_from.views.items()}
            resume = {team: view.resume_point() for team, view in client.views.items()}
        elif isinstance(resume, Mapping):
            client.views = {team: TeamView.resuming(team, **point) for team, point in resume.items()}
        hello = {"token": token, "idle_ms": idle_ms, "resume": resume, "watch": watch, "replaces": replaces}
        await client.send("hello", **{field: value for field, value in hello.items() if value is not None})
        return client

    async def settled(self, within_s: float = 2 * SOON_S) -> Client:
        """Wait until welcome and, for each team, self and the first snapshot or delta have come; check their order."""
        welcome = await self.expect("welcome", within_s=within_s)
        teams: list[str] = welcome["teams"]
        await self._until(lambda: True if all(self._has(team) for team in teams) else None, within_s, "all teams")
        first = [message for message in self.messages if message["type"] != "feed"]
        assert first[0] is welcome, f"Expected welcome first, got {first[0]}"
        for team in teams:
            of_team = [message["type"] for message in first if message.get("team") == team]
            assert of_team[0] == "self", f"Expected self before anything else of {team}, got {of_team}"
        self.unclaimed = [m for m in self.unclaimed if m["type"] not in ("self", "snapshot", "delta")]
        return self

    @property
    def welcome(self) -> Message:
        return next(message for message in self.messages if message["type"] == "welcome")

    @property
    def id(self) -> str:
        """The connection's id, as welcome named it."""
        return str(self.welcome["connection"])

    def view(self, team: str | None = None) -> TeamView:
        """The view of `team`; of the only one, where none is named."""
        if team is None:
            assert len(self.views) == 1, f"Expected a single team to be meant, got {sorted(self.views)}"
            return next(iter(self.views.values()))
        return self.views[team]

    # What it sends

    async def beat(self, idle_ms: int = 0) -> None:
        await self.send("heartbeat", idle_ms=idle_ms)

    async def request(self, type_: str, **fields: object) -> Message:
        """Send a message with an id of its own and return the ack or error that answers it."""
        number = next(self._ids)
        await self.send(type_, id=number, **fields)
        return await self.answer(number)

    async def answer(self, number: object, *, within_s: float = SOON_S) -> Message:
        """The ack or error with that id."""

        def found() -> Message | None:
            return self._claim(lambda m: m["type"] in ("ack", "error") and m.get("id") == number)

        return await self._until(found, within_s, f"the answer to {number}")

    async def choose(self, status: str, team: str | None = None) -> None:
        """Choose a status and wait for the ack."""
        fields = {"status": status} if team is None else {"status": status, "team": team}
        answer = await self.request("set_status", **fields)
        assert answer["type"] == "ack", f"Expected ack of {fields}, got {answer}"

    async def fails(self, code: str, type_: str, **fields: object) -> Message:
        """Send a message that must be answered by the error `code`."""
        answer = await self.request(type_, **fields)
        assert (answer["type"], answer.get("code")) == ("error", code), f"Expected error {code}, got {answer}"
        assert isinstance(answer.get("message"), str), f"Expected an error to say what is wrong, got {answer}"
        return answer

    @contextlib.asynccontextmanager
    async def typing(self, every_s: float = 0.3) -> AsyncIterator[None]:
        """While this lasts there is human input, told as a correct client tells it."""

        async def beat_on() -> None:
            while True:
                await self.beat(0)
                await asyncio.sleep(every_s)

        task = asyncio.create_task(beat_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def logout(self) -> int:
        """Sign the session out; returns the close code."""
        await self.send("logout")
        return await self.closed()

    # What it awaits

    async def sees(
        self,
        user: str,
        status: str,
        *,
        reason: str | None = None,
        team: str | None = None,
        within_s: float = SOON_S,
    ) -> Told:
        """Wait until the view shows `user` as `status`; returns the message's word on him, with its time of arrival."""

        def found() -> Told | None:
            view = self.view(team)
            told = view.known.get(user)
            shown = view.complete and view.status_of(user) == status
            if not shown:
                return None
            if told is None or told.status != status:
                # Offline by absence from a snapshot.
                told = Told(user, "offline", None, None, view.version, now_ms(), "snapshot")
            return told if reason is None or told.reason == reason else None

        return await self._until(found, within_s, f"{user} {status}" + (f" ({reason})" if reason else ""))

    async def sees_all(self, statuses: Mapping[str, str], team: str | None = None, within_s: float = SOON_S) -> None:
        """Wait until the view is exactly `statuses`."""

        def found() -> bool | None:
            view = self.view(team)
            return True if view.complete and view.statuses() == dict(statuses) else None

        await self._until(found, within_s, f"exactly {dict(statuses)}")

    async def sees_soon(self, user: str, status: str, **options: Any) -> Told:
        """As `sees`, within the second in which rule 9 promises every view to be right."""
        return await self.sees(user, status, within_s=CONVERGE_S + SLACK_S, **options)

    async def expect(self, type_: str, *, within_s: float = SOON_S, **fields: object) -> Message:
        """Wait for a message with these fields, each message counting for one `expect` only."""

        def matches(message: Message) -> bool:
            return message["type"] == type_ and all(message.get(name) == value for name, value in fields.items())

        return await self._until(lambda: self._claim(matches), within_s, f"{type_} {fields or ''}")

    async def expect_any(self, *types: str) -> Message:
        """Wait for a message of one of these types."""
        return await self._until(lambda: self._claim(lambda m: m["type"] in types), SOON_S, " or ".join(types))

    async def closed(self, *codes: int, within_s: float = SOON_S) -> int:
        """Wait until the connection is closed, with one of `codes` where any are named; returns the code."""
        try:
            async with asyncio.timeout(within_s):
                await asyncio.shield(self.reader)
        except TimeoutError:
            raise AssertionError(f"Expected {self} to be closed within {within_s} s{self.situation()}") from None
        assert self.close_code is not None
        if codes:
            assert self.close_code in codes, f"Expected close code {codes}, got {self.close_code}{self.situation()}"
        return self.close_code

    async def quiet_for(self, seconds: float, *, about: str | None = None, team: str | None = None) -> None:
        """Read on for `seconds` and find that no status changes, of `about` where one is named."""
        before = len(self.messages)
        told_before = {name: len(view.told) for name, view in self.views.items()}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.shield(self.reader)
                raise AssertionError(f"Expected {self} to stay open, got {self.close_code}{self.situation()}")
        self.check()
        views = self.views.items() if team is None else [(team, self.views[team])]
        told = [each for name, view in views for each in view.told[told_before.get(name, 0) :]]
        told = [each for each in told if about in (None, each.user)]
        assert not told, f"Expected nothing to be told for {seconds} s, got {told}"
        if about is None:
            news = [m for m in self.messages[before:] if m["type"] in ("snapshot", "delta")]
            assert not news, f"Expected no message for {seconds} s, got {news}"

    def never_saw(self, user: str, *statuses: str, team: str | None = None) -> None:
        """Over all that this connection was told, `user` was never in one of `statuses`."""
        self.check()
        seen = [each for each in self.view(team).told if each.user == user and each.status in statuses]
        assert not seen, f"Expected {user} never to be told {statuses}, got {seen}"

    def _has(self, team: str) -> bool:
        view = self.views.get(team)
        return view is not None and view.complete and view.chosen is not None

    def _claim(self, matches: Callable[[Message], bool]) -> Message | None:
        for position, message in enumerate(self.unclaimed):
            if matches(message):
                return self.unclaimed.pop(position)
        return None

    async def _until(self, found: Callable[[], T | None], within_s: float, what: str) -> T:
        try:
            async with asyncio.timeout(within_s):
                while True:
                    self.check()
                    result = found()
                    if result is not None:
                        return result
                    if self.close_code is not None:
                        raise AssertionError(f"Expected {self} to get {what}, but it was closed{self.situation()}")
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            raise AssertionError(f"Expected {self} to get {what} within {within_s:.1f} s{self.situation()}") from None
