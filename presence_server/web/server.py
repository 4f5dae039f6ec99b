"""One server process from start to end: sockets, signals, the drain, and the embedded Valkey around it all.

The first SIGTERM drains: the listener stays open (so that a balancer's checks see `/readyz` fail rather than a refused
connection) while connections are closed one after another. uvicorn by itself would close all at once, and first.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import FrameType
from typing import Any, Final, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from presence_server.errors import StartupError
from presence_server.settings import Settings
from presence_server.store.embedded import EmbeddedValkey
from presence_server.web.app import create_app
from presence_server.web.front import FrontProtocol
from presence_server.web.listener import Listener
from presence_server.web.protocol import PresenceProtocol

_BACKLOG: Final = 4096
_LARGEST_FRAME_BYTES: Final = 65_536
# What answering the last requests may take, and a drain longer than it was given.
_OVERTIME_S: Final = 5

_logger = logging.getLogger(__name__)


class DrainingServer(uvicorn.Server):
    """A uvicorn server that drains before it closes anything.

    The first SIGTERM drains for `drain_timeout_s`, the first SIGINT (Ctrl-C) for no time; either way the process then
    ends with status 0. Any second signal ends it at once.

    Args:
        config: of uvicorn.
        drain: closes the connections, spread over the seconds it is given.
        drain_timeout_s: how long a drain takes, seconds.
        on_listening: called once the server takes connections.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        drain: Callable[[float], Awaitable[None]],
        drain_timeout_s: float,
        on_listening: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._drain_connections = drain
        self._drain_timeout_s = drain_timeout_s
        self._on_listening = on_listening
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None
        self._signalled = False
        self._exiting = asyncio.Event()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Like uvicorn's, but accepting a few connections at a time."""
        assert sockets is not None
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        settle_garbage_collector()

        def make_protocol() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )

        self.servers = cast("Any", [Listener(listener, make_protocol) for listener in sockets])
        self.started = True
        self._on_listening()

    async def main_loop(self) -> None:
        """Wait for the end, and set the clock of the `Date` header once a second.

        uvicorn looks ten times a second; waking up is most of what an idle server costs.
        """
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._exiting.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal. It is not kept for uvicorn, which would raise it again at the end and so fail."""
        if self._signalled:
            _logger.warning("Second signal: ending at once")
            os._exit(128 + sig)
        self._signalled = True
        assert self._loop is not None
        # A signal may come in the middle of anything.
        self._loop.call_soon_threadsafe(self._begin_drain, 0.0 if sig == signal.SIGINT else self._drain_timeout_s)

    def _begin_drain(self, timeout_s: float) -> None:
        if self.started:
            self._draining = asyncio.ensure_future(self._drain(timeout_s))
        else:
            self.should_exit = True

    async def _drain(self, timeout_s: float) -> None:
        _logger.info("Draining for %g s", timeout_s)
        try:
            async with asyncio.timeout(timeout_s + _OVERTIME_S):
                await self._drain_connections(timeout_s)
        except Exception:
            _logger.exception("Draining failed")
        self.should_exit = True
        self._exiting.set()


def run(settings: Settings, *, demo: bool) -> int:
    """Serve until a signal ends it; returns the exit status.

    Args:
        settings: without a `redis_url`, a Valkey of its own is started and stopped.
        demo: whether to serve the demo page.

    Raises:
        StartupError: the port is taken, or the embedded Valkey does not start.
    """
    raise_file_limit()
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(listener) for listener in listen(settings.host, settings.port)]
        if settings.redis_url is None:
            valkey = stack.enter_context(EmbeddedValkey(settings.data_dir))
            settings = replace(settings, redis_url=valkey.url)
        app = create_app(settings, demo=demo)
        url = listening_url(sockets[0])

        def on_listening() -> None:
            _logger.info("Listening on %s", url)
            if demo:
                print(f"\n  The demo is ready: open {url}/ in two windows.  Ctrl-C ends it.\n", flush=True)

        server = DrainingServer(
            configuration(app, settings),
            drain=lambda timeout_s: app.state.worker.drain(timeout_s),
            drain_timeout_s=settings.drain_timeout_s,
            on_listening=on_listening,
        )
        server.run(sockets)
    _logger.info("Ended")
    return 0


def configuration(app: Callable[..., Any], settings: Settings) -> uvicorn.Config:
    """How uvicorn is to run `app`."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=FrontProtocol,
        ws=PresenceProtocol,
        ws_max_size=_LARGEST_FRAME_BYTES,
        # Pings are the application's: it knows how long its peers may be silent.
        ws_ping_interval=None,
        # Compression would cost more memory for each connection than all the rest.
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_OVERTIME_S,
    )


def listen(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of `host`, on the same port even if that is 0; nothing is accepted yet.

    Raises:
        StartupError: the port is taken, or the host is not this machine.
    """
    listeners: list[socket.socket] = []
    missing: OSError | None = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            shared_port = listeners[0].getsockname()[1] if listeners else port
            try:
                listeners.append(_listen_on(family, (address[0], shared_port, *address[2:])))
            except OSError as error:
                # "localhost" is ::1, too, even where there is no IPv6.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error
        if missing is not None and not listeners:
            raise missing
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise StartupError(_explain(error, host, port)) from error
    return listeners


def _listen_on(family: int, address: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Or "::" would take the port of "0.0.0.0" too.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def listening_url(listener: socket.socket) -> str:
    """The address to open in a browser on this machine."""
    host, port = listener.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def settle_garbage_collector() -> None:
    """Spare the loop full collections: what is loaded stays, and connections are made without cycles.

    With ten thousand connections a full collection stops the loop for 100 ms and finds nothing; by default there is one
    each time their number has grown by a quarter.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 20, 1_000)


def raise_file_limit() -> None:
    """Allow as many open files, hence connections, as the system lets this account have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS calls its hard limit infinite, but takes no more than OPEN_MAX, 10240.
    for limit in (hard, 10_240):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            return


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Expected port {port} of {host} to be free, but another program listens there. "
            "Set PRESENCE_PORT to another one (0 takes any that is free)"
        )
    if error.errno == errno.EACCES:
        return f"Expected to be allowed to listen on port {port}, got: {error}. Set PRESENCE_PORT to 1024 or above"
    return f"Expected to listen on {host}, got: {error}. Set PRESENCE_HOST to an address of this machine"
