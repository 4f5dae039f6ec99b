"""HAProxy in front of two workers, with the configuration that is shipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.support.ports import free_port
from tests.support.process import Process
from tests.support.worker import ROOT, Worker, get_status


class Balancer(Process):
    """A running HAProxy; `start` waits until it has a worker to pass requests to.

    Args:
        workers: two of them.
        directory: where its log goes.
    """

    def __init__(self, workers: Sequence[Worker], directory: Path) -> None:
        haproxy = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
        assert haproxy is not None, "Expected HAProxy to be installed: apt-get install haproxy"
        self.port = free_port()
        environment = {"PATH": os.environ["PATH"], "BALANCER_BIND": f"127.0.0.1:{self.port}"}
        for number, worker in enumerate(workers, 1):
            environment[f"BALANCER_WORKER_{number}"] = f"127.0.0.1:{worker.port}"
        command = [haproxy, "-db", "-f", str(ROOT / "deploy" / "haproxy.cfg")]
        super().__init__("haproxy", command, environment, directory)

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/ws"

    def start(self) -> None:
        self.spawn()
        self.await_sync(lambda: get_status(self.port, "/readyz") == 200)
