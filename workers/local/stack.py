"""Everything on one machine: which processes `longhaul up` and the demo start, with which settings."""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workers.local.processes import Part

HOST = "127.0.0.1"
PYTHON = (sys.executable, "-m")
FLOWER_USER = "longhaul"


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of the parts."""

    redis: int = 6379
    service: int = 8080
    receiver: int = 8090
    flower: int = 5555


@dataclass(frozen=True, slots=True)
class Stack:
    """The installation of one machine. `self_hosted`: the remote is the service in this repository, and no account is
    needed.
    """

    ports: Ports
    redis_url: str
    self_hosted: bool
    workers: int
    secret: str
    broker_url: str = ""
    """The broker, where it is not the ledger."""

    @property
    def env(self) -> dict[str, str]:
        """The settings that the parts share. An API key or a webhook secret that the user has set is kept."""
        env = {
            "LONGHAUL_REDIS_URL": self.redis_url,
            "LONGHAUL_BROKER_URL": self.broker_url,
            "FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{self.password}",
        }
        if self.self_hosted:
            env |= {
                "LONGHAUL_ASYNC_URL": self.service_url,
                "LONGHAUL_CRAWLER_URL": self.service_url,
                "LONGHAUL_API_KEY": os.environ.get("LONGHAUL_API_KEY", "local"),
                "LONGHAUL_SERVICE_PUBLIC_URL": self.service_url,
                # Targets and callbacks are on this machine as well.
                "LONGHAUL_SERVICE_PRIVATE_TARGETS": "true",
                "LONGHAUL_PUBLIC_URL": self.receiver_url,
                "LONGHAUL_WEBHOOK_SECRET": self.secret,
            }
        elif "LONGHAUL_WEBHOOK_SECRET" not in os.environ:
            env["LONGHAUL_WEBHOOK_SECRET"] = self.secret
        return env

    @property
    def service_url(self) -> str:
        """The self-hosted service's address."""
        return f"http://{HOST}:{self.ports.service}"

    @property
    def receiver_url(self) -> str:
        """The webhook receiver's address."""
        return f"http://{HOST}:{self.ports.receiver}"

    @property
    def flower_url(self) -> str:
        """Flower's address."""
        return f"http://{HOST}:{self.ports.flower}"

    @property
    def password(self) -> str:
        """Flower's password, derived from the secret without containing it."""
        return hmac.new(self.secret.encode(), b"Flower's password", "sha256").hexdigest()[:24]

    def remote(self) -> list[Part]:
        """The processes of the self-hosted service, where it is the remote."""
        if not self.self_hosted:
            return []
        return [
            self._web("service", "service.app:api", self.ports.service, factory=True),
            self._celery("fetcher", "service.tasks", "worker", "--without-gossip", "--without-mingle"),
        ]

    def own(self) -> list[Part]:
        """Our own processes in the order of starting; the remote is running already."""
        workers = [
            self._celery(
                f"worker{n}",
                "workers.app",
                "worker",
                "--hostname",
                f"worker{n}@%h",
                "--without-gossip",
                "--without-mingle",
            )
            for n in range(1, self.workers + 1)
        ]
        flower = [f"--address={HOST}", f"--port={self.ports.flower}", "--max_tasks=10000", "--purge_offline_workers=60"]
        return [
            self._web("webhook", "workers.receiver.app:api", self.ports.receiver),
            *workers,
            self._celery(
                "flower", "workers.app", "flower", *flower, health=f"{self.flower_url}/healthcheck", grace=5.0
            ),
            # Last to start and first to end: no tick before a worker can receive it.
            self._celery("beat", "workers.app", "beat"),
        ]

    def _celery(self, name: str, app: str, *command: str, health: str | None = None, grace: float = 100.0) -> Part:
        return Part(name, [*PYTHON, "celery", "--quiet", "--app", app, *command], self.env, health, grace)

    def _web(self, name: str, api: str, port: int, *, factory: bool = False) -> Part:
        command = [*PYTHON, "uvicorn", api, "--host", HOST, "--port", str(port), "--log-level", "warning"]
        command += ["--timeout-graceful-shutdown", "10"]
        return Part(
            name, [*command, "--factory"] if factory else command, self.env, f"http://{HOST}:{port}/health", grace=20.0
        )


def free_ports() -> Ports:
    """Ports on which no process listens."""
    probes = [socket.socket() for _ in range(4)]
    for probe in probes:
        probe.bind((HOST, 0))
    ports = Ports(*(probe.getsockname()[1] for probe in probes))
    for probe in probes:
        probe.close()
    return ports


def is_self_hosted(environ: Mapping[str, str]) -> bool:
    """Whether the remote is our own service, which it is unless the user has named an account or another remote."""
    return not ({"LONGHAUL_API_KEY", "LONGHAUL_ASYNC_URL", "LONGHAUL_CRAWLER_URL"} & set(environ))


def kept_secret(folder: Path) -> str:
    """The installation's secret, made at its first start and kept: addresses given to a remote stay valid."""
    path = folder / "secret"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(24))
    return path.read_text().strip()
