"""The command line: `serve`, `demo`, `token` and `check` (section 7 of the contract).

Exit status: 0, all went well; 1, it did not; 2, the arguments or settings are wrong. Faults go to standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from presence_server import __version__, address
from presence_server.errors import SettingsError, StartupError
from presence_server.settings import NO_KEY, VARIABLES, Settings, advice, load

_logger = logging.getLogger(__name__)

# Short enough to see the countdown go.
_DEMO_IDLE_TIMEOUT_S: Final = 60
_NOT_ADDRESSED: Final = (
    "presence-server token: The token has neither 'aud' nor 'iss': "
    "a server with PRESENCE_JWT_AUDIENCE or PRESENCE_JWT_ISSUER, as they are set here, refuses it"
)
_SEEN_BY_ALL: Final = (
    "presence-server: --redis-url: Expected no password in an argument, which every account of this machine can see, "
    "got one. Use PRESENCE_REDIS_URL"
)
_ONLY_KEY_SET: Final = (
    "PRESENCE_JWT_SECRET: Expected a secret to sign with, got none. With PRESENCE_JWKS_URL alone, only its issuer can"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    Args:
        arguments: without the program's name; those of the process when None.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except SettingsError as error:
        _tell_faults(error)
        return 2
    except StartupError as error:
        print(f"presence-server: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # Only before the server has taken over the signals: it had nothing to drain yet.
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="presence-server",
        description="Real-time presence over WebSocket. Every setting is an environment variable, PRESENCE_…; "
        "those that concern starting the server are flags as well, which win.",
    )
    parser.add_argument("--version", action="version", version=f"presence-server {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the server until SIGTERM or Ctrl-C")
    _add_flags(serve)
    serve.set_defaults(command=_serve)

    demo = commands.add_parser("demo", help="run the server with a demo page at /, apart from any other server's data")
    _add_flags(demo)
    demo.set_defaults(command=_demo)

    token = commands.add_parser("token", help="print a token signed with PRESENCE_JWT_SECRET")
    token.add_argument("--user", required=True, help="id of the user")
    token.add_argument("--team", required=True, action="append", dest="teams", help="id of a team; may be repeated")
    token.add_argument("--sid", help="id of the sign-in; without, each connection is its own session")
    token.add_argument("--admin", action="store_true", help="an administrator's token; --team '*' is then every team")
    token.add_argument("--ttl", type=_ttl, default=3600, metavar="SECONDS", help="how long it holds (default: 3600)")
    token.set_defaults(command=_token)

    check = commands.add_parser("check", help="check the settings and Redis; exit status 1 if anything is wrong")
    check.add_argument(
        "--deep", action="store_true", help="compare what Redis holds with what the contract allows, too; reads only"
    )
    _add_flags(check)
    check.set_defaults(command=_check)
    return parser


def _add_flags(parser: argparse.ArgumentParser) -> None:
    for variable in VARIABLES:
        if variable.flag is not None:
            # argparse formats help texts with %.
            meaning = f"{variable.help} ({variable.name}; default: {variable.default})".replace("`", "")
            parser.add_argument(variable.flag, dest=variable.field, metavar="VALUE", help=meaning.replace("%", "%%"))


def _load(options: argparse.Namespace, *, key_required: bool = False) -> Settings:
    overrides = {variable.field: getattr(options, variable.field, None) for variable in VARIABLES}
    return load(os.environ, overrides, key_required=key_required)


def _serve(options: argparse.Namespace) -> int:
    settings = _load(options, key_required=True)
    if options.redis_url is not None and address.parse(options.redis_url).has_password:
        print(_SEEN_BY_ALL, file=sys.stderr)
    return _run(options, settings, demo=False)


def _demo(options: argparse.Namespace) -> int:
    _set_apart(options, _load(options))
    return _run(options, _load(options), demo=True)


def _set_apart(options: argparse.Namespace, settings: Settings) -> None:
    """Give the demo what it shares with no server: a secret, a data folder, keys in Redis. It lets anybody be anyone.

    Written into the environment, so that processes it starts have the same.
    """
    os.environ["PRESENCE_JWT_SECRET"] = secrets.token_urlsafe(32)
    for name in ("PRESENCE_JWKS_URL", "PRESENCE_JWT_AUDIENCE", "PRESENCE_JWT_ISSUER"):
        os.environ.pop(name, None)
    os.environ.setdefault("PRESENCE_IDLE_TIMEOUT", str(_DEMO_IDLE_TIMEOUT_S))
    options.jwks_url = None
    options.data_dir = str(settings.data_dir / "demo")
    options.key_prefix = f"{settings.key_prefix}-demo"


def _run(options: argparse.Namespace, settings: Settings, *, demo: bool) -> int:
    # The commands that only look something up need not load a web server.
    from presence_server.store.check.instance import objection
    from presence_server.store.embedded import EmbeddedValkey
    from presence_server.web import logs, ports
    from presence_server.web.notify import ServiceManager

    if settings.redis_url is not None and (wrong := objection(settings.redis_url)) is not None:
        raise SettingsError([f"PRESENCE_REDIS_URL: {wrong}"])
    logs.configure(settings.log_level, settings.log_format)
    for sentence in advice(os.environ, settings):
        _logger.warning(sentence)
    with contextlib.ExitStack() as stack:
        manager = ServiceManager.from_environment(os.environ)
        stack.callback(manager.close)
        wanted = [settings.port] if settings.metrics_port is None else [settings.port, settings.metrics_port]
        sockets = [stack.enter_context(each) for number in wanted for each in ports.listen(settings.host, number)]
        # What it is where any free one was asked for.
        settings = replace(settings, port=sockets[0].getsockname()[1])
        if settings.redis_url is None:
            valkey = stack.enter_context(EmbeddedValkey(settings.data_dir))
            settings = replace(settings, redis_url=valkey.url)
        # Each loads only what it needs: a supervisor is small.
        if settings.workers == 1:
            from presence_server.web import server

            status = server.run(settings, sockets, manager, demo=demo)
        else:
            from presence_server.web import supervisor

            status = supervisor.run(settings, _environment(options, settings), sockets, manager, demo=demo)
    _logger.info("Ended")
    return status


def _environment(options: argparse.Namespace, settings: Settings) -> dict[str, str]:
    """What processes are started with that are to have the same settings: flags, and what was found for them."""
    given = {variable.name: getattr(options, variable.field, None) for variable in VARIABLES}
    found = {
        "PRESENCE_REDIS_URL": settings.redis_url,
        "PRESENCE_JWT_SECRET": settings.jwt_secret,
        "PRESENCE_PORT": str(settings.port),
    }
    return os.environ | {name: text for name, text in (given | found).items() if text is not None}


def _token(options: argparse.Namespace) -> int:
    from presence_server.web.auth import mint

    settings = _load(options)
    if settings.jwt_secret is None:
        raise SettingsError([NO_KEY if settings.jwks_url is None else _ONLY_KEY_SET])
    if settings.jwt_audience or settings.jwt_issuer:
        print(_NOT_ADDRESSED, file=sys.stderr)
    try:
        token = mint(
            settings.jwt_secrets[0],
            user=options.user,
            teams=options.teams,
            session=options.sid,
            admin=options.admin,
            ttl_s=options.ttl,
        )
    except ValueError as error:
        print(f"presence-server token: {error}", file=sys.stderr)
        return 2
    print(token)
    return 0


def _check(options: argparse.Namespace) -> int:
    from presence_server.check import examine

    failed = False
    for finding in examine(os.environ, lambda: _load(options, key_required=True), deep=options.deep):
        print(f"{finding.severity:<7} {finding.text}", flush=True)
        failed = failed or finding.severity == "failed"
    return 1 if failed else 0


def _ttl(text: str) -> float:
    # Whole where it is: `exp` then is, too.
    seconds = float(text) if "." in text else int(text)
    if not 0 < seconds <= 10 * 366 * 86_400:
        raise argparse.ArgumentTypeError(f"Expected a number of seconds above 0 and up to ten years, got {text!r}")
    return seconds


def _tell_faults(error: SettingsError) -> None:
    count = len(error.faults)
    print(f"presence-server: {count} setting{'s are' if count > 1 else ' is'} wrong", file=sys.stderr)
    for fault in error.faults:
        print(f"  {fault}", file=sys.stderr)
