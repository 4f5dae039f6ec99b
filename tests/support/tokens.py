"""Tokens as a host application mints them, and as an attacker does. Apart from the server's own minting on purpose."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from typing import Any

import jwt

SECRET = "a-secret-for-tests-that-is-long-enough-for-every-hmac-there-is-0123456789"


def mint(
    user: object,
    teams: object,
    *,
    sid: object = None,
    admin: bool = False,
    ttl_s: float = 3600,
    secret: Any = SECRET,
    algorithm: str = "HS256",
    headers: dict[str, Any] | None = None,
    **claims: object,
) -> str:
    """A signed token. A claim given as None is left out, whatever it would have been otherwise."""
    payload: dict[str, object] = {"sub": user, "teams": teams, "exp": time.time() + ttl_s, "sid": sid}
    payload |= {"scope": "presence:admin" if admin else None} | claims
    payload = {name: value for name, value in payload.items() if value is not None}
    # Not jwt.encode's own type checks: a hostile `sub` may be anything.
    body = json.dumps(payload).encode()
    return jwt.PyJWS().encode(body, secret, algorithm, headers)


def unsigned(user: str, teams: Sequence[str]) -> str:
    """A token with ``alg: none`` and an empty signature."""
    return _encoded({"alg": "none", "typ": "JWT"}, {"sub": user, "teams": list(teams), "exp": time.time() + 3600}) + "."


def confused(user: str, teams: Sequence[str], public_key: bytes, key_id: str) -> str:
    """A token whose HMAC secret is the issuer's public key, which everyone knows."""
    claims = {"sub": user, "teams": list(teams), "exp": time.time() + 3600}
    signed = _encoded({"alg": "HS256", "typ": "JWT", "kid": key_id}, claims)
    return f"{signed}.{_base64(hmac.digest(public_key, signed.encode(), hashlib.sha256))}"


def _encoded(*parts: dict[str, object]) -> str:
    return ".".join(_base64(json.dumps(part).encode()) for part in parts)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
