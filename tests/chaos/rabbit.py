"""A RabbitMQ server of our own on loopback, in a folder of its own, with its own name service: nothing of the machine's
is touched.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kombu import Connection

from tests.conftest import free_port

HOST = "127.0.0.1"
START_WITHIN = 90.0
STOP_WITHIN = 60.0


def find() -> Path | None:
    """The server's own start script; Debian's in `/usr/sbin` is a wrapper that wants root."""
    on_path = shutil.which("rabbitmq-server")
    return Path(on_path).resolve().parent / "rabbitmq-server" if on_path else None


class Rabbit:
    """`url` is good once it is started, and again after a restart: queues and messages stay in the folder."""

    def __init__(self, script: Path, folder: Path) -> None:
        self.script = script
        self.folder = folder
        self.port, self.names = free_port(), free_port()
        self.url = f"amqp://guest:guest@{HOST}:{self.port}//"
        self._server: subprocess.Popen[bytes] | None = None
        (folder / "rabbitmq.conf").write_text("log.console = false\nlog.file.level = warning\n")

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            # Its cookie lies there.
            "HOME": str(self.folder),
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self.names),
            "RABBITMQ_NODENAME": f"longhaul-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            # No listener but loopback's.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def start(self) -> None:
        """Start, and wait until it takes a connection."""
        with (self.folder / "server.log").open("ab") as log:
            self._server = subprocess.Popen(
                self.script, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + START_WITHIN
        while not self._answers():
            if time.monotonic() > end or self._server.poll() is not None:
                raise AssertionError(f"RabbitMQ does not start:\n{(self.folder / 'server.log').read_text()[-3000:]}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            with Connection(self.url, connect_timeout=2) as connection:
                connection.connect()
        except OSError:
            return False
        return True

    def end(self) -> None:
        """End the server and what it has started."""
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGTERM)
            self._server.wait(STOP_WITHIN)
            self._server = None


@contextmanager
def rabbit(script: Path) -> Iterator[Rabbit]:
    """A fresh server while the block runs."""
    with tempfile.TemporaryDirectory(prefix="rabbit-", ignore_cleanup_errors=True) as folder:
        server = Rabbit(script, Path(folder))
        epmd = shutil.which("epmd") or "epmd"
        names = subprocess.Popen(
            [epmd, "-address", HOST, "-port", str(server.names)], env=server.env, start_new_session=True
        )
        try:
            server.start()
            yield server
        finally:
            server.end()
            names.terminate()
            names.wait()
