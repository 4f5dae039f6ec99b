"""Messages as a client might send them: any JSON, and JSON that is nearly right."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)

_NAMES = st.sampled_from(["acme", "maria", "__proto__", "", "a b", "all", "x" * 129])

_LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["hello", "heartbeat", "explain", "set_status", "watch", "renew", "logout", "bye"]),
    "id": st.integers(-(2**54), 2**54) | st.text(max_size=70),
    "token": st.sampled_from(["jwt", "", "x" * 24577]),
    "idle_ms": st.integers(-1, 2**53),
    "resume": st.dictionaries(
        _NAMES, st.fixed_dictionaries({"epoch": st.text(max_size=70), "version": st.integers(-1, 2**54)})
    ),
    "watch": st.dictionaries(_NAMES, st.just("all") | st.lists(_NAMES)),
    "replaces": _NAMES,
    "status": st.sampled_from(["online", "busy", "offline", "away"]),
    "team": _NAMES,
    "users": st.just("all") | st.lists(_NAMES),
}

MESSAGES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"type": _LIKELY["type"]},
    optional={field: likely | JSON for field, likely in _LIKELY.items() if field != "type"},
)
"""Objects with the contract's fields, each right, wrong or missing."""
