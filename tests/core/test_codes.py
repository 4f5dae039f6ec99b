"""Close codes and what a client makes of them (section 5 of the contract)."""

from __future__ import annotations

from presence_server.core.codes import CloseCode


def test_a_client_retries_after_every_close_but_4500_to_4999() -> None:
    final = {code for code in CloseCode if not code.retry}
    assert final == {
        CloseCode.TOKEN_REFUSED,
        CloseCode.NOT_ALLOWED,
        CloseCode.REPLACED,
        CloseCode.BAD_FRAME,
        CloseCode.SIGNED_OUT,
    }


def test_each_has_a_reason_that_fits_into_a_close_frame() -> None:
    """RFC 6455 section 5.5: a control frame carries 125 bytes, two of which are the code."""
    assert all(0 < len(code.reason.encode()) <= 123 for code in CloseCode)
