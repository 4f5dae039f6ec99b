"""Real-time presence over WebSocket: who of a team is online, busy or offline."""

from __future__ import annotations

__version__ = "0.1.0"
