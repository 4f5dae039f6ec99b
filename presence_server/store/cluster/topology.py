"""Which node of a cluster has which slot, as far as known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from presence_server.address import Node
from presence_server.store.slots import SLOTS


class Topology:
    """The owner of each slot.

    Args:
        seeds: nodes to ask first.

    Attributes:
        version: rises with each change.
    """

    def __init__(self, seeds: Iterable[Node]) -> None:
        self._seeds = tuple(seeds)
        self._owners: list[Node | None] = [None] * SLOTS
        self._known: tuple[Node, ...] = ()
        self.version = 0

    def owner(self, slot: int) -> Node | None:
        """The node that has a slot; None while nobody is known to."""
        return self._owners[slot]

    def owners(self) -> set[Node]:
        """All nodes that have slots."""
        return {node for node in self._owners if node is not None}

    def slots_of(self, node: Node) -> Sequence[int]:
        """The slots that a node has."""
        return [slot for slot, owner in enumerate(self._owners) if owner == node]

    def candidates(self) -> list[Node]:
        """The nodes to ask about the topology: those known, replicas included, then the seeds."""
        return list(dict.fromkeys((*self._known, *self._seeds)))

    def moved(self, slot: int, node: Node) -> None:
        """A node has said that another one has this slot."""
        if self._owners[slot] != node:
            self._owners[slot] = node
            self.version += 1

    def take(self, ranges: Sequence[Any], told_by: Node) -> None:
        """Take over what a node answered to CLUSTER SLOTS.

        Args:
            ranges: for each range: first slot, last slot, then the master and its replicas: host, port, id, more.
            told_by: who answered; a node that does not know its own address gives an empty host.
        """
        owners: list[Node | None] = [None] * SLOTS
        known: dict[Node, None] = {}
        for first, last, *nodes in ranges:
            members = [_node(node, told_by) for node in nodes]
            known.update(dict.fromkeys(members))
            owners[first : last + 1] = [members[0]] * (last + 1 - first)
        if owners != self._owners:
            self._owners = owners
            self.version += 1
        self._known = tuple(known)


def _node(raw: Sequence[Any], told_by: Node) -> Node:
    host = raw[0].decode() if raw[0] else ""
    return Node(host if host not in ("", "?") else told_by.host, int(raw[1]))
