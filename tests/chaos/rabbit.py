"""A RabbitMQ server on loopback, in a folder of its own and with an epmd of its own: it touches no other RabbitMQ of
this machine.
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
START_WITHIN_SECONDS = 90.0
STOP_WITHIN_SECONDS = 60.0


def find_rabbitmq() -> Path | None:
    """RabbitMQ's own start script, None where there is none. Debian's in `/usr/sbin` is a wrapper that needs root."""
    on_path = shutil.which("rabbitmq-server")
    return Path(on_path).resolve().parent / "rabbitmq-server" if on_path else None


class RabbitServer:
    """A server at `url`. Queues and messages stay in `folder` across restarts."""

    def __init__(self, script: Path, folder: Path) -> None:
        self.script = script
        self.folder = folder
        self.port, self.epmd_port = free_port(), free_port()
        self.url = f"amqp://guest:guest@{HOST}:{self.port}//"
        self._server: subprocess.Popen[bytes] | None = None
        (folder / "rabbitmq.conf").write_text("log.console = false\nlog.file.level = warning\n")

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            # The Erlang cookie is there.
            "HOME": str(self.folder),
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self.epmd_port),
            "RABBITMQ_NODENAME": f"longhaul-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            # Listen on loopback only.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def start(self) -> None:
        """Start the server and wait until it accepts a connection."""
        with (self.folder / "server.log").open("ab") as log:
            self._server = subprocess.Popen(
                self.script, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + START_WITHIN_SECONDS
        while not self._answers():
            if time.monotonic() > end or self._server.poll() is not None:
                raise AssertionError(f"RabbitMQ did not start:\n{(self.folder / 'server.log').read_text()[-3000:]}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            with Connection(self.url, connect_timeout=2) as connection:
                connection.connect()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Stop the server and its child processes."""
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGTERM)
            self._server.wait(STOP_WITHIN_SECONDS)
            self._server = None


@contextmanager
def rabbitmq(script: Path) -> Iterator[RabbitServer]:
    """A new server while the block runs."""
    with tempfile.TemporaryDirectory(prefix="rabbit-", ignore_cleanup_errors=True) as folder:
        server = RabbitServer(script, Path(folder))
        epmd = shutil.which("epmd") or "epmd"
        epmd_process = subprocess.Popen(
            [epmd, "-address", HOST, "-port", str(server.epmd_port)], env=server.env, start_new_session=True
        )
        try:
            server.start()
            yield server
        finally:
            server.stop()
            epmd_process.terminate()
            epmd_process.wait()
