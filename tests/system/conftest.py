"""Fixtures of the system tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.client import Client
from tests.support.site import Site


@pytest.fixture
async def bystanders(site: Site) -> AsyncIterator[Client]:
    """Two people on the worker under attack who must notice nothing: their views stay quiet, their requests work."""
    maria, ana = await site.connect("maria"), await site.connect("ana")
    await maria.sees_all({"maria": "online", "ana": "online"})
    yield maria
    maria.check()
    await ana.choose("busy")
    await maria.sees_soon("ana", "busy")
    assert (maria.close_code, ana.close_code) == (None, None)
    assert maria.view().history("ana")[-2:] == ["online", "busy"]
    maria.never_saw("ana", "offline")
