"""The issuer's public keys, fetched and kept (RFC 7517).

Keys are looked up without waiting. Only when none fits, or none was ever fetched, does a caller wait for a refresh; all
who wait share it, and tokens that name made-up keys cannot make it happen more often than at the rate `ATTEMPTS`.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import jwt

from presence_server import errors
from presence_server.core.bucket import Rate, TokenBucket
from presence_server.core.decoding import loads
from presence_server.parsing import shown_url
from presence_server.web.fetching import FETCH_TIMEOUT_S, fetch, in_thread

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")

REFRESH_AFTER_S: Final = 300.0
"""An older key set is refreshed behind the back of whoever uses it, so that a withdrawn key stops being good."""
MAX_AGE_S: Final = 3600.0
"""An older key set is refreshed before it is used; if that fails, it is used."""
ATTEMPTS: Final = Rate(per_s=1 / 30, burst=3.0)
"""Of fetches while there is a key set; some may be saved up, so that a key just added is found soon after another."""
FIRST_COOLDOWN_S: Final = 2.0
"""Between one attempt and the next, while there is none."""

# Kinds of keys and the one algorithm each is good for here; public members only, so that an issuer who publishes a
# private key by mistake does not have it loaded.
_KINDS: Final = {
    ("RSA", None): ("RS256", ("kty", "n", "e")),
    ("EC", "P-256"): ("ES256", ("kty", "crv", "x", "y")),
    ("OKP", "Ed25519"): ("EdDSA", ("kty", "crv", "x")),
}

_logger = logging.getLogger(__name__)


class Key:
    """A public key, the one algorithm it goes with, and the name its issuer gave it, if any."""

    __slots__ = ("algorithm", "identity", "key")

    def __init__(self, algorithm: str, identity: str | None, key: jwt.PyJWK) -> None:
        self.algorithm = algorithm
        self.identity = identity
        self.key = key


class KeySet:
    """The keys at one URL.

    Args:
        url: an `http` or `https` URL of a JWK set.
        clock: a monotonic clock, seconds.
    """

    def __init__(self, url: str, *, clock: Callable[[], float]) -> None:
        self._url = url
        self._clock = clock
        self._keys: tuple[Key, ...] | None = None
        self._fetched_s = -float("inf")
        self._tried_s = -float("inf")
        self._attempts = TokenBucket(ATTEMPTS, clock())
        self._refresh: asyncio.Task[None] | None = None

    def find(self, algorithm: str, identity: str | None, asked_s: float) -> Sequence[jwt.PyJWK] | None:
        """Return the key a token names, or all that fit a token that names none; None: `refresh` first.

        Args:
            algorithm: one of `ALGORITHMS`, from the token's header.
            identity: the header's `kid`, or None.
            asked_s: since when the caller has been asking, by the clock: keys fetched after that are the last word.

        Raises:
            errors.BadToken: no key fits, not even one that was fetched since the caller asked.
            errors.Unavailable: no key fits, and it is too early to look again: there may be a new one.
        """
        if self._keys is None:
            return None
        fitting = [key.key for key in self._keys if key.algorithm == algorithm and identity in (None, key.identity)]
        if not fitting:
            if self.may_be_old(asked_s):
                return None
            raise errors.BadToken("Expected a token signed with a key of the issuer's key set, got another")
        age_s = self._clock() - self._fetched_s
        if age_s >= REFRESH_AFTER_S and self._fetched_s < asked_s and self._may_refresh():
            if age_s >= MAX_AGE_S:
                return None
            self._start()
        return fitting

    def may_be_old(self, asked_s: float) -> bool:
        """Tell whether a fetch may bring a key that is missing.

        Raises:
            errors.Unavailable: it may, and it is too early for it: the token is not to be refused for good.
        """
        if self._fetched_s >= asked_s:
            return False
        if not self._may_refresh():
            raise errors.Unavailable("Expected a key that is known, got one that may be new: try again in a moment")
        return True

    def _may_refresh(self) -> bool:
        return self._refresh is not None or self._attempts.left(ATTEMPTS, self._clock()) >= 1.0

    async def refresh(self) -> None:
        """Fetch the keys, or wait for the fetch under way. When it fails, the old keys stay.

        Raises:
            errors.Unavailable: there are no old keys.
        """
        if self._refresh is not None or self._keys is not None or self._clock() - self._tried_s >= FIRST_COOLDOWN_S:
            # Shielded: one caller who gives up must not take the fetch away from the others.
            await asyncio.shield(self._start())
        if self._keys is None:
            raise errors.Unavailable("Expected the issuer's key set, got no answer: try again in a moment")

    async def close(self) -> None:
        """Give up a fetch under way."""
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.wait([self._refresh])

    def _start(self) -> asyncio.Task[None]:
        if self._refresh is None:
            self._tried_s = self._clock()
            self._attempts.spend(ATTEMPTS, self._tried_s)
            self._refresh = asyncio.create_task(self._fetch(), name="presence-jwks")
        return self._refresh

    async def _fetch(self) -> None:
        try:
            # Twice as long as it gives itself: a resolver that hangs is in nobody's hands.
            async with asyncio.timeout(2 * FETCH_TIMEOUT_S):
                self._keys = await in_thread(lambda: parse(fetch(self._url)))
            self._fetched_s = self._clock()
        except (OSError, ValueError, http.client.HTTPException) as exc:
            kept = "the keys known so far stay in use" if self._keys else "no token can be verified"
            _logger.warning("Key set %s not fetched, %s: %s", shown_url(self._url), kept, exc)
        finally:
            self._refresh = None


def parse(data: bytes) -> tuple[Key, ...]:
    """Return the usable keys of a JWK set: to verify signatures with, of a kind in `ALGORITHMS`, and long enough.

    Raises:
        ValueError: it is not a JWK set, or none of its keys is usable.
    """
    document = loads(data)
    members = document.get("keys") if type(document) is dict else None
    if type(members) is not list:
        raise ValueError("Expected a JWK set, an object with an array 'keys', got something else")
    keys = tuple(_usable(members))
    if not keys:
        raise ValueError(f"Expected a key for {', '.join(ALGORITHMS)} in the key set, got none")
    return keys


def _usable(members: Iterable[Any]) -> Iterable[Key]:
    for member in members:
        key = _key(member) if type(member) is dict else None
        if key is not None:
            yield key


def _key(member: Mapping[str, Any]) -> Key | None:
    kind = (member.get("kty"), member.get("crv"))
    # Compared one by one: what a stranger's JSON holds need not be hashable.
    algorithm, names = next((found for known, found in _KINDS.items() if known == kind), (None, ()))
    operations = member.get("key_ops", ["verify"])
    identity = member.get("kid")
    if (
        algorithm is None
        or member.get("use", "sig") != "sig"
        or member.get("alg", algorithm) != algorithm
        or type(operations) is not list
        or "verify" not in operations
        or not (identity is None or type(identity) is str)
    ):
        return None
    try:
        key = jwt.PyJWK({name: member[name] for name in names}, algorithm)
    except (KeyError, TypeError, ValueError, jwt.PyJWTError):
        return None
    # A short key is left out here, where it can be told, rather than refused with every token.
    too_short = key.Algorithm.check_key_length(key.key)
    if too_short:
        _logger.warning("Key %s of the key set is not used. %s", identity, too_short)
        return None
    return Key(algorithm, identity, key)
