"""One server process: signals, the drain, and what it asks of its interpreter and system.

The first SIGTERM drains: the listener stays open (so that a balancer's checks see `/readyz` fail rather than a refused
connection) while connections are closed one after another. uvicorn by itself would close all at once, and first.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any, Final, cast

import uvicorn
from starlette.applications import Starlette
from uvicorn.config import STARTUP_FAILURE

from presence_server.settings import Settings
from presence_server.web import ports
from presence_server.web.app import create_app
from presence_server.web.descriptors import Descriptors
from presence_server.web.front import FrontProtocol
from presence_server.web.listener import Listener
from presence_server.web.notify import ServiceManager
from presence_server.web.share import Share

# What answering the last requests may take, and a drain longer than it was given.
_OVERTIME_S: Final = 5
# File descriptors that not even they may use: those are for Redis.
_KEPT_FROM_SCRAPES: Final = 16
# How long whoever was let in just now has to ask, and whoever asks on an old connection to hear that it ends.
_LINGER_S: Final = 0.3

_logger = logging.getLogger(__name__)


class DrainingServer(uvicorn.Server):
    """A uvicorn server that drains before it closes anything.

    The first SIGTERM or SIGHUP drains for `drain_timeout_s`, the first SIGINT (Ctrl-C) for no time; either way the
    process then ends with status 0. Any second signal ends it at once.

    Args:
        config: of uvicorn.
        drain: closes the connections, spread over the seconds it is given.
        drain_timeout_s: how long a drain takes, seconds.
        on_listening: called once the server takes connections.
        on_draining: called when it begins to drain.
        failed: returns when a part of the application has failed beyond repair: then the server drains, too.
        share: of the connections on a port that other processes listen on as well.
        descriptors: how many connections there may be.
        inside_port: where probes and scrapes come in, for which descriptors are kept back.

    Attributes:
        status: what the process is to end with: 70 (`EX_SOFTWARE` of sysexits.h) after a failure.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        drain: Callable[[float], Awaitable[None]],
        drain_timeout_s: float,
        on_listening: Callable[[], None],
        on_draining: Callable[[], None] = lambda: None,
        failed: Callable[[], Awaitable[object]] | None = None,
        share: Share | None = None,
        descriptors: Descriptors | None = None,
        inside_port: int | None = None,
    ) -> None:
        super().__init__(config)
        self._inside_port = inside_port
        self.status = 0
        self._descriptors = descriptors
        self._drain_connections = drain
        self._drain_timeout_s = drain_timeout_s
        self._on_listening = on_listening
        self._on_draining = on_draining
        self._failed = failed
        self._share = share
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._signalled = False
        self._exiting = asyncio.Event()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        # A terminal that is closed; or a reload, asked of a process that nobody would replace. Not under nohup.
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, self.handle_exit)
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Like uvicorn's, but accepting a few connections at a time."""
        assert sockets is not None
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        if self._failed is not None:
            self._watching = asyncio.create_task(self._watch(self._failed))
        await self.await_turn()
        settle_garbage_collector()

        def make_protocol() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )

        # Told to end before it began: nobody is let in any more.
        wanted = [] if self.should_exit else sockets
        # Probes and scrapes come in when clients have used up what is theirs.
        few = Descriptors(kept=_KEPT_FROM_SCRAPES)
        listeners = [
            Listener(each, make_protocol, self._in_turn, few if self._is_inside(each) else self._descriptors)
            for each in wanted
        ]
        self.servers = cast("Any", listeners)
        self.started = True
        if wanted:
            self._on_listening()

    def _is_inside(self, listener: socket.socket) -> bool:
        return self._inside_port is not None and listener.getsockname()[1] == self._inside_port

    async def await_turn(self) -> None:
        """Wait until it is time to take connections; by itself, a process does so at once."""

    async def main_loop(self) -> None:
        """Wait for the end, and set the clock of the `Date` header once a second.

        uvicorn looks ten times a second; waking up is most of what an idle server costs.
        """
        while not await self.on_tick(0):
            self._in_turn()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._exiting.wait()

    def _in_turn(self) -> bool:
        """Whether it is this process's turn to accept, rather than another's that has fewer connections."""
        return self._share is None or self._share.in_turn(len(self.server_state.connections))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal. It is not kept for uvicorn, which would raise it again at the end and so fail."""
        if self._signalled:
            _logger.warning("Second signal: ending at once")
            os._exit(128 + sig)
        self._signalled = True
        assert self._loop is not None
        # A signal may come in the middle of anything.
        self._loop.call_soon_threadsafe(self.begin_drain, 0.0 if sig == signal.SIGINT else self._drain_timeout_s)

    def begin_drain(self, timeout_s: float, *, alone: bool = False) -> None:
        """Drain and end, if that has not begun; a server that has not started just ends.

        Args:
            timeout_s: over how long connections are closed.
            alone: no other process will take connections on the port: this one goes on answering meanwhile.
        """
        if not self.started:
            self.should_exit = True
        elif self._draining is None:
            leave = None if alone else self._share
            self._draining = asyncio.ensure_future(self._drain(timeout_s, leave))

    async def _leave_port(self, share: Share) -> None:
        """Leave new connections to the other processes, and answer the last request on each old one."""
        share.leave()
        for listener in self.servers:
            listener.close()
        self._share = None
        self.config.encoded_headers.append((b"connection", b"close"))
        await self.on_tick(0)
        await asyncio.sleep(_LINGER_S)

    async def _drain(self, timeout_s: float, leave: Share | None) -> None:
        _logger.info("Draining for %g s", timeout_s)
        self._on_draining()
        if leave is not None:
            await self._leave_port(leave)
        try:
            async with asyncio.timeout(timeout_s + _OVERTIME_S):
                await self._drain_connections(timeout_s)
        except Exception:
            _logger.exception("Draining failed")
        self.should_exit = True
        self._exiting.set()

    async def _watch(self, failed: Callable[[], Awaitable[object]]) -> None:
        await failed()
        _logger.critical("A part of this process has failed beyond repair: it drains, and ends with status 70")
        self.status = os.EX_SOFTWARE
        self.begin_drain(self._drain_timeout_s)


def run(settings: Settings, sockets: list[socket.socket], manager: ServiceManager, *, demo: bool) -> int:
    """Serve until a signal or a failure ends it; returns the exit status.

    Args:
        settings: with `redis_url` set.
        sockets: bound and listening.
        manager: is told how it goes.
        demo: whether to serve the demo page.
    """
    raise_file_limit()
    app = create_app(settings, demo=demo)

    def on_listening() -> None:
        ports.announce(sockets, demo=demo)
        worker = app.state.worker
        manager.attend(lambda: worker.ready, lambda: not worker.failed.is_set())

    server = DrainingServer(
        configuration(app, settings),
        **life_of(app, settings),
        on_listening=on_listening,
        on_draining=manager.stopping,
    )
    server.run(sockets)
    return server.status


def life_of(app: Starlette, settings: Settings) -> dict[str, Any]:
    """How a `DrainingServer` drains `app`, and learns that it has failed."""
    return {
        "drain": lambda timeout_s: app.state.worker.drain(timeout_s),
        "drain_timeout_s": settings.drain_timeout_s,
        "failed": lambda: app.state.worker.failed.wait(),
        "descriptors": app.state.descriptors,
        "inside_port": settings.metrics_port,
    }


def configuration(app: Callable[..., Any], settings: Settings) -> uvicorn.Config:
    """How uvicorn is to run `app`."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=FrontProtocol,
        # The HTTP protocol hands WebSockets over by itself.
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        backlog=ports.BACKLOG,
        # uvicorn counts in whole seconds, and has no need to.
        timeout_keep_alive=cast(int, settings.keep_alive_s),
        timeout_graceful_shutdown=_OVERTIME_S,
    )


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
