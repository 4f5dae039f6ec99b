"""HAProxy and nginx in front of two workers, with the configurations that are shipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.support.ports import free_port
from tests.support.process import Process
from tests.support.worker import ROOT, Worker, get_status


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
        workers: two of them.
        directory: where its log goes.
    """

    def __init__(self, workers: Sequence[Worker], directory: Path) -> None:
        self.port = free_port()
        environment = {"PATH": os.environ["PATH"], "BALANCER_BIND": f"127.0.0.1:{self.port}"}
        for number, worker in enumerate(workers, 1):
            environment[f"BALANCER_WORKER_{number}"] = f"127.0.0.1:{worker.port}"
        command = [find("haproxy", "haproxy"), "-db", "-f", str(ROOT / "deploy" / "haproxy.cfg")]
        super().__init__("haproxy", command, environment, directory)


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
