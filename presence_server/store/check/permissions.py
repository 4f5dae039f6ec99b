"""Whether the account at Redis may do all that is needed, for `presence-server check`.

Redis tells an account's rights only to those who may administer them, so it is tried: on keys that nothing else uses,
and that are gone afterwards.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import MovedError, RedisError

from presence_server.store.scripts import Script

# All that scripts do, by the type of key. Nothing is left when all of it may be done.
COMMANDS: Final[tuple[tuple[str, str, tuple[Any, ...]], ...]] = (
    ("SET", "string", ("1", "PX", 60_000)),
    ("GET", "string", ()),
    ("MGET", "string", ()),
    ("MSET", "string", ("1",)),
    ("EXISTS", "string", ()),
    ("PEXPIRE", "string", (60_000,)),
    ("HSET", "hash", ("field", "1")),
    ("HGET", "hash", ("field",)),
    ("HMGET", "hash", ("field",)),
    ("HINCRBY", "hash", ("field", 1)),
    ("HDEL", "hash", ("field",)),
    ("SADD", "set", ("member",)),
    ("SISMEMBER", "set", ("member",)),
    ("SREM", "set", ("member",)),
    ("SPOP", "set", (1,)),
    ("ZADD", "zset", (1, "member")),
    ("ZSCORE", "zset", ("member",)),
    ("ZCARD", "zset", ()),
    ("ZCOUNT", "zset", ("-inf", "+inf")),
    ("ZRANGE", "zset", (0, -1)),
    ("ZSCAN", "zset", (0,)),
    ("ZREM", "zset", ("member",)),
    ("ZREMRANGEBYSCORE", "zset", ("-inf", "+inf")),
    ("DEL", "string", ()),
)

_SCRIPT: Final = Script(
    "permissions",
    """
    local faults = {}
    local function try(...)
      local reply = redis.pcall(...)
      if type(reply) == 'table' and reply.err then
        faults[#faults + 1] = (...) .. ': ' .. reply.err
      end
    end
    try('TIME')
    try(ARGV[1], ARGV[2], 'tried')
    for _, call in ipairs(cjson.decode(ARGV[3])) do
      try(call[1], KEYS[1] .. ':' .. call[2], unpack(call, 3))
    end
    return faults
    """,
)


async def faults_of(client: Redis, prefix: str, tag: str, *, sharded: bool) -> list[str]:
    """Try all that is needed, and tell what could not be done: the command and why.

    Args:
        client: of one Redis, which serves the slot of `tag`.
        prefix: the first part of every key and channel.
        tag: the hash tag of the keys to try it on.
        sharded: whether channels have slots, as keys do.
    """
    # A key and a channel of one name.
    name = f"{prefix}:{{{tag}}}:tried"
    calls = orjson.dumps([(command, suffix, *arguments) for command, suffix, arguments in COMMANDS])
    try:
        await client.script_load(_SCRIPT.source)
        publish = "SPUBLISH" if sharded else "PUBLISH"
        found = await client.evalsha(_SCRIPT.sha, 1, name, publish, name, calls)
    except MovedError:
        return ["scripts: this is one server of a cluster; Expected redis+cluster://, got redis://"]
    except RedisError as error:
        return [f"scripts: {error}"]
    faults = [fault.decode() for fault in found]
    if (refusal := await _refusal_to_subscribe(client, name, sharded=sharded)) is not None:
        faults.append(refusal)
    return faults


async def _refusal_to_subscribe(client: Redis, channel: str, *, sharded: bool) -> str | None:
    pubsub = client.pubsub()
    try:
        await (pubsub.ssubscribe(channel) if sharded else pubsub.subscribe(channel))
        await asyncio.wait_for(pubsub.parse_response(), 2.0)
        await (pubsub.sunsubscribe(channel) if sharded else pubsub.unsubscribe(channel))
        await asyncio.wait_for(pubsub.parse_response(), 2.0)
    except (RedisError, TimeoutError) as error:
        return f"{'SSUBSCRIBE' if sharded else 'SUBSCRIBE'}: {str(error) or 'no answer'}"
    finally:
        await pubsub.aclose()  # type: ignore[no-untyped-call]
    return None
