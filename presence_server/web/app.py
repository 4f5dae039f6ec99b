"""The ASGI application: what stands at which path, and the worker's life around it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from importlib import resources

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, WebSocketRoute

from presence_server.live.worker import Worker
from presence_server.settings import Settings
from presence_server.web import api, assets, handshake, metrics, origins, problems, socket, teammates
from presence_server.web import demo as demo_page
from presence_server.web.auth import TokenVerifier
from presence_server.web.connects import ConnectVerifier
from presence_server.web.descriptors import Descriptors
from presence_server.web.static import Assets


def create_app(settings: Settings, *, demo: bool = False) -> Starlette:
    """Make the application.

    Args:
        settings: with `redis_url` set.
        demo: serve the demo page at `/`, and let anybody be anyone. Never in production.
    """
    verifier = TokenVerifier(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        worker = Worker(settings, ConnectVerifier(verifier))
        app.state.worker = worker
        await worker.start()
        try:
            async with teammates.living(settings) if demo else contextlib.nullcontext():
                yield
        finally:
            await worker.stop()
            await verifier.close()

    routes: list[BaseRoute] = [
        WebSocketRoute(handshake.PATH, socket.Endpoint()),
        socket.route,
        *api.routes,
        metrics.route,
        *assets.routes(assets.load()),
        Mount("/static", Assets(directory=str(resources.files("presence_server") / "static"))),
    ]
    if demo:
        routes += demo_page.routes
    app = Starlette(
        routes=routes,
        middleware=[*(demo_page.middleware(settings) if demo else []), *origins.middleware(settings)],
        exception_handlers=problems.handlers(),
        lifespan=lifespan,
    )
    # A slash too many is another path, and nothing to be answered before anybody asked who it is.
    app.router.redirect_slashes = False
    app.state.settings = settings
    app.state.verifier = verifier
    app.state.descriptors = Descriptors()
    return app
