"""HAProxy and nginx in front of two workers, with the configurations that are shipped."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.support.ports import free_port
from tests.support.process import Process
from tests.support.worker import ROOT, Worker, get_status

_SESSION = re.compile(r"src=[^ ]*:(\d+) fe=public be=workers srv=(worker\d+) ")


class Balancer(Process):
    """A balancer on a port of its own; `start` waits until it has a worker to pass requests to."""

    port: int

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/ws"

    def start(self) -> None:
        self.spawn()
        self.await_sync(lambda: get_status(self.port, "/readyz") == 200)


def find(name: str, package: str) -> str:
    """The path of a program that Debian keeps for administrators."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
    assert found is not None, f"Expected {name} to be installed: apt-get install {package}"
    return found


class HaProxy(Balancer):
    """A running HAProxy.

    Args:
        workers: two, as in the configuration that is shipped, or more.
        directory: where its log goes.
    """

    def __init__(self, workers: Sequence[Worker], directory: Path) -> None:
        self.port, self._admin_port = free_port(), free_port()
        environment = {"PATH": os.environ["PATH"], "BALANCER_BIND": f"127.0.0.1:{self.port}"}
        for number, worker in enumerate(workers, 1):
            environment[f"BALANCER_WORKER_{number}"] = f"127.0.0.1:{worker.port}"
        admin = directory / "haproxy-admin.cfg"
        admin.write_text(f"global\n    stats socket ipv4@127.0.0.1:{self._admin_port} level operator\n")
        shipped = _with_workers(len(workers), directory)
        command = [find("haproxy", "haproxy"), "-db", "-f", str(shipped), "-f", str(admin)]
        super().__init__("haproxy", command, environment, directory)

    async def placed(self) -> dict[int, str]:
        """Which worker has which client: `worker1` and so on, by the client's TCP port."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._admin_port)
        writer.write(b"show sess\n")
        listed = (await reader.read()).decode()
        writer.close()
        return {int(port): worker for port, worker in _SESSION.findall(listed)}


def _with_workers(count: int, directory: Path) -> Path:
    """The configuration that is shipped, as it is where two workers are enough."""
    shipped = ROOT / "deploy" / "haproxy.cfg"
    if count == 2:
        return shipped
    second = '    server worker2 "${BALANCER_WORKER_2}"\n'
    text = shipped.read_text()
    assert second in text
    servers = (second.replace("2", str(number)) for number in range(2, count + 1))
    configuration = directory / "haproxy.cfg"
    configuration.write_text(text.replace(second, "".join(servers)))
    return configuration


class Nginx(Balancer):
    """A running nginx.

    Args:
        workers: two of them.
        directory: where its files go.
        without: words of lines to leave out of the configuration.
    """

    def __init__(self, workers: Sequence[Worker], directory: Path, *, without: Sequence[str] = ()) -> None:
        self.port = free_port()
        lines = (ROOT / "deploy" / "nginx.conf").read_text().splitlines()
        text = "\n".join(line for line in lines if not any(word in line for word in without))
        ports = {8000: self.port, 8001: workers[0].port, 8002: workers[1].port}
        for shipped, used in ports.items():
            text = text.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{used}")
        configuration = directory / "nginx.conf"
        configuration.write_text(text)
        command = [find("nginx", "nginx-light"), "-c", str(configuration), "-p", str(directory), "-g", "daemon off;"]
        super().__init__("nginx", command, {"PATH": os.environ["PATH"]}, directory)
