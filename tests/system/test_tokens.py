"""Section 4 of the contract: tokens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import NewSite
from tests.support.issuer import Issuer
from tests.support.site import Site
from tests.support.tokens import confused, mint, unsigned

OTHER_SECRET = "another-secret-that-is-long-enough-for-hs256-0123456789"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An issuer with public keys."""
    issuer = Issuer()
    yield issuer
    issuer.close()


async def _refused_everywhere(site: Site, token: object) -> None:
    """The token opens neither a connection nor a request."""
    await site.refused(4501, token=token)
    problem = await site.api(token=str(token)).refused(401, "GET", "/v1/teams/{team}/presence")
    assert problem["code"] == "bad_token"


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "no expiry": {"exp": None},
    "an expiry that is no number": {"exp": "tomorrow"},
    "issued in the future": {"iat": time.time() + 3_600},
    "not valid yet": {"nbf": time.time() + 3_600},
    "no user": {"sub": None},
    "a user that is no text": {"sub": 7},
    "a user that is no id": {"sub": "ju an"},
    "a user with a brace": {"sub": "juan}"},
    "a user of two lines": {"sub": "juan\n"},
    "an empty user": {"sub": ""},
    "too long a user": {"sub": "j" * 129},
    "a user that begins with a dot": {"sub": ".juan"},
    "teams that are no list": {"teams": "acme"},
    "a team that is no id": {"teams": ["ac me"]},
    "a team with a brace": {"teams": ["acme}x{"]},
    "a hundred and one teams": {"teams": [f"team{n}" for n in range(101)]},
    "a session that is no id": {"sid": "a b"},
}


@pytest.mark.parametrize("claims", BAD_CLAIMS.values(), ids=BAD_CLAIMS.keys())
async def test_wrong_claims_are_refused(site: Site, claims: dict[str, Any]) -> None:
    """Whatever the signature is worth: 4501, and 401 over HTTP."""
    await _refused_everywhere(site, site.token("juan", **({"teams": [site.team]} | claims)))


async def test_an_expired_token_asks_for_a_new_one(site: Site) -> None:
    """Well signed, but over: 4004, after which a client comes back, and 401 over HTTP."""
    expired = site.token("juan", ttl_s=-2.5)
    await site.refused(4004, token=expired)
    await site.api(token=expired).refused(401, "GET", "/v1/teams/{team}/presence")


async def test_no_signature_and_foreign_signatures_are_refused(site: Site, issuer: Issuer) -> None:
    """`alg: none`, another secret, another algorithm than goes with a secret, a changed payload, and no JWT at all."""
    good = site.token("juan")
    head, _, signature = good.split(".")
    others_payload = site.token("maria").split(".")[1]
    for token in (
        unsigned("juan", [site.team]),
        site.token("juan", secret=OTHER_SECRET),
        site.token("juan", algorithm="HS512"),
        issuer.sign("juan", [site.team], "RS256", "rsa-1"),
        ".".join([head, others_payload, signature]),
        good[:-4],
        "no-token",
        "",
    ):
        await site.refused(4501, token=token)
        # An empty or malformed bearer is no token either.
        problem = await site.api(token=token or ".").refused(401, "GET", "/v1/teams/{team}/presence")
        assert problem["code"] == "bad_token"


async def test_a_token_with_everything_allowed_passes(site: Site) -> None:
    """A hundred teams, ids of all allowed characters, clocks a little off, unknown claims."""
    now = time.time()
    teams = [site.team, *(f"{site.tag}-{number}" for number in range(99))]
    token = mint(
        "_Ju.an:1@x+y-z", teams, sid="s:1", iat=now + 30, nbf=now + 30, scope="mail presence:other", theme="dark"
    )
    juan = await site.connect("juan", token=token)
    assert juan.welcome["user"] == "_Ju.an:1@x+y-z"
    assert juan.welcome["teams"] == teams
    assert len(juan.views) == 100


@pytest.mark.parametrize("claim", ["iat", "nbf"])
async def test_the_leeway_is_a_minute(site: Site, claim: str) -> None:
    """Clocks differ: 50 s ahead passes, 75 s does not."""
    await site.connect("juan", token=site.token("juan", **{claim: time.time() + 50}))
    await _refused_everywhere(site, site.token("juan", **{claim: time.time() + 75}))


async def test_welcome_says_when_the_token_expires(site: Site) -> None:
    """`token_expires_at` in milliseconds, and `server_time` by Redis's clock."""
    expires = int(time.time()) + 500
    juan = await site.connect("juan", token=site.token("juan", exp=expires))
    assert juan.welcome["token_expires_at"] == expires * 1_000
    assert abs(juan.welcome["server_time"] - time.time() * 1_000) < 5_000


async def test_no_team_is_not_allowed(site: Site) -> None:
    """A good token without any team has nothing to see: 4503."""
    await site.refused(4503, token=site.token("juan", teams=[]))


async def test_every_team_is_for_administrators_over_http_only(site: Site) -> None:
    """`teams: ["*"]`: reads any team as administrator; without the scope, or over WebSocket, it is nothing."""
    juan = await site.connect("juan")
    star = site.token("boss", teams=["*"], admin=True)
    assert (await site.api(token=star).user("juan"))["status"] == "online"
    await site.api(token=star).choose("juan", "busy")
    await juan.sees("juan", "busy", reason="forced")
    refused = await site.connect("boss", token=star, settled=False)
    await refused.closed(4501, 4503)
    assert not refused.of_type("welcome")
    plain = await site.api(token=site.token("boss", teams=["*"])).request("GET", "/v1/teams/{team}/presence")
    assert plain.status_code in (401, 403)


async def test_audience_and_issuer_are_ignored_unless_configured(site: Site) -> None:
    """A token with `aud` and `iss` passes where neither is configured."""
    await site.connect("juan", token=site.token("juan", aud="someone", iss="anyone"))


async def test_audience_and_issuer_are_required_where_configured(new_site: NewSite) -> None:
    """The right ones pass, as a list too; wrong and missing ones are refused."""
    site = await new_site(jwt_audience="presence", jwt_issuer="https://id.example")
    good: dict[str, Any] = {"aud": "presence", "iss": "https://id.example"}
    await site.connect("juan", token=site.token("juan", **good))
    await site.connect("juan", token=site.token("juan", **(good | {"aud": ["mail", "presence"]})))
    for wrong in ({"aud": "mail"}, {"aud": None}, {"iss": "https://evil.example"}, {"iss": None}):
        await _refused_everywhere(site, site.token("juan", **(good | wrong)))


@pytest.mark.parametrize(("algorithm", "key_id"), [("RS256", "rsa-1"), ("ES256", "ec-1"), ("EdDSA", "ed-1")])
async def test_a_key_set_takes_public_key_signatures(
    new_site: NewSite, issuer: Issuer, algorithm: str, key_id: str
) -> None:
    """PRESENCE_JWKS_URL: a token of each algorithm passes over WebSocket and HTTP."""
    site = await new_site(jwt_secret=None, jwks_url=issuer.url)
    token = issuer.sign("juan", [site.team], algorithm, key_id)
    juan = await site.connect("juan", token=token)
    assert juan.welcome["user"] == "juan"
    assert (await site.api(token=token).statuses()) == {"juan": "online"}


async def test_a_key_set_takes_nothing_else(new_site: NewSite, issuer: Issuer) -> None:
    """HS256 with the public key as secret, an unknown key, a token of another key: refused."""
    site = await new_site(jwt_secret=None, jwks_url=issuer.url)
    stranger = Issuer()
    try:
        foreign = stranger.sign("juan", [site.team], "RS256", "rsa-1")
        stranger.add_key("RS256", "rsa-9")
        unknown = stranger.sign("juan", [site.team], "RS256", "rsa-9")
    finally:
        stranger.close()
    signed_by_all = confused("juan", [site.team], issuer.public_pem("rsa-1"), "rsa-1")
    for token in (foreign, unknown, signed_by_all, site.token("juan"), unsigned("juan", [site.team])):
        await _refused_everywhere(site, token)


async def test_a_key_that_the_issuer_adds_later_passes(new_site: NewSite, issuer: Issuer) -> None:
    """Issuers change their keys: an unknown key id has the set fetched again, but not at every stranger's word."""
    site = await new_site(jwt_secret=None, jwks_url=issuer.url)
    await site.connect("juan", token=issuer.sign("juan", [site.team], "RS256", "rsa-1"))
    issuer.add_key("ES256", "ec-2")
    await site.connect("juan", token=issuer.sign("juan", [site.team], "ES256", "ec-2"))
    before = issuer.requests
    forged = [mint("juan", [site.team], secret=OTHER_SECRET, headers={"kid": f"no-{n}"}) for n in range(20)]
    for token in forged:
        await site.refused(4501, token=token)
    assert issuer.requests - before <= 5, "Expected strangers not to make the server hammer its issuer"


async def test_an_issuer_out_of_reach_is_unavailable(new_site: NewSite, issuer: Issuer) -> None:
    """The key set cannot be fetched: 503 and 1013, which clients retry, instead of a refusal, which they do not."""
    issuer.answering = False
    site = await new_site(jwt_secret=None, jwks_url=issuer.url)
    token = issuer.sign("juan", [site.team], "RS256", "rsa-1")
    juan = await site.connect("juan", token=token, settled=False)
    await juan.closed(1013, within_s=15)
    problem = await site.api(token=token).refused(503, "GET", "/v1/teams/{team}/presence")
    assert problem["code"] == "unavailable"
    issuer.answering = True


async def test_after_a_sign_out_by_force_older_tokens_are_refused(site: Site) -> None:
    """An `iat` before it, and none at all: 4506. Issued within the same second or later: welcome."""
    user = site.unique("juan")
    now = int(time.time())
    juan = await site.connect(user, token=site.token(user, iat=now - 5))
    await site.admin().sign_out(user)
    await juan.closed(4506)
    await site.refused(4506, user, token=site.token(user, iat=now - 5))
    await site.refused(4506, user, token=site.token(user, iat=now - 5, sid=site.unique("new")), on=1)
    await site.refused(4506, user, token=site.token(user))
    await site.connect(user, token=site.token(user, iat=int(time.time()) + 1))
    await site.connect(site.unique("ana"), token=site.token(site.unique("ana"), iat=now - 5))


async def test_a_token_of_the_second_of_the_sign_out_by_force_passes(site: Site) -> None:
    """`iat` has no fractions: whoever signs in again at once must not be locked out by rounding."""
    user = site.unique("juan")
    juan = await site.connect(user)
    await site.admin().sign_out(user)
    await juan.closed(4506)
    second = (await site.admin().user(user))["since"] // 1_000
    await site.connect(user, token=site.token(user, iat=second))
    await site.refused(4506, user, token=site.token(user, iat=second - 1))
