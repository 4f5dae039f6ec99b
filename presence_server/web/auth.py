"""Tokens: what the host application says about a user, checked (section 4 of the contract).

The signature is PyJWT's business. The claims are checked here, because a presence server promises more than PyJWT does:
`exp` is required, numbers are numbers (PyJWT takes `"exp": true` for one), and ids are ids.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
import orjson
from jwt.algorithms import HMACAlgorithm

from presence_server import errors
from presence_server.core.decoding import loads
from presence_server.core.ids import PATTERN, is_id
from presence_server.core.messages import MAX_TEAMS, MAX_TOKEN_LENGTH
from presence_server.core.status import json_type
from presence_server.settings import Settings
from presence_server.web.jwks import ALGORITHMS, KeySet

ADMIN_SCOPE: Final = "presence:admin"
ALL_TEAMS: Final = "*"

NOT_YET_LEEWAY_S: Final = 60.0
"""For `iat` and `nbf`: clocks of issuer and server differ. `exp` gets none, since the connection ends on it as well."""

MAX_NUMERIC_DATE_S: Final = 253_402_300_799.0
"""The end of the year 9999. Whoever gives more has most likely given milliseconds, and would never expire."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Who somebody is and what he may do, as his token says.

    Attributes:
        user: the user's id (`sub`).
        teams: ids of the teams he is a member of, without repetition; empty for a token of all teams.
        session: the sign-in's id (`sid`), or None: each connection is its own session.
        expires_at_s: instant, seconds since the epoch (`exp`).
        issued_at_s: instant, seconds since the epoch (`iat`); 0 when absent.
        admin: whether `scope` holds `presence:admin`.
        all_teams: whether the token is an administrator's for every team, which holds over HTTP only.
    """

    user: str
    teams: tuple[str, ...]
    session: str | None
    expires_at_s: float
    issued_at_s: float
    admin: bool
    all_teams: bool

    def member_of(self, team: str) -> bool:
        """Tell whether the token gives access to `team`."""
        return self.all_teams or team in self.teams


class TokenVerifier:
    """Checks tokens: HS256 with a shared secret alone, RS256, ES256 and EdDSA with the issuer's key set alone.

    Which of the two a token is for is read from its header, unverified; but either way accepts its own algorithms and
    kinds of keys only, so that choosing the wrong one refuses the token (RFC 8725, section 3.1).

    Args:
        settings: `jwt_secrets`, `jwks_url`, `jwt_audience` and `jwt_issuer` are used.
        clock: the time of day, seconds since the epoch.
        monotonic: the clock by which keys age, seconds.

    Raises:
        errors.SettingsError: the secret is empty, or is a public key: anybody could sign with it.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._audience = settings.jwt_audience
        self._issuer = settings.jwt_issuer
        if settings.jwt_secret is not None:
            # As a whole, too: a public key in JSON has commas.
            _checked_secret(settings.jwt_secret)
        self._secrets = tuple(_checked_secret(secret) for secret in settings.jwt_secrets)
        self._keys = None if settings.jwks_url is None else KeySet(settings.jwks_url, clock=monotonic)

    def verify_now(self, token: str) -> Claims | None:
        """Return the token's claims; None if a key must be fetched first, which `verify` does.

        Raises:
            errors.BadToken: the token is refused; the text says why without repeating it.
        """
        if not (0 < len(token) <= MAX_TOKEN_LENGTH and token.isascii()):
            raise errors.BadToken(f"Expected a JWT of up to {MAX_TOKEN_LENGTH} ASCII characters, got something else")
        return self._verify(token, math.inf)

    def _verify(self, token: str, asked_s: float) -> Claims | None:
        try:
            payload = self._verified_payload(token, asked_s)
        except jwt.PyJWTError as exc:
            raise errors.BadToken(self._describe(exc)) from None
        return None if payload is None else self._claims(payload)

    async def verify(self, token: str) -> Claims:
        """Return the token's claims, after fetching the issuer's keys if need be.

        Raises:
            errors.BadToken: the token is refused; the text says why without repeating it.
            errors.Unavailable: its key may just not have been fetched yet, and cannot be now.
        """
        claims, asked_s = self.verify_now(token), self._monotonic()
        while claims is None:
            assert self._keys is not None
            await self._keys.refresh()
            claims = self._verify(token, asked_s)
        return claims

    async def close(self) -> None:
        """Stop fetching keys."""
        if self._keys is not None:
            await self._keys.close()

    def _verified_payload(self, token: str, asked_s: float) -> bytes | None:
        if self._keys is None:
            return self._signed_with_secret(token)
        header = _JWS.get_unverified_header(token)
        algorithm = header.get("alg")
        if algorithm == "HS256":
            return self._signed_with_secret(token)
        if algorithm not in ALGORITHMS:
            raise jwt.InvalidAlgorithmError
        identity = header.get("kid")
        keys = self._keys.find(algorithm, identity, asked_s)
        try:
            return None if keys is None else _signed_with_one_of(token, keys, algorithm)
        except jwt.InvalidSignatureError:
            # Who names no key may have been signed for with one that was published since.
            if identity is None and self._keys.may_be_old(asked_s):
                return None
            raise

    def _signed_with_secret(self, token: str) -> bytes:
        if not self._secrets:
            raise jwt.InvalidAlgorithmError
        return _signed_with_one_of(token, self._secrets, "HS256")

    def _describe(self, exc: jwt.PyJWTError) -> str:
        # PyJWT's own texts quote what the token says of itself, which nobody has vouched for.
        if isinstance(exc, jwt.InvalidSignatureError):
            return "Expected a signature by the configured key, got another"
        if isinstance(exc, jwt.InvalidAlgorithmError):
            allowed = (["HS256"] if self._secrets else []) + (list(ALGORITHMS) if self._keys else [])
            return f"Expected a token signed with {' or '.join(allowed) or 'a configured key'}, got another algorithm"
        if isinstance(exc, jwt.DecodeError):
            return "Expected a JWT: three base64url parts joined by dots, the first a JSON object, got something else"
        return "Expected a JWT whose header holds 'alg' and 'kid' alone, got one that cannot be used"

    def _claims(self, payload: bytes) -> Claims:
        try:
            claims = loads(payload)
        except ValueError:
            raise errors.BadToken("Expected the token's claims to be JSON, got something else") from None
        if type(claims) is not dict:
            raise errors.BadToken(f"Expected the token's claims to be an object, got {json_type(claims)}")
        now_s = self._clock()
        expires_at_s = _numeric_date(claims, "exp")
        _past_date(claims, "nbf", now_s)
        issued_at_s = _past_date(claims, "iat", now_s)
        self._check_addressee(claims)
        user = _identity(claims, "sub")
        session = _identity(claims, "sid") if "sid" in claims else None
        admin = _is_admin(claims)
        teams = claims.get("teams", [])
        all_teams = teams == [ALL_TEAMS]
        members = () if all_teams else _checked_teams(teams)
        # Last, since a new token of the same kind would not help against anything else.
        if expires_at_s <= now_s:
            ago_s = now_s - expires_at_s
            raise errors.TokenExpired(f"Expected a token that holds, got one that expired {ago_s:.0f} s ago")
        return Claims(user, members, session, expires_at_s, issued_at_s, admin, all_teams=all_teams and admin)

    def _check_addressee(self, claims: dict[str, Any]) -> None:
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise errors.BadToken("Expected 'iss' to be the configured issuer, got another")
        if self._audience is not None:
            audience = claims.get("aud")
            if audience != self._audience and not (type(audience) is list and self._audience in audience):
                raise errors.BadToken("Expected 'aud' to be or contain the configured audience, got another")


def mint(
    secret: str,
    *,
    user: str,
    teams: Sequence[str],
    session: str | None = None,
    admin: bool = False,
    ttl_s: float = 3600,
    now_s: float | None = None,
) -> str:
    """Make an HS256 token, as the host application would.

    Args:
        secret: the server's PRESENCE_JWT_SECRET, or one of them.
        user: the user's id.
        teams: ids of the user's teams, or `["*"]` for an administrator of all.
        session: the id of the sign-in; without, each connection is its own session.
        admin: whether the token is an administrator's.
        ttl_s: how long it holds, seconds.
        now_s: instant of issue, seconds since the epoch; the time of day when None.

    Raises:
        ValueError: an id is not one, there are too many teams, or the secret is none.
    """
    if not is_id(user) or not (session is None or is_id(session)):
        raise ValueError(f"Expected ids of users and sessions to match {PATTERN}")
    if list(teams) == [ALL_TEAMS]:
        if not admin:
            raise ValueError(f"Expected an administrator for all teams ({ALL_TEAMS!r}), got none: add --admin")
    else:
        try:
            _checked_teams(list(teams))
        except errors.BadToken as exc:
            raise ValueError(str(exc)) from None
    issued_at_s = math.floor(time.time() if now_s is None else now_s)
    claims: dict[str, Any] = {"sub": user, "teams": list(teams), "iat": issued_at_s, "exp": issued_at_s + ttl_s}
    if session is not None:
        claims["sid"] = session
    if admin:
        claims["scope"] = ADMIN_SCOPE
    return _JWS.encode(orjson.dumps(claims), _prepared(secret), "HS256")


class _CheckedHmac(HMACAlgorithm):
    """PyJWT's HS256 for a key that was checked when the server started, and need not be for every token."""

    def prepare_key(self, key: str | bytes) -> bytes:
        assert isinstance(key, bytes)
        return key

    def check_key_length(self, key: bytes) -> str | None:
        return None


def _signed_with_one_of(token: str, keys: Sequence[Any], algorithm: str) -> bytes:
    """Return the payload of a token that one of these keys has signed; there is at least one.

    Raises:
        jwt.PyJWTError: none has.
    """
    for place, key in enumerate(keys, start=1):
        try:
            payload: bytes = _JWS.decode(token, key, [algorithm])
        except jwt.InvalidSignatureError:
            if place == len(keys):
                raise
        else:
            return payload
    raise jwt.InvalidKeyError


def _checked_secret(secret: str) -> bytes:
    try:
        return _prepared(secret)
    except ValueError as exc:
        raise errors.SettingsError([f"PRESENCE_JWT_SECRET: {exc}"]) from None


def _prepared(secret: str) -> bytes:
    try:
        return HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except jwt.InvalidKeyError:
        raise ValueError("Expected a secret that only issuer and server know, got nothing or a public key") from None


def _jws() -> jwt.PyJWS:
    # A JWS of its own, so that other users of PyJWT in the process keep theirs; `none` is not even known to it.
    jws = jwt.PyJWS(["HS256", *ALGORITHMS], {"enforce_minimum_key_length": True})
    jws.unregister_algorithm("HS256")
    jws.register_algorithm("HS256", _CheckedHmac(HMACAlgorithm.SHA256))
    return jws


_JWS: Final = _jws()


def _identity(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not is_id(value):
        raise errors.BadToken(f"Expected '{name}' to be an id matching {PATTERN}, got {_kind(value)}")
    assert isinstance(value, str)
    return value


def _numeric_date(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if type(value) is not int and type(value) is not float:
        raise errors.BadToken(f"Expected '{name}' to be a number of seconds since the epoch, got {json_type(value)}")
    if not abs(value) <= MAX_NUMERIC_DATE_S:
        raise errors.BadToken(f"Expected '{name}' in seconds and before the year 10000, got more: milliseconds?")
    return float(value)


def _past_date(claims: dict[str, Any], name: str, now_s: float) -> float:
    if name not in claims:
        return 0.0
    date_s = _numeric_date(claims, name)
    if date_s - now_s > NOT_YET_LEEWAY_S:
        raise errors.BadToken(f"Expected '{name}' to have passed, got one that is {date_s - now_s:.0f} s ahead")
    return date_s


def _is_admin(claims: dict[str, Any]) -> bool:
    scope = claims.get("scope", "")
    if type(scope) is not str:
        raise errors.BadToken(f"Expected 'scope' to be a space-separated string, got {json_type(scope)}")
    return ADMIN_SCOPE in scope.split(" ")


def _checked_teams(teams: object) -> tuple[str, ...]:
    if type(teams) is not list:
        raise errors.BadToken(f"Expected 'teams' to be an array of ids, got {json_type(teams)}")
    if len(teams) > MAX_TEAMS:
        raise errors.BadToken(f"Expected 'teams' to name up to {MAX_TEAMS} teams, got {len(teams)}")
    for team in teams:
        if not is_id(team):
            raise errors.BadToken(f"Expected 'teams' to hold ids matching {PATTERN}, got {_kind(team)}")
    return tuple(dict.fromkeys(teams))


def _kind(value: object) -> str:
    return f"another string of {len(value)} characters" if isinstance(value, str) else json_type(value)
