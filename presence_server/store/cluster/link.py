"""A partition's commands: each to the node that has its slot, the index's first.

A slot that is being moved is waited for: asked in the middle of that, the new node would know half a team. So ASK is
never followed; and since the key that a script is given never exists, the old node runs none meanwhile either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis import exceptions

from presence_server.address import Node
from presence_server.store.cluster.nodes import Nodes
from presence_server.store.link import Command, Moving, OutOfReach, Refused, Unreached, is_not_now, none_refused
from presence_server.store.slots import slot_of

# The index of a partition is waited for this long while its slot is moved, since all of its teams stop with it.
_INDEX_PATIENCE_S: Final = 1.5
_AGAIN_S: Final = 0.05
# How often a command is sent on to another node before its slot counts as moving.
_REDIRECTIONS: Final = 4


class _Batch:
    """Commands, the slot of each, and their replies as they come in."""

    __slots__ = ("commands", "replies", "slots")

    def __init__(self, commands: Sequence[Command], slots: Sequence[int]) -> None:
        self.commands = commands
        self.slots = slots
        self.replies: list[Any] = [None] * len(commands)


class ClusterLink:
    """Runs the commands of one partition.

    Args:
        nodes: of the cluster.
        home: the slot of the partition's index; commands without a key go to its node, too.
        clock: a monotonic clock, seconds.
    """

    def __init__(self, nodes: Nodes, home: int, clock: Callable[[], float]) -> None:
        self._nodes = nodes
        self._home = home
        self._clock = clock

    async def execute(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands and return their replies, in order.

        Raises:
            OutOfReach: the index's node is; any of the commands may or may not have been carried out.
            Refused: one of them was not carried out.
        """
        return none_refused(await self.execute_each(commands))

    async def execute_each(self, commands: Sequence[Command]) -> list[Any]:
        """Like `execute`, but with a `Refused` in the place of the reply to each command that was not carried out.

        What concerns the index is answered before what follows from it is sent, unless one pipeline carries both.
        """
        batch = _Batch(commands, [_slot(command, self._home) for command in commands])
        places = range(len(commands))
        if self._home in batch.slots and len({self._owner(slot) for slot in batch.slots}) > 1:
            await self._run(batch, [place for place in places if batch.slots[place] == self._home])
            await self._run(batch, [place for place in places if batch.slots[place] != self._home])
        else:
            await self._run(batch, list(places))
        return batch.replies

    async def get_each(self, keys: Sequence[str]) -> list[Any]:
        """Read strings: they lie in different slots, so each takes a command of its own.

        Raises:
            OutOfReach: the index's node is.
        """
        return await self.execute_each([("GET", key) for key in keys])

    async def reset(self) -> None:
        """Find out anew which node has what."""
        await self._nodes.refresh()

    async def close(self) -> None:
        """The nodes are closed by whoever has them."""

    # --- by node ----------------------------------------------------------------------------------------------------

    async def _run(self, batch: _Batch, pending: list[int]) -> None:
        """Send until all is answered, or only what is being moved is left: of that, the index is waited for."""
        give_up_s = self._clock() + _INDEX_PATIENCE_S
        redirections = 0
        while pending := await self._round(batch, pending):
            redirections += 1
            if redirections < _REDIRECTIONS and not any(_is_moving(batch.replies[place]) for place in pending):
                continue
            for place in pending:
                if batch.slots[place] != self._home:
                    batch.replies[place] = Moving(f"its slot is being moved: {batch.replies[place]}")
            pending = [place for place in pending if batch.slots[place] == self._home]
            if not pending:
                break
            if self._clock() >= give_up_s:
                raise OutOfReach(f"the slot of the index is being moved: {batch.replies[pending[0]]}")
            await asyncio.sleep(_AGAIN_S)

    async def _round(self, batch: _Batch, places: Sequence[int]) -> list[int]:
        """Send once to the nodes that have the slots; returns what has to be sent again."""
        by_node: dict[Node | None, list[int]] = {}
        for place in places:
            by_node.setdefault(self._owner(batch.slots[place]), []).append(place)
        await asyncio.gather(*[self._ask(node, batch, asked) for node, asked in by_node.items()])
        again = [place for place in places if self._judge(batch, place)]
        troubles = [place for place in places if isinstance(batch.replies[place], Unreached)]
        if again or troubles:
            self._nodes.refresh_soon()
        home = self._owner(self._home)
        for place in troubles:
            if batch.slots[place] == self._home or self._owner(batch.slots[place]) == home:
                raise OutOfReach(str(batch.replies[place]))
        return again

    async def _ask(self, node: Node | None, batch: _Batch, places: Sequence[int]) -> None:
        try:
            if node is None:
                raise OutOfReach("nobody is known to have this slot")
            found = await self._nodes.run(node, [batch.commands[place] for place in places])
        except OutOfReach as exc:
            found = [exc] * len(places)
        for place, reply in zip(places, found, strict=True):
            batch.replies[place] = reply

    def _judge(self, batch: _Batch, place: int) -> bool:
        """Put into the place of an error what it means; tells whether the command has to be sent again."""
        reply = batch.replies[place]
        if isinstance(reply, exceptions.MovedError):
            asked = self._owner(batch.slots[place])
            # A node that does not know its own address names none.
            host = reply.host or (asked.host if asked else "")
            self._nodes.topology.moved(batch.slots[place], Node(host, reply.port))
            return True
        if _is_moving(reply):
            return True
        if isinstance(reply, OutOfReach) or is_not_now(reply):
            batch.replies[place] = Unreached(str(reply))
        elif isinstance(reply, Exception):
            batch.replies[place] = Refused(str(reply))
        return False

    def _owner(self, slot: int) -> Node | None:
        return self._nodes.topology.owner(slot)


def _slot(command: Command, home: int) -> int:
    if command[0] == "EVALSHA":
        return slot_of(command[3])
    return home if command[0] in ("PUBLISH", "INFO") else slot_of(command[1])


def _is_moving(reply: Any) -> bool:
    if isinstance(reply, exceptions.MovedError):
        return False
    return isinstance(reply, (exceptions.AskError, exceptions.TryAgainError))
