"""Tokens: what is accepted, what is refused, and that nothing else can come out of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from presence_server import errors
from presence_server.core.ids import PATTERN
from presence_server.core.messages import MAX_TEAMS, MAX_TOKEN_LENGTH
from presence_server.settings import Settings
from presence_server.web.auth import Claims, TokenVerifier, mint
from tests.support import tokens
from tests.support.tokens import SECRET

NOW_S = 1_763_800_000.0


def verifier(clock: Callable[[], float] = time.time, **settings: Any) -> TokenVerifier:
    return TokenVerifier(Settings(jwt_secret=SECRET, **settings), clock=clock)


def signed(payload: bytes | dict[str, Any], secret: Any = SECRET, algorithm: str = "HS256", **header: Any) -> str:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return jwt.PyJWS().encode(body, secret, algorithm, header)


def verified(claims: dict[str, Any], **settings: Any) -> Claims:
    """What a verifier at NOW_S makes of a token with these claims."""
    found = verifier(lambda: NOW_S, **settings).verify_now(signed(claims))
    assert found is not None
    return found


def assert_refused(token: str, match: str, checker: TokenVerifier | None = None) -> None:
    with pytest.raises(errors.BadToken, match=match) as raised:
        (checker or verifier(lambda: NOW_S)).verify_now(token)
    text = str(raised.value)
    assert re.match(r"Expected .*, got ", text)
    assert len(text) < 250
    assert not any(part in text for part in token.split(".") if len(part) > 8)


GOOD: dict[str, Any] = {"sub": "maria", "teams": ["acme", "labs"], "exp": NOW_S + 60}


# --- accepted ---------------------------------------------------------------------------------------------------------


def test_claims_of_a_full_token() -> None:
    claims = GOOD | {"sid": "s1", "iat": NOW_S - 5, "nbf": NOW_S - 5, "scope": "openid presence:admin", "aud": "a"}
    assert verified(claims) == Claims(
        user="maria",
        teams=("acme", "labs"),
        session="s1",
        expires_at_s=NOW_S + 60,
        issued_at_s=NOW_S - 5,
        admin=True,
        all_teams=False,
    )


def test_claims_of_a_token_with_what_is_required() -> None:
    found = verified(GOOD)
    assert (found.session, found.issued_at_s, found.admin, found.all_teams) == (None, 0.0, False, False)


def test_not_before_is_not_taken_for_issued_at() -> None:
    assert verified(GOOD | {"nbf": NOW_S - 5}).issued_at_s == 0.0


def test_membership() -> None:
    found = verified(GOOD)
    assert found.member_of("acme")
    assert not found.member_of("acm")
    assert not found.member_of("*")


def test_teams_named_twice_count_once() -> None:
    assert verified(GOOD | {"teams": ["b", "a", "b"]}).teams == ("b", "a")


@pytest.mark.parametrize("claims", [{"sub": "maria", "exp": NOW_S + 60}, GOOD | {"teams": []}])
def test_a_token_without_teams_is_good_for_none(claims: dict[str, Any]) -> None:
    found = verified(claims)
    assert found.teams == ()
    assert not found.member_of("acme")


def test_all_teams_are_for_administrators() -> None:
    found = verified(GOOD | {"teams": ["*"], "scope": "presence:admin"})
    assert found.all_teams
    assert found.member_of("acme")
    assert found.teams == (), "over WebSocket it is good for no team"


@pytest.mark.parametrize(
    "scope", ["", "presence:administrator", "x presence:admin2", "presence: admin", "Presence:Admin"]
)
def test_all_teams_are_none_without_the_scope(scope: str) -> None:
    found = verified(GOOD | {"teams": ["*"], "scope": scope})
    assert not found.admin
    assert not found.member_of("acme")


def test_a_hundred_teams_fit() -> None:
    teams = [f"team-{number:03}" for number in range(MAX_TEAMS)]
    assert len(verified(GOOD | {"teams": teams}).teams) == MAX_TEAMS


@given(user=st.from_regex(PATTERN, fullmatch=True))
def test_every_id_is_a_user(user: str) -> None:
    assert verified(GOOD | {"sub": user}).user == user


# --- refused ----------------------------------------------------------------------------------------------------------

NO_IDS: list[object] = [
    None,
    7,
    True,
    [],
    {},
    "",
    "a" * 129,
    "-a",
    ".a",
    "a b",
    "a/b",
    "a\n",
    "\na",
    "a\0",
    "é",
    "ａ",
    "*",
    "__proto__ ",
]


@pytest.mark.parametrize("value", NO_IDS)
@pytest.mark.parametrize("name", ["sub", "sid"])
def test_what_is_no_id_is_refused(name: str, value: object) -> None:
    assert_refused(signed(GOOD | {name: value}), f"Expected '{name}' to be an id")


@given(text=st.text())
def test_a_user_is_an_id_or_the_token_is_refused(text: str) -> None:
    if re.fullmatch(PATTERN, text):
        assert verified(GOOD | {"sub": text}).user == text
    else:
        assert_refused(signed(GOOD | {"sub": text}), "Expected 'sub' to be an id")


@pytest.mark.parametrize(
    ("teams", "match"),
    [
        ("acme", "an array of ids, got a string"),
        ({"acme": 1}, "an array of ids, got an object"),
        (None, "an array of ids, got null"),
        ([["acme"]], "got an array"),
        ([7], "got a number"),
        (["acme\n"], "got another string of 5 characters"),
        (["*", "acme"], "got another string of 1 characters"),
        (["*", "*"], "got another string of 1 characters"),
        ([f"t{number}" for number in range(MAX_TEAMS + 1)], "up to 100 teams, got 101"),
    ],
)
def test_what_are_no_teams_is_refused(teams: object, match: str) -> None:
    assert_refused(signed(GOOD | {"teams": teams, "scope": "presence:admin"}), match)


NO_DATES: list[object] = [None, "1763800060", "", True, False, [NOW_S + 60], {}]


@pytest.mark.parametrize("value", NO_DATES)
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_what_is_no_number_is_no_date(name: str, value: object) -> None:
    assert_refused(signed(GOOD | {name: value}), f"Expected '{name}' to be a number")


@pytest.mark.parametrize("value", [1e300, 2**70, -(2**70), NOW_S * 1000])
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_dates_beyond_all_calendars_are_refused(name: str, value: float) -> None:
    assert_refused(signed(GOOD | {name: value}), f"Expected '{name}' in seconds and before the year 10000")


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity", b"0x7fffffff", b"1_000"])
def test_numbers_that_json_does_not_have_are_refused(literal: bytes) -> None:
    assert_refused(signed(b'{"sub":"maria","teams":[],"exp":%b}' % literal), "to be JSON")


def test_what_json_has_and_no_machine_is_refused_where_it_is_read() -> None:
    assert_refused(signed(b'{"sub":"maria","teams":[],"exp":1e999}'), "Expected 'exp' in seconds and before the year")
    assert_refused(signed(b'{"sub":"\\ud800","exp":1}'), "Expected 'sub' to be an id")
    claims = b'{"sub":"maria","teams":["acme"],"exp":%d,"name":"\\ud83d","n":1e999}' % (NOW_S + 60)
    assert verifier(lambda: NOW_S).verify_now(signed(claims)) is not None


def test_a_token_without_expiry_is_refused() -> None:
    assert_refused(signed({"sub": "maria", "teams": ["acme"]}), "Expected 'exp' to be a number")


def test_expiry_has_no_leeway() -> None:
    assert verified(GOOD | {"exp": NOW_S + 0.001}).expires_at_s == NOW_S + 0.001
    assert_refused(signed(GOOD | {"exp": NOW_S}), "expired 0 s ago")
    assert_refused(signed(GOOD | {"exp": NOW_S - 7}), "expired 7 s ago")


def test_a_token_that_is_merely_over_asks_for_a_new_one() -> None:
    over = GOOD | {"exp": NOW_S - 7}
    checker = verifier(lambda: NOW_S)
    with pytest.raises(errors.TokenExpired) as refused:
        checker.verify_now(signed(over))
    assert (refused.value.close_code, refused.value.http_status, refused.value.code) == (4004, 401, "bad_token")
    for wrong in (signed(over, "x" * 32), signed(over | {"teams": 7}), signed(over | {"sub": ""})):
        with pytest.raises(errors.BadToken) as refused_for_good:
            checker.verify_now(wrong)
        assert refused_for_good.value.close_code == 4501


def test_a_hundred_teams_of_the_longest_names_fit() -> None:
    teams = [f"{number:03}{'t' * 125}" for number in range(MAX_TEAMS)]
    token = signed(GOOD | {"teams": teams})
    assert len(token) > 16_000
    assert verified(GOOD | {"teams": teams}).teams == tuple(teams)


def test_while_a_secret_is_changed_two_hold() -> None:
    other = "o" * 32
    checker = TokenVerifier(Settings(jwt_secret=f"{other},{SECRET}"), clock=lambda: NOW_S)
    for secret in (SECRET, other):
        assert checker.verify_now(signed(GOOD, secret)) is not None
    assert_refused(signed(GOOD, "x" * 32), "Expected a signature by the configured key", checker)
    assert_refused(signed(GOOD, f"{other},{SECRET}"), "Expected a signature by the configured key", checker)


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_the_future_has_a_minute_of_leeway(name: str) -> None:
    assert verified(GOOD | {name: NOW_S + 60}).user == "maria"
    assert_refused(signed(GOOD | {name: NOW_S + 61}), f"Expected '{name}' to have passed, got one that is 61 s ahead")


@pytest.mark.parametrize("scope", [["presence:admin"], None, True, 1])
def test_a_scope_is_a_string(scope: object) -> None:
    assert_refused(signed(GOOD | {"scope": scope}), "space-separated string")


@pytest.mark.parametrize("payload", [b"", b"[]", b'"maria"', b"null", b"{", b"\xff", b"[" * 3000])
def test_a_payload_that_is_no_object_is_refused(payload: bytes) -> None:
    assert_refused(signed(payload), "Expected the token's claims to be")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["sub", "teams", "exp", "sid", "iat", "nbf", "aud", "iss", "scope"])


@given(claims=st.dictionaries(NAMES, JSON))
def test_whatever_is_claimed_the_answer_is_claims_or_a_refusal(claims: dict[str, Any]) -> None:
    checker = verifier(lambda: NOW_S, jwt_audience="presence", jwt_issuer="issuer")
    found: Claims | errors.BadToken | None
    try:
        found = checker.verify_now(signed(GOOD | {"aud": "presence", "iss": "issuer"} | claims))
    except errors.BadToken as exc:
        found = exc
    assert str(found).startswith("Expected ") or (isinstance(found, Claims) and re.fullmatch(PATTERN, found.user))


# --- audience and issuer ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("audience", ["presence", ["presence"], ["other", "presence"]])
def test_the_configured_audience(audience: object) -> None:
    assert verified(GOOD | {"aud": audience}, jwt_audience="presence").user == "maria"


@pytest.mark.parametrize(
    "audience", [{}, {"aud": "other"}, {"aud": []}, {"aud": {"presence": 1}}, {"aud": "presence "}]
)
def test_another_audience(audience: dict[str, Any]) -> None:
    checker = verifier(lambda: NOW_S, jwt_audience="presence")
    assert_refused(signed(GOOD | audience), "Expected 'aud'", checker)


@pytest.mark.parametrize("issuer", [{}, {"iss": "https://other"}, {"iss": ["https://issuer"]}, {"iss": None}])
def test_another_issuer(issuer: dict[str, Any]) -> None:
    checker = verifier(lambda: NOW_S, jwt_issuer="https://issuer")
    assert_refused(signed(GOOD | issuer), "Expected 'iss'", checker)


def test_the_configured_issuer() -> None:
    assert verified(GOOD | {"iss": "https://issuer"}, jwt_issuer="https://issuer").user == "maria"


# --- signatures -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rsa_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def test_unsigned_tokens_are_refused() -> None:
    assert_refused(tokens.unsigned("maria", ["acme"]), "signed with HS256, got another algorithm")
    header, payload, signature = tokens.mint("maria", ["acme"]).split(".")
    assert_refused(f"{header}.{payload}.", "Expected a signature by the configured key")
    unsigned_header = tokens.unsigned("maria", ["acme"]).split(".")[0]
    assert_refused(f"{unsigned_header}.{payload}.{signature}", "got another algorithm")


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_longer_hashes_are_refused(algorithm: str) -> None:
    secret = SECRET * 2
    checker = TokenVerifier(Settings(jwt_secret=secret), clock=lambda: NOW_S)
    assert checker.verify_now(signed(GOOD, secret)) is not None
    assert_refused(signed(GOOD, secret, algorithm), "got another algorithm", checker)


def test_asymmetric_algorithms_do_not_go_with_a_secret(rsa_key: RSAPrivateKey) -> None:
    assert_refused(signed(GOOD, rsa_key, "RS256"), "got another algorithm")


def test_another_secret_is_refused() -> None:
    assert_refused(signed(GOOD, SECRET + "x"), "Expected a signature by the configured key")


@pytest.mark.parametrize(
    "header", [b"{}", b'{"alg":null}', b'{"alg":["HS256"]}', b'{"alg":"hs256"}', b'{"alg":{}}', b'{"alg":1}']
)
def test_an_algorithm_must_be_named(header: bytes) -> None:
    _, payload, signature = signed(GOOD).split(".")
    encoded = jwt.utils.base64url_encode(header).decode()
    assert_refused(f"{encoded}.{payload}.{signature}", "got another algorithm")


@pytest.mark.parametrize("header", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"crit": "b64"}])
def test_critical_headers_are_not_ignored(header: dict[str, Any]) -> None:
    assert_refused(signed(GOOD, **header), "Expected a JWT whose header")


def test_keys_that_a_token_brings_along_are_not_looked_at() -> None:
    brought = {"kty": "oct", "k": jwt.utils.base64url_encode(b"k" * 32).decode()}
    assert_refused(signed(GOOD, "k" * 32, jwk=brought), "Expected a signature by the configured key")


@pytest.mark.parametrize(
    "token", ["", ".", "..", "...", "a.b", "a.b.c", "e30.e30.e30", "€.€.€", "a" * 100, "\ud800", " "]
)
def test_what_is_no_token_is_refused(token: str) -> None:
    assert_refused(token, "Expected a")


@given(text=st.text(alphabet=st.characters(max_codepoint=127)) | st.text())
def test_whatever_comes_as_a_token_is_refused(text: str) -> None:
    with pytest.raises(errors.BadToken):
        verifier().verify_now(text)


@given(data=st.data())
def test_a_token_with_one_character_changed_is_refused(data: st.DataObject) -> None:
    token = signed(GOOD)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("abcXYZ019-_.=").filter(lambda character: character != token[place]))
    with pytest.raises(errors.BadToken):
        verifier(lambda: NOW_S).verify_now(token[:place] + other + token[place + 1 :])


def test_size_is_bounded() -> None:
    def of_length(length: int) -> str:
        padding = "x" * (length * 3 // 4)
        while len(token := signed(GOOD | {"padding": padding})) > length:
            padding = padding[:-1]
        return token

    assert verifier(lambda: NOW_S).verify_now(of_length(MAX_TOKEN_LENGTH)) is not None
    too_long = signed(GOOD | {"padding": "x" * MAX_TOKEN_LENGTH})
    assert_refused(too_long, "up to 24576 ASCII characters")


async def test_waiting_is_not_needed_for_a_secret() -> None:
    checker = verifier()
    assert (await checker.verify(tokens.mint("maria", ["acme"]))).user == "maria"
    with pytest.raises(errors.BadToken):
        await checker.verify("x")
    await checker.close()


def test_nothing_can_verify_without_a_key() -> None:
    assert_refused(signed(GOOD), "signed with a configured key", TokenVerifier(Settings()))


def test_a_secret_that_everybody_knows_is_refused(rsa_key: RSAPrivateKey) -> None:
    public = rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for secret in ("", public, '{"kty":"RSA","n":"AQ","e":"AQAB"}'):
        with pytest.raises(errors.SettingsError, match=r"PRESENCE_JWT_SECRET: Expected a secret that only"):
            TokenVerifier(Settings(jwt_secret=secret))


# --- minting ----------------------------------------------------------------------------------------------------------


def test_minted_tokens_hold() -> None:
    token = mint(SECRET, user="maria", teams=["acme", "labs"], session="s1", admin=True, ttl_s=90, now_s=NOW_S + 0.7)
    assert verifier(lambda: NOW_S).verify_now(token) == Claims(
        "maria", ("acme", "labs"), "s1", NOW_S + 90, NOW_S, admin=True, all_teams=False
    )
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}


def test_minted_tokens_hold_an_hour_from_now() -> None:
    before_s = time.time()
    found = verifier().verify_now(mint(SECRET, user="maria", teams=["acme"]))
    assert found is not None
    assert before_s - 1 <= found.issued_at_s <= time.time()
    assert found.expires_at_s - found.issued_at_s == 3600
    assert (found.session, found.admin) == (None, False)


def test_a_token_for_all_teams_can_be_minted() -> None:
    found = verifier().verify_now(mint(SECRET, user="ops", teams=["*"], admin=True))
    assert found is not None
    assert found.all_teams


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"user": "a b"}, "Expected ids of users and sessions"),
        ({"session": ""}, "Expected ids of users and sessions"),
        ({"teams": ["a b"]}, "Expected 'teams' to hold ids"),
        ({"teams": ["*", "acme"]}, "Expected 'teams' to hold ids"),
        ({"teams": ["t"] * 101}, "up to 100 teams"),
        ({"secret": ""}, "Expected a secret"),
    ],
)
def test_what_would_be_refused_is_not_minted(arguments: dict[str, Any], match: str) -> None:
    given_arguments = {"secret": SECRET, "user": "maria", "teams": ["acme"]} | arguments
    with pytest.raises(ValueError, match=match):
        mint(given_arguments.pop("secret"), **given_arguments)
