"""Listening: every address of a host on one port, and what is told where that cannot be."""

from __future__ import annotations

import socket

import pytest

from presence_server.errors import StartupError
from presence_server.web import ports


def test_a_port_in_use_is_told() -> None:
    (first,) = ports.listen("127.0.0.1", 0)
    with first, pytest.raises(StartupError, match="PRESENCE_PORT"):
        ports.listen("127.0.0.1", first.getsockname()[1])


def test_a_host_of_another_machine_is_told() -> None:
    with pytest.raises(StartupError, match="PRESENCE_HOST"):
        ports.listen("192.0.2.1", 0)
    with pytest.raises(StartupError, match="PRESENCE_HOST"):
        ports.listen("no such host.invalid", 0)


def test_a_port_for_administrators_is_told() -> None:
    told = ports._explain(PermissionError(13, "Permission denied"), "127.0.0.1", 80)
    assert told == (
        "Expected to be allowed to listen on port 80, got: [Errno 13] Permission denied. "
        "Set PRESENCE_PORT to 1024 or above"
    )


def test_localhost_is_every_loopback_there_is() -> None:
    listeners = ports.listen("localhost", 0)
    for listener in listeners:
        with socket.create_connection(listener.getsockname()[:2]):
            listener.close()
    assert len({listener.family for listener in listeners}) == len(listeners) > 0


def test_all_addresses_of_a_host_share_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        # Of no machine, and named twice: what "localhost" can look like where there is no IPv6.
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    listeners = ports.listen("here", 0)
    assert [listener.getsockname()[0] for listener in listeners] == ["127.0.0.1", "127.0.0.2"]
    assert len({listener.getsockname()[1] for listener in listeners}) == 1
    for listener in listeners:
        listener.close()


def test_a_host_of_which_one_address_is_taken_leaves_the_others_free(monkeypatch: pytest.MonkeyPatch) -> None:
    (taken,) = ports.listen("127.0.0.2", 0)
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in ("127.0.0.1", "127.0.0.2")]
    port = taken.getsockname()[1]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with taken, pytest.raises(StartupError, match="PRESENCE_PORT"):
        ports.listen("here", port)
    monkeypatch.undo()
    (again,) = ports.listen("127.0.0.1", port)
    again.close()


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1"), ("0.0.0.0", "http://127.0.0.1"), ("127.0.0.2", "http://127.0.0.2")],
)
def test_the_address_told_can_be_opened_here(host: str, url: str) -> None:
    (listener,) = ports.listen(host, 0)
    with listener:
        assert ports.listening_url(listener) == f"{url}:{listener.getsockname()[1]}"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_two_colons_listen_on_both_families(family: socket.AddressFamily) -> None:
    (listener,) = ports.listen("::", 0)
    port = listener.getsockname()[1]
    with listener, socket.socket(family) as client:
        client.connect(("127.0.0.1" if family == socket.AF_INET else "::1", port))


def test_the_address_of_ipv6_has_its_brackets() -> None:
    class Listener(socket.socket):
        def getsockname(self) -> tuple[str, int, int, int]:
            return ("::", 8000, 0, 0)

    with Listener() as listener:
        assert ports.listening_url(listener) == "http://[::1]:8000"
