"""How often one user may connect."""

from __future__ import annotations

import pytest

from presence_server import errors
from presence_server.settings import Settings
from presence_server.web.auth import TokenVerifier
from presence_server.web.connects import ConnectVerifier
from presence_server.web.rates import CONNECTS
from tests.support import tokens


async def test_one_user_cannot_come_without_end_and_others_can() -> None:
    verifier = ConnectVerifier(TokenVerifier(Settings(jwt_secret=tokens.SECRET)))
    maria = tokens.mint("maria", ["acme"])
    for _ in range(int(CONNECTS.burst) - 1):
        assert verifier.verify_now(maria) is not None
    assert (await verifier.verify(maria)).user == "maria"
    with pytest.raises(errors.TooManyConnects, match="at most 2 connections a second") as refused:
        verifier.verify_now(maria)
    assert (refused.value.close_code, refused.value.code) == (4005, "rate_limited")
    with pytest.raises(errors.TooManyConnects):
        await verifier.verify(maria)
    assert verifier.verify_now(tokens.mint("juan", ["acme"])) is not None


def test_who_has_no_valid_token_takes_nothing_from_who_has() -> None:
    verifier = ConnectVerifier(TokenVerifier(Settings(jwt_secret=tokens.SECRET)))
    for _ in range(2 * int(CONNECTS.burst)):
        with pytest.raises(errors.BadToken):
            verifier.verify_now(tokens.mint("maria", ["acme"], secret="another-secret-of-more-than-32-bytes!"))
    assert verifier.verify_now(tokens.mint("maria", ["acme"])) is not None
