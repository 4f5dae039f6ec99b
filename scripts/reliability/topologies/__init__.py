"""The ways in which Redis may be set up, by name."""

from __future__ import annotations

from typing import Final

from reliability.topologies.cluster import Shards
from reliability.topologies.sentinel import Sentinels
from reliability.topologies.single import Single
from reliability.topologies.topology import Topology

TOPOLOGIES: Final[dict[str, type[Topology]]] = {"single": Single, "sentinel": Sentinels, "cluster": Shards}
