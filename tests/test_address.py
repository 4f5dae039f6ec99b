"""The address of Redis: what is read from it, and what is told about one that is wrong."""

from __future__ import annotations

import pytest

from presence_server.address import Address, Node, parse

PASSWORD = "p@ss/w:rd?#%,"
IN_URL = "p%40ss%2Fw%3Ard%3F%23%25%2C"
LOCAL = (Node("localhost", 6379),)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://localhost", Address("single", LOCAL)),
        (" REDIS://localhost/ ", Address("single", LOCAL)),
        ("redis://localhost:7000/15", Address("single", (Node("localhost", 7000),), database=15)),
        ("redis://localhost/3?db=4", Address("single", LOCAL, database=4)),
        ("redis://[2001:db8::1]:7000", Address("single", (Node("2001:db8::1", 7000),))),
        ("redis://[::1]", Address("single", (Node("::1", 6379),))),
        ("rediss://localhost", Address("single", LOCAL, tls=True)),
        (f"redis://:{IN_URL}@localhost", Address("single", LOCAL, password=PASSWORD)),
        (f"redis://m%40ria:{IN_URL}@localhost", Address("single", LOCAL, username="m@ria", password=PASSWORD)),
        (f"redis://localhost?password={IN_URL}", Address("single", LOCAL, password=PASSWORD)),
        (
            "rediss://localhost?ssl_ca_certs=/etc/ca%20s.pem&ssl_check_hostname=no",
            Address(
                "single", LOCAL, tls=True, options=(("ssl_ca_certs", "/etc/ca s.pem"), ("ssl_check_hostname", "no"))
            ),
        ),
        ("unix:///run/valkey.sock?db=2", Address("single", socket="/run/valkey.sock", database=2)),
        ("unix:///run/a%20b@c.sock", Address("single", socket="/run/a b@c.sock")),
        (
            "unix://maria:w%2Frd@/run/valkey.sock?x=y",
            Address("single", socket="/run/valkey.sock", username="maria", password="w/rd", options=(("x", "y"),)),
        ),
        (
            "redis+sentinel://a,b:1,[::1],[::2]:2/main",
            Address(
                "sentinel",
                (Node("a", 26379), Node("b", 1), Node("::1", 26379), Node("::2", 2)),
                service="main",
            ),
        ),
        (
            f"rediss+sentinel://maria:{IN_URL}@a/ma%2Fin/3?sentinel_username=watch&sentinel_password={IN_URL}",
            Address(
                "sentinel",
                (Node("a", 26379),),
                tls=True,
                username="maria",
                password=PASSWORD,
                sentinel_username="watch",
                sentinel_password=PASSWORD,
                service="ma/in",
                database=3,
            ),
        ),
        ("redis+sentinel://a/main?db=4", Address("sentinel", (Node("a", 26379),), service="main", database=4)),
        (
            "redis+cluster://maria:word@a,b:7001/",
            Address("cluster", (Node("a", 6379), Node("b", 7001)), username="maria", password="word"),
        ),
        ("rediss+cluster://a", Address("cluster", (Node("a", 6379),), tls=True)),
    ],
)
def test_what_is_right_is_read(url: str, address: Address) -> None:
    assert parse(url) == address


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("localhost:6379", "Expected a URL (redis://, "),
        ("http://localhost", "redis+cluster://, rediss+cluster://, got the scheme 'http'"),
        ("redis+unix://localhost", "got the scheme 'redis+unix'"),
        ("unix://", "Expected the path of a socket, as in unix:///run/valkey.sock, got none"),
        ("unix:///", "the path of a socket"),
        ("unix://run/valkey.sock", "Expected the path of a socket, as in unix:///run/valkey.sock, got a host"),
        ("redis://", "Expected a host and a port, as in redis://localhost:6379/0, got none"),
        ("redis://localhost:port", "Expected a host and a port"),
        ("redis://::1", "Expected a host and a port"),
        ("redis://my host", "Expected a host and a port"),
        ("redis://localhost:0", "Expected a port from 1 to 65535, got 0"),
        ("redis://localhost:65536", "Expected a port from 1 to 65535, got 65536"),
        ("redis://localhost/main", "the number of a database"),
        ("redis://localhost?db=-1", "the number of a database"),
        ("redis://a,b", "For Sentinels use redis+sentinel://, for a cluster redis+cluster://"),
        ("redis://localhost#1", "In a password, write %23"),
        ("redis+sentinel://a,b", "the name of the service after the hosts, as in redis+sentinel://host:26379,"),
        ("redis+sentinel://a,b/main/x", "the number of a database"),
        ("redis+sentinel://a,,b/main", "Expected a host and a port, as in redis+sentinel://host:26379,"),
        ("redis+cluster://a,b/1", "Expected no database"),
        ("redis+cluster://a?db=1", "Expected no database"),
    ],
)
def test_what_is_wrong_is_told(url: str, expected: str) -> None:
    with pytest.raises(ValueError, match="Expected ") as refusal:
        parse(url)
    assert expected in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://maria:hunter2@localhost:port",
        "redis://maria:hunter2/@localhost",
        "redis://maria:/hunter2@localhost",
        "redis://maria:#hunter2@localhost",
        "redis://maria:?hunter2@localhost",
        "redis://maria:hunter2",
        "redis://localhost?db=hunter2",
        "maria:hunter2://localhost",
        "http://maria:hunter2@localhost",
        "unix://maria:hunter2@host/run/valkey.sock",
        "redis+sentinel://maria:hunter2@a,b",
        "redis+sentinel://a/main/hunter2",
        "redis+cluster://maria:hunter2@a/0",
        "redis+cluster://a,hunter2:x",
    ],
)
def test_a_password_is_not_told(url: str) -> None:
    with pytest.raises(ValueError, match="Expected ") as refusal:
        parse(url)
    assert "hunter2" not in str(refusal.value)


def test_its_text_shows_no_secrets() -> None:
    address = parse("redis+sentinel://:hunter2@a/main?sentinel_password=hunter2&ssl_password=hunter2")
    assert "hunter2" not in f"{address} {address!r}"
    assert address.has_password
    assert parse("redis+sentinel://a/main?sentinel_password=hunter2").has_password
    assert not parse("redis://localhost").has_password


def test_nodes_are_written_as_in_addresses() -> None:
    assert [str(node) for node in (Node("a", 1), Node("::1", 2))] == ["a:1", "[::1]:2"]
