"""The HTTP calls of the contract, as one user's backend makes them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx

from tests.support.timing import UNIT

Json = dict[str, Any]


class Api:
    """One user's calls to one worker; the methods expect success, `request` takes what comes.

    Args:
        base_url: of the worker.
        token: sent as bearer; None sends none.
        team: whose calls these are.
    """

    def __init__(self, base_url: str, token: str | None, team: str) -> None:
        self.url = base_url
        self.team = team
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        # Writes wait up to ten seconds for Redis before they are answered.
        self._http = httpx.AsyncClient(base_url=base_url, headers=headers, trust_env=False, timeout=15 * UNIT)

    async def close(self) -> None:
        await self._http.aclose()

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any request; ``{team}`` in `path` stands for the team."""
        return await self._http.request(method, path.replace("{team}", quote(self.team, safe="")), **options)

    async def presence(self, *, users: str | None = None, status: str | None = None) -> Json:
        """``GET …/presence``, filtered if asked."""
        query = {name: value for name, value in {"users": users, "status": status}.items() if value is not None}
        return await self._json("GET", "/v1/teams/{team}/presence", params=query)

    async def statuses(self) -> dict[str, str]:
        """Who of the team is not offline, and as what."""
        users: dict[str, Json] = (await self.presence())["users"]
        return {user: entry["status"] for user, entry in users.items()}

    async def user(self, user: str) -> Json:
        return await self._json("GET", f"/v1/teams/{{team}}/presence/{quote(user, safe='')}")

    async def choose(self, user: str, status: str) -> None:
        await self._done("PUT", f"/v1/teams/{{team}}/presence/{quote(user, safe='')}", json={"status": status})

    async def sign_out(self, user: str) -> None:
        await self._done("DELETE", f"/v1/teams/{{team}}/presence/{quote(user, safe='')}")

    async def settings(self) -> Json:
        return await self._json("GET", "/v1/teams/{team}/settings")

    async def set_idle_timeout(self, seconds: float) -> None:
        await self._done("PUT", "/v1/teams/{team}/settings", json={"idle_timeout": seconds})

    async def refused(self, status: int, method: str, path: str, **options: Any) -> Json:
        """A request that must be answered by that problem; returns the problem."""
        response = await self.request(method, path, **options)
        assert response.status_code == status, f"Expected {status} for {method} {path}, got {_shown(response)}"
        return problem(response)

    async def _json(self, method: str, path: str, **options: Any) -> Json:
        body = (await self._done(method, path, **options)).json()
        assert isinstance(body, dict), f"Expected a JSON object, got {body!r}"
        return body

    async def _done(self, method: str, path: str, **options: Any) -> httpx.Response:
        response = await self.request(method, path, **options)
        assert response.is_success, f"Expected {method} {path} to succeed, got {_shown(response)}"
        return response


def problem(response: httpx.Response) -> Json:
    """The problem document of an error response, checked for what every one must have."""
    media_type = response.headers.get("content-type", "").split(";")[0]
    assert media_type == "application/problem+json", f"Expected a problem document, got {_shown(response)}"
    body = response.json()
    assert isinstance(body, dict)
    for name in ("code", "title", "detail"):
        assert isinstance(body.get(name), str), f"Expected text as {name!r}, got {body}"
        assert body[name], f"Expected {name!r} to say something, got {body}"
    assert body.get("status") == response.status_code, f"Expected the status in the problem too, got {body}"
    return body


def _shown(response: httpx.Response) -> str:
    return f"{response.status_code} {response.headers.get('content-type')} {response.text[:500]}"
