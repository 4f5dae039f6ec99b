"""Tokens of WebSockets: verified, and counted by their user."""

from __future__ import annotations

from presence_server import errors
from presence_server.web.auth import Claims, TokenVerifier
from presence_server.web.rates import CONNECTS, Rates


class ConnectVerifier:
    """Checks the tokens of `hello` and `renew` (live.opening.Verifier).

    Each costs a handshake, a signature and scripts in Redis, in all of the user's teams: one user who comes back a
    hundred times a second would slow everybody. Only who has a valid token is counted, so nobody can be kept out.
    """

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier
        self._rates = Rates(CONNECTS, "connections", error=errors.TooManyConnects)

    def verify_now(self, token: str) -> Claims | None:
        """As `TokenVerifier.verify_now`.

        Raises:
            errors.BadToken: the token is refused.
            errors.TooManyConnects: its user comes too often.
        """
        claims = self._verifier.verify_now(token)
        if claims is not None:
            self._rates.spend(claims.user)
        return claims

    async def verify(self, token: str) -> Claims:
        """As `TokenVerifier.verify`, with the errors of `verify_now`."""
        claims = await self._verifier.verify(token)
        self._rates.spend(claims.user)
        return claims
