"""Text of settings: what is taken, and what is said about the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_server import parsing


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (parsing.text, " ", "a text"),
        (parsing.port, "65536", "a port from 0 to 65535"),
        (parsing.port, "8_000", "a port from 0 to 65535"),
        (parsing.port, "٨٠", "a port from 0 to 65535"),
        (parsing.port, "80.0", "a port from 0 to 65535"),
        (parsing.own_port, "0", "a port from 1 to 65535"),
        (parsing.count, "0", "a whole number from 1"),
        (parsing.count, "many", "a whole number from 1"),
        (parsing.seconds(), "0", "a number of seconds above 0"),
        (parsing.seconds(), "-1", "a number of seconds above 0"),
        (parsing.seconds(), "nan", "a number of seconds above 0"),
        (parsing.seconds(), "inf", "a number of seconds above 0"),
        (parsing.seconds(), "1e12", "a number of seconds above 0"),
        (parsing.seconds(), "5 min", "a number of seconds above 0"),
        (parsing.seconds(zero=True), "-0.1", "0 or a number of seconds"),
        (parsing.milliseconds(), "0.0", "a number of seconds above 0"),
        (parsing.one_of("text", "json"), "xml", "'text' or 'json'"),
        (parsing.folder, "  ", "a folder"),
        (parsing.folder, "a\0b", "a folder"),
        (parsing.folder, "~nobody-by-that-name/data", "a folder"),
        (parsing.key_prefix, "{presence}", "without braces"),
        (parsing.key_prefix, "my presence", "without braces and white space"),
        (parsing.key_prefix, "p" * 65, "1 to 64"),
        (parsing.redis_url, "localhost:6379", "a URL"),
        (parsing.http_url, "issuer.example/keys", "an https:// address"),
        (parsing.http_url, "ftp://issuer.example/keys", "an https:// address"),
        (parsing.http_url, "https:///keys", "an https:// address"),
        (parsing.http_url, "https://issuer.example/#keys", "an https:// address"),
        (parsing.origins, "app.example.com", "origins such as"),
        (parsing.origins, "https://app.example.com/", "no slash at the end"),
        (parsing.origins, "https://app.example.com/path", "no path"),
        (parsing.origins, "https://user@app.example.com", "origins such as"),
        (parsing.origins, "https://app.example.com:port", "origins such as"),
        (parsing.origins, "null", "origins such as"),
        (parsing.origins, "https://*", "'*' alone"),
        (parsing.origins, "https://app.*.com", "as the whole first label"),
        (parsing.origins, "https://*app.example.com", "as the whole first label"),
        (parsing.origins, "https://*.*.example.com", "as the whole first label"),
        (parsing.origins, "https://*.", "a host of letters"),
        (parsing.origins, "https://bücher.example", "xn--"),
        (parsing.origins, "https://a b.example", "origins such as"),
        (parsing.origins, "https://app.example.com;https://b.example", "origins such as"),
        (parsing.origins, "https://a%20b.example", "letters, digits"),
        (parsing.secrets, "a,b,c", "one secret, or two"),
        (parsing.secrets, "a,", "an empty one"),
        (parsing.secrets, "a, b", "white space around one"),
        (parsing.http_url, "https://user:pw@issuer.example/keys", "without user and password"),
        (parsing.proxies, "balancer", "IP addresses or networks"),
        (parsing.proxies, "10.0.0.1/8", "IP addresses or networks"),
    ],
)
def test_what_is_wrong_is_told_with_what_was_expected(parse: Callable[[str], object], text: str, expected: str) -> None:
    with pytest.raises(ValueError, match="Expected ") as refusal:
        parse(text)
    assert expected in str(refusal.value)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parsing.text, " presence ", "presence"),
        (parsing.port, " 65535 ", 65535),
        (parsing.seconds(), "0.25", 0.25),
        (parsing.milliseconds(), "1.1", 1_100),
        (parsing.milliseconds(), "0.0001", 1),
        (parsing.one_of("text", "json"), " JSON ", "json"),
        (parsing.redis_url, "redis://localhost", "redis://localhost"),
        (parsing.redis_url, "rediss://user:p%40ss@[::1]:6380/15?x=y", "rediss://user:p%40ss@[::1]:6380/15?x=y"),
        (parsing.redis_url, "unix:///run/valkey.sock?db=2", "unix:///run/valkey.sock?db=2"),
        (parsing.http_url, "http://localhost:9000/keys?a=b", "http://localhost:9000/keys?a=b"),
        (parsing.origins, "", ()),
        (parsing.origins, "HTTPS://App.Example.com:443", ("https://app.example.com",)),
        (parsing.origins, "http://[::1]:8080 , capacitor://localhost", ("http://[::1]:8080", "capacitor://localhost")),
        (parsing.origins, "https://*.Example.com:8443", ("https://*.example.com:8443",)),
        (parsing.secrets, "one", "one"),
        (parsing.secrets, "one,other", "one,other"),
        (parsing.proxies, "10.0.0.0/8,,127.0.0.1", ("10.0.0.0/8", "127.0.0.1")),
        (parsing.proxies, "10.0.0.0/8,*", ("*",)),
    ],
)
def test_what_is_right_is_taken(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parsing.http_url, "ftp://user:hunter2@issuer.example/keys"),
        (parsing.http_url, "https://user:hunter2@issuer.example/keys"),
        (parsing.http_url, "user:hunter2@issuer.example"),
        (parsing.origins, "https://user:hunter2@app.example.com"),
        (parsing.origins, "https://app.example.com?key=hunter2"),
        (parsing.redis_url, "redis://user:hunter2@localhost:port"),
        (parsing.secrets, "hunter2,hunter2,hunter2"),
        (parsing.secrets, "hunter2,"),
    ],
)
def test_what_is_wrong_is_told_without_passwords(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match="Expected ") as refusal:
        parse(text)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://issuer.example/keys", "https://issuer.example/keys"),
        ("https://user:p@ss@issuer.example/keys?apikey=x", "https://***@issuer.example/keys?***"),
        ("redis://:p/w@host", "redis://***@host"),
        ("issuer.example", "issuer.example"),
        ("user:pw@issuer.example", "something that may hold a password"),
    ],
)
def test_urls_are_shown_without_secrets(url: str, shown: str) -> None:
    assert parsing.shown_url(url) == shown


def test_folders_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/maria")
    assert parsing.folder("data") == tmp_path / "data"
    assert parsing.folder("~/data") == Path("/home/maria/data")


def test_a_port_that_kubernetes_has_set_is_recognized() -> None:
    with pytest.raises(ValueError, match="enableServiceLinks"):
        parsing.port("tcp://10.0.171.239:8000")


@given(st.integers(1, 10**12))
def test_milliseconds_are_read_as_they_were_written(milliseconds: int) -> None:
    assert parsing.milliseconds()(f"{milliseconds // 1000}.{milliseconds % 1000:03}") == milliseconds
