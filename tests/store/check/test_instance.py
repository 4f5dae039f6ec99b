"""What a Redis tells about itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from presence_server.address import parse
from presence_server.errors import Unavailable
from presence_server.store.check.instance import ask, describe, objection
from presence_server.store.embedded import EmbeddedValkey


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as valkey:
        yield valkey.url


async def test_it_is_asked_for_product_version_clock_and_how_it_keeps_data(url: str) -> None:
    instance = await ask(parse(url))
    assert instance.product == "Valkey"
    assert instance.version.startswith("9.")
    assert instance.compatible >= (7, 2)
    assert abs(instance.ahead_ms) <= instance.uncertainty_ms + 1_000
    assert instance.persists
    assert instance.evicts is None
    assert (instance.role, instance.replicas) == ("master", ())


async def test_one_out_of_reach_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="Expected Redis to answer, got: "):
        await ask(parse(f"unix://{tmp_path}/nobody"))


async def test_a_password_is_not_told(url: str) -> None:
    with pytest.raises(Unavailable) as refusal:
        await ask(parse(url.replace("unix://", "unix://maria:hunter2@")))
    assert "hunter2" not in str(refusal.value)


def test_redis_calls_itself_redis() -> None:
    told = {"redis_version": "8.2.1", "maxmemory": 1_000, "maxmemory_policy": "allkeys-lru", "aof_enabled": 0}
    instance = describe(told, redis_s=100.0, asked_s=101.0, answered_s=103.0)
    assert (instance.product, instance.version, instance.compatible) == ("Redis", "8.2.1", (8, 2))
    assert (instance.ahead_ms, instance.uncertainty_ms) == (-2_000, 1_000)
    assert instance.evicts == "allkeys-lru"
    assert not instance.persists
    assert not instance.guarded


@pytest.mark.parametrize("option", ["nonsense=7", "max_connections=seven"])
def test_an_address_with_an_option_that_nobody_knows_is_objected_to(option: str) -> None:
    told = objection(f"redis://maria:hunter2@127.0.0.1:6379/?{option}")
    assert told is not None
    assert "Expected options that the client of Redis has" in told
    assert "hunter2" not in told


def test_one_that_is_well_is_not_and_nobody_is_asked() -> None:
    assert objection("redis://nobody.invalid:6379/3") is None
