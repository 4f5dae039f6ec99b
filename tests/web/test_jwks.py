"""Key sets, fetched from a real HTTP server on the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, SECP256R1, SECP384R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from presence_server import errors
from presence_server.settings import Settings
from presence_server.web import fetching, jwks
from presence_server.web.auth import TokenVerifier
from tests.support import tokens

RSA = generate_rsa_key(65537, 2048)
RSA_OTHER = generate_rsa_key(65537, 2048)
RSA_SHORT = generate_rsa_key(65537, 1024)
EC = generate_ec_key(SECP256R1())
ED = Ed25519PrivateKey.generate()

KINDS = [("RS256", RSA), ("ES256", EC), ("EdDSA", ED)]


def jwk(key: Any, kid: object = None, **members: object) -> dict[str, Any]:
    """The public part of a private key as a JWK; a member given as None is left out."""
    classes: list[type[Algorithm]] = [RSAAlgorithm, ECAlgorithm, OKPAlgorithm]
    public = key.public_key()
    for kind in classes:
        if isinstance(public, kind._crypto_key_types or ()):
            document = kind.to_jwk(public, as_dict=True)
    document = document | {"kid": kid} | members
    return {name: value for name, value in document.items() if value is not None}


def token(key: Any, algorithm: str, kid: object = None, exp: float | None = None) -> str:
    headers = None if kid is None else {"kid": kid}
    return tokens.mint("maria", ["acme"], secret=key, algorithm=algorithm, headers=headers, exp=exp or time.time() + 60)


class Issuer:
    """An identity provider's server: counts the requests, and can misbehave.

    Attributes:
        body: what it answers.
        status: with which status.
        headers: and which headers.
        hits: how many requests came.
        gate: an answer waits until this is set.
    """

    def __init__(self) -> None:
        self.body = b""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.hits = 0
        self.gate = threading.Event()
        self.gate.set()
        self._asked = threading.Condition()
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with issuer._asked:
                    issuer.hits += 1
                    issuer._asked.notify_all()
                issuer.gate.wait()
                self.send_response(issuer.status)
                for name, value in issuer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                issuer.write(self.wfile.write)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    def write(self, send: Any) -> None:
        send(self.body)

    async def asked(self, times: int = 1) -> None:
        """Wait until so many requests have come."""

        def wait() -> None:
            with self._asked:
                self._asked.wait_for(lambda: self.hits >= times)

        await asyncio.to_thread(wait)

    def publish(self, *keys: dict[str, Any]) -> None:
        self.body = json.dumps({"keys": keys}).encode()

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Clock:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    found = Issuer()
    yield found
    found.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def verifier(issuer: Issuer, clock: Clock) -> AsyncIterator[TokenVerifier]:
    found = TokenVerifier(Settings(jwks_url=issuer.url), monotonic=clock)
    yield found
    await found.close()


async def settled() -> None:
    """Wait until no fetch is under way."""
    while fetches := [task for task in asyncio.all_tasks() if task.get_name() == "presence-jwks"]:
        await asyncio.wait(fetches)


# --- which key verifies what ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("algorithm", "key"), KINDS)
async def test_tokens_of_every_kind_of_key(verifier: TokenVerifier, issuer: Issuer, algorithm: str, key: Any) -> None:
    issuer.publish(*(jwk(each, f"kid-{name}") for name, each in KINDS))
    named = token(key, algorithm, f"kid-{algorithm}")
    assert verifier.verify_now(named) is None, "the key set was not fetched yet"
    assert (await verifier.verify(named)).user == "maria"
    assert verifier.verify_now(named) is not None
    assert issuer.hits == 1


@pytest.mark.parametrize(("algorithm", "key"), KINDS)
async def test_a_token_without_kid_is_tried_with_the_key_that_fits(
    verifier: TokenVerifier, issuer: Issuer, algorithm: str, key: Any
) -> None:
    issuer.publish(*(jwk(each, f"kid-{name}") for name, each in KINDS))
    assert (await verifier.verify(token(key, algorithm))).user == "maria"


@pytest.mark.parametrize("key", [RSA, RSA_OTHER])
async def test_a_token_without_kid_is_tried_with_each_key_that_fits(
    verifier: TokenVerifier, issuer: Issuer, key: Any
) -> None:
    issuer.publish(jwk(RSA, "a"), jwk(RSA_OTHER, "b"), jwk(EC, "c"))
    assert (await verifier.verify(token(key, "RS256"))).user == "maria"


async def test_a_token_without_kid_may_be_signed_with_a_key_just_published(
    verifier: TokenVerifier, issuer: Issuer
) -> None:
    issuer.publish(jwk(RSA))
    await verifier.verify(token(RSA, "RS256"))
    forged = token(RSA_OTHER, "RS256")
    with pytest.raises(errors.BadToken, match="signature"):
        await verifier.verify(forged)
    issuer.publish(jwk(RSA_OTHER))
    assert (await verifier.verify(forged)).user == "maria"


async def test_a_key_without_kid_goes_with_tokens_without(verifier: TokenVerifier, issuer: Issuer) -> None:
    issuer.publish(jwk(RSA))
    assert (await verifier.verify(token(RSA, "RS256"))).user == "maria"
    with pytest.raises(errors.BadToken):
        await verifier.verify(token(RSA, "RS256", "a"))


async def test_another_key_of_that_name_is_refused(verifier: TokenVerifier, issuer: Issuer) -> None:
    issuer.publish(jwk(RSA, "a"))
    with pytest.raises(errors.BadToken, match="Expected a signature by the configured key"):
        await verifier.verify(token(RSA_OTHER, "RS256", "a"))


@pytest.mark.parametrize("algorithm", ["PS256", "RS384", "RS512"])
async def test_other_algorithms_of_the_same_key_are_refused(
    verifier: TokenVerifier, issuer: Issuer, algorithm: str
) -> None:
    issuer.publish(jwk(RSA, "a"))
    with pytest.raises(errors.BadToken, match="signed with RS256 or ES256 or EdDSA, got another algorithm"):
        await verifier.verify(token(RSA, algorithm, "a"))
    assert issuer.hits == 0, "what can never be accepted needs no key"


async def test_an_algorithm_goes_with_its_kind_of_key(verifier: TokenVerifier, issuer: Issuer) -> None:
    issuer.publish(jwk(RSA, "a"), jwk(EC, "b"))
    for key, algorithm, kid in ((RSA, "RS256", "b"), (EC, "ES256", "a")):
        with pytest.raises(errors.BadToken, match="a key of the issuer's key set"):
            await verifier.verify(token(key, algorithm, kid))


async def test_a_public_key_is_no_secret(issuer: Issuer) -> None:
    """Algorithm confusion (RFC 8725, section 2.1): the public key, known to all, taken for the secret of HS256."""
    issuer.publish(jwk(RSA, "a"), {"kty": "oct", "kid": "s", "k": "c2VjcmV0" * 8})
    public = RSA.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secrets = [pem, pem.strip(), json.dumps(jwk(RSA, "a")).encode(), jwk(RSA)["n"].encode(), b"secret" * 8]
    for settings in (Settings(jwks_url=issuer.url), Settings(jwks_url=issuer.url, jwt_secret=tokens.SECRET)):
        checker = TokenVerifier(settings)
        for kid in (None, "a", "s"):
            for secret in secrets:
                with pytest.raises(errors.BadToken):
                    await checker.verify(hs256(secret, kid))
        await checker.close()


def hs256(secret: bytes, kid: str | None) -> str:
    """An HS256 token with a secret that PyJWT itself would not sign with."""
    header = {"alg": "HS256"} | ({} if kid is None else {"kid": kid})
    parts = [header, {"sub": "maria", "teams": ["acme"], "exp": time.time() + 60}]
    signing = b".".join(jwt.utils.base64url_encode(json.dumps(part).encode()) for part in parts)
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(signing, secret)
    return (signing + b"." + jwt.utils.base64url_encode(signature)).decode()


async def test_secret_and_key_set_side_by_side(issuer: Issuer) -> None:
    issuer.publish(jwk(RSA, "a"))
    checker = TokenVerifier(Settings(jwks_url=issuer.url, jwt_secret=tokens.SECRET))
    assert checker.verify_now(tokens.mint("maria", ["acme"])) is not None, "no key set is needed for a secret"
    assert checker.verify_now(tokens.mint("maria", ["acme"], headers={"kid": "a"})) is not None
    assert (await checker.verify(token(RSA, "RS256", "a"))).user == "maria"
    with pytest.raises(errors.BadToken, match="signed with HS256 or RS256 or ES256 or EdDSA, got another"):
        checker.verify_now(tokens.unsigned("maria", ["acme"]))
    await checker.close()


@pytest.mark.parametrize("kid", [7, ["a"], {}, True])
async def test_a_kid_is_a_string(verifier: TokenVerifier, issuer: Issuer, kid: object) -> None:
    _, payload, signature = token(RSA, "RS256").split(".")
    header = jwt.utils.base64url_encode(json.dumps({"alg": "RS256", "kid": kid}).encode()).decode()
    with pytest.raises(errors.BadToken, match="Expected a JWT whose header"):
        await verifier.verify(f"{header}.{payload}.{signature}")
    assert issuer.hits == 0


async def test_claims_are_checked_all_the_same(verifier: TokenVerifier, issuer: Issuer) -> None:
    issuer.publish(jwk(RSA, "a"))
    with pytest.raises(errors.BadToken, match="expired"):
        await verifier.verify(token(RSA, "RS256", "a", exp=time.time() - 5))


# --- which keys are used ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "member",
    [
        jwk(RSA, "a", use="enc"),
        jwk(RSA, "a", alg="PS256"),
        jwk(RSA, "a", alg="RSA-OAEP"),
        jwk(RSA, "a", key_ops=["encrypt"]),
        jwk(RSA, "a", key_ops="verify"),
        jwk(RSA, "a", n=None),
        jwk(RSA, "a", n=7),
        jwk(RSA, "a", e=""),
        jwk(RSA, "a", kty="oct"),
        jwk(RSA, "a", kty=["RSA"]),
        jwk(RSA, 7),
        jwk(RSA_SHORT, "a"),
        jwk(EC, "a", crv="P-384"),
        jwk(EC, "a", x=jwk(EC)["y"]),
        jwk(EC, "a", x="AQ"),
        jwk(generate_ec_key(SECP384R1()), "a"),
        jwk(generate_ec_key(SECP256K1()), "a"),
        jwk(Ed448PrivateKey.generate(), "a"),
        jwk(ED, "a", alg="ES256"),
        jwk(ED, "a", x="AQ"),
        jwk(ED, "a", crv=None),
        {"kty": "oct", "kid": "a", "alg": "HS256", "k": "c2VjcmV0" * 8},
        {},
        7,
        None,
    ],
)
def test_keys_that_are_not_for_this_are_left_out(member: object) -> None:
    usable = jwk(RSA_OTHER, "good")
    keys = jwks.parse(json.dumps({"keys": [member, usable]}).encode())
    assert [key.identity for key in keys] == ["good"]
    with pytest.raises(ValueError, match=r"Expected a key for RS256, ES256, EdDSA in the key set, got none"):
        jwks.parse(json.dumps({"keys": [member]}).encode())


@pytest.mark.parametrize("members", [{"use": "sig"}, {"key_ops": ["verify"]}, {"alg": "RS256"}, {"x5c": ["x"]}])
def test_keys_that_are_for_this_are_used(members: dict[str, object]) -> None:
    (key,) = jwks.parse(json.dumps({"keys": [jwk(RSA, "a", **members)]}).encode())
    assert (key.algorithm, key.identity) == ("RS256", "a")


@pytest.mark.parametrize(("algorithm", "key"), KINDS)
def test_a_private_key_published_by_mistake_is_used_as_a_public_one(algorithm: str, key: Any) -> None:
    classes: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}
    private = classes[algorithm].to_jwk(key, as_dict=True) | {"key_ops": ["sign", "verify"]}
    assert "d" in private
    (found,) = jwks.parse(json.dumps({"keys": [private]}).encode())
    assert not hasattr(found.key.key, "sign")


def test_two_keys_of_one_name_are_both_used() -> None:
    keys = jwks.parse(json.dumps({"keys": [jwk(RSA, "a"), jwk(RSA_OTHER, "a")]}).encode())
    assert [key.identity for key in keys] == ["a", "a"]


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[]}', b"<html>", b"\xff", b"null"])
def test_what_is_no_key_set(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"Expected|expected|empty|invalid|str is not valid"):
        jwks.parse(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
MEMBERS = st.sampled_from(["kty", "crv", "n", "e", "x", "y", "use", "alg", "kid", "key_ops"])


@given(base=st.sampled_from([RSA, EC, ED]), changed=st.dictionaries(MEMBERS, JSON))
def test_no_member_of_a_key_upsets_the_others(base: Any, changed: dict[str, Any]) -> None:
    document = json.dumps({"keys": [jwk(base) | changed, jwk(RSA_OTHER, "good")]}).encode()
    assert jwks.parse(document)[-1].identity == "good"


# --- when they are fetched --------------------------------------------------------------------------------------------


async def test_all_who_wait_share_one_fetch(verifier: TokenVerifier, issuer: Issuer) -> None:
    issuer.publish(jwk(RSA, "a"))
    issuer.gate.clear()
    waiting = [asyncio.create_task(verifier.verify(token(RSA, "RS256", "a"))) for _ in range(10)]
    await issuer.asked()
    waiting[0].cancel()
    late = asyncio.create_task(verifier.verify(token(RSA, "RS256", "a")))
    issuer.gate.set()
    found = await asyncio.gather(*waiting[1:], late)
    assert {claims.user for claims in found} == {"maria"}, "that one gave up costs the others nothing"
    assert issuer.hits == 1


async def test_a_new_key_is_found(verifier: TokenVerifier, issuer: Issuer, clock: Clock) -> None:
    issuer.publish(jwk(RSA, "a"))
    await verifier.verify(token(RSA, "RS256", "a"))
    issuer.publish(jwk(RSA, "a"), jwk(EC, "b"))
    clock.now_s += 1 / jwks.ATTEMPTS.per_s
    assert (await verifier.verify(token(EC, "ES256", "b"))).user == "maria"
    assert issuer.hits == 2


async def test_made_up_keys_do_not_hammer_the_issuer(verifier: TokenVerifier, issuer: Issuer, clock: Clock) -> None:
    issuer.publish(jwk(RSA, "a"))
    await verifier.verify(token(RSA, "RS256", "a"))
    for number in range(50):
        clock.now_s += 1
        with pytest.raises((errors.BadToken, errors.Unavailable)):
            await verifier.verify(token(RSA_OTHER, "RS256", f"made-up-{number}"))
    assert issuer.hits == jwks.ATTEMPTS.burst + 1, "those saved up, and one more in 50 s"
    assert verifier.verify_now(token(RSA, "RS256", "a")) is not None


async def test_made_up_keys_get_nobody_refused_for_good(verifier: TokenVerifier, issuer: Issuer, clock: Clock) -> None:
    """Who comes with a key that may be new is told to come back, and gets in as soon as it may be looked for."""
    issuer.publish(jwk(RSA, "a"))
    await verifier.verify(token(RSA, "RS256", "a"))
    for number in range(6):
        with pytest.raises((errors.BadToken, errors.Unavailable)):
            await verifier.verify(token(RSA_OTHER, "RS256", f"made-up-{number}"))
    issuer.publish(jwk(RSA, "a"), jwk(EC, "rotated"))
    rotated = token(EC, "ES256", "rotated")
    with pytest.raises(errors.Unavailable, match="may be new") as refused:
        await verifier.verify(rotated)
    assert (refused.value.close_code, refused.value.http_status) == (1013, 503)
    with pytest.raises(errors.Unavailable, match="may be new"):
        verifier.verify_now(rotated)
    clock.now_s += 1 / jwks.ATTEMPTS.per_s
    assert (await verifier.verify(rotated)).user == "maria"


async def test_a_token_waits_for_the_fetch_under_way(verifier: TokenVerifier, issuer: Issuer, clock: Clock) -> None:
    issuer.publish(jwk(RSA, "a"))
    await verifier.verify(token(RSA, "RS256", "a"))
    clock.now_s += 1 / jwks.ATTEMPTS.per_s
    issuer.gate.clear()
    issuer.publish(jwk(RSA, "a"), jwk(EC, "b"))
    made_up = asyncio.create_task(verifier.verify(token(RSA_OTHER, "RS256", "made-up")))
    await issuer.asked(2)
    assert verifier.verify_now(token(EC, "ES256", "b")) is None
    new = asyncio.create_task(verifier.verify(token(EC, "ES256", "b")))
    assert verifier.verify_now(token(RSA, "RS256", "a")) is not None, "who has a key does not wait"
    issuer.gate.set()
    assert (await new).user == "maria"
    with pytest.raises(errors.BadToken):
        await made_up
    assert issuer.hits == 2


@pytest.mark.parametrize("trouble", ["status", "garbage", "no keys", "gone"])
async def test_old_keys_stay_when_new_ones_cannot_be_had(
    verifier: TokenVerifier, issuer: Issuer, clock: Clock, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.publish(jwk(RSA, "a"))
    good = token(RSA, "RS256", "a")
    await verifier.verify(good)
    if trouble == "status":
        issuer.status = 503
    elif trouble == "garbage":
        issuer.body = b"<html>"
    elif trouble == "no keys":
        issuer.publish()
    else:
        issuer._server.socket.close()
    clock.now_s += jwks.MAX_AGE_S
    assert (await verifier.verify(good)).user == "maria"
    assert "the keys known so far stay in use" in caplog.text
    with pytest.raises(errors.Unavailable):
        await verifier.verify(token(EC, "ES256", "b"))


async def test_a_withdrawn_key_stops_being_good(verifier: TokenVerifier, issuer: Issuer, clock: Clock) -> None:
    issuer.publish(jwk(RSA, "a"), jwk(EC, "b"))
    withdrawn = token(RSA, "RS256", "a")
    await verifier.verify(withdrawn)
    issuer.publish(jwk(EC, "b"))
    clock.now_s += jwks.REFRESH_AFTER_S
    assert verifier.verify_now(withdrawn) is not None, "nobody waits for this refresh"
    await settled()
    with pytest.raises(errors.BadToken):
        await verifier.verify(withdrawn)
    assert issuer.hits == 3, "the first, the one behind his back, and one more look"


async def test_very_old_keys_are_refreshed_first(verifier: TokenVerifier, issuer: Issuer, clock: Clock) -> None:
    issuer.publish(jwk(RSA, "a"))
    withdrawn = token(RSA, "RS256", "a")
    await verifier.verify(withdrawn)
    issuer.publish(jwk(EC, "b"))
    clock.now_s += jwks.MAX_AGE_S
    with pytest.raises(errors.BadToken):
        await verifier.verify(withdrawn)


async def test_unavailable_until_the_first_fetch_succeeds(
    verifier: TokenVerifier, issuer: Issuer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.publish(jwk(RSA, "a"))
    issuer.status = 500
    good = token(RSA, "RS256", "a")
    for _ in range(5):
        with pytest.raises(errors.Unavailable, match="Expected the issuer's key set, got no answer"):
            await verifier.verify(good)
    assert issuer.hits == 1, "one attempt in two seconds"
    assert "no token can be verified" in caplog.text
    assert "Expected status 200, got 500" in caplog.text
    issuer.status = 200
    clock.now_s += jwks.FIRST_COOLDOWN_S
    assert (await verifier.verify(good)).user == "maria"


async def test_closing_gives_up_a_fetch(issuer: Issuer) -> None:
    checker = TokenVerifier(Settings(jwks_url=issuer.url))
    issuer.gate.clear()
    waiting = asyncio.create_task(checker.verify(token(RSA, "RS256", "a")))
    await issuer.asked()
    await checker.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    issuer.gate.set()


# --- how they are fetched ---------------------------------------------------------------------------------------------


def test_redirects_are_not_followed(issuer: Issuer) -> None:
    issuer.status = 302
    issuer.headers = {"Location": issuer.url}
    with pytest.raises(OSError, match="Expected status 200, got 302"):
        fetching.fetch(issuer.url)
    assert issuer.hits == 1


def test_size_is_bounded(issuer: Issuer) -> None:
    issuer.body = b" " * fetching.MAX_BYTES
    assert len(fetching.fetch(issuer.url)) == fetching.MAX_BYTES
    issuer.body += b" "
    with pytest.raises(ValueError, match="Expected at most 1048576 bytes, got more"):
        fetching.fetch(issuer.url)


def test_silence_ends_the_fetch(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "FETCH_TIMEOUT_S", 0.05)
    issuer.gate.clear()
    with pytest.raises(TimeoutError):
        fetching.fetch(issuer.url)


def test_a_trickle_ends_the_fetch(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "FETCH_TIMEOUT_S", 0.2)

    def trickle(send: Any) -> None:
        with contextlib.suppress(OSError):
            while True:
                send(b" ")
                time.sleep(0.01)

    monkeypatch.setattr(issuer, "write", trickle)
    with pytest.raises(TimeoutError, match="Expected the whole answer"):
        fetching.fetch(issuer.url)


def test_a_trickle_of_headers_ends_the_fetch(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "FETCH_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_trickle_headers, args=(listener,), daemon=True).start()
        with pytest.raises(TimeoutError, match=r"Expected the whole answer within 0\.2 s"):
            fetching.fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/keys")


def _trickle_headers(listener: socket.socket) -> None:
    line, _ = listener.accept()
    with line, contextlib.suppress(OSError):
        line.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            line.sendall(b"X-More: yes\r\n")
            time.sleep(0.01)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/keys", "data:,{}", ""])
def test_only_http_is_fetched(url: str) -> None:
    with pytest.raises(ValueError, match="Expected an http or https URL"):
        fetching.fetch(url)
