"""The compose file works, tested without a container engine: the command of each service runs as a process with the
service's environment, on loopback, until its own health check passes; then it is stopped.
"""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.compose import read
from tests.conftest import free_port
from tests.installation import ROOT
from workers.local.embedded_server import find_server

HEALTHY_WITHIN_SECONDS = 60.0
STOP_WITHIN_SECONDS = 30.0
SECRETS = {
    "longhaul_api_key": "key of the test",
    "longhaul_service_api_keys": '["key of the test"]',
    "longhaul_webhook_secret": "secret of the test",
    "flower_basic_auth": "user:password",
}
# uvicorn raises the signal that it got once it has shut down.
ENDED = {0, -signal.SIGTERM}


class Compose:
    """The services as processes. `folder` replaces /tmp, /data and /run/secrets."""

    def __init__(self, folder: Path) -> None:
        self.services = read()["services"]
        self.folder = folder
        self.ports = {port: str(free_port()) for port in ("6379", "8080", "8090", "5555")}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        # The packaged server brings no redis-cli.
        cli = folder / "redis-cli"
        cli.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT / "tests" / "redis_cli.py"}" "$@"\n')
        cli.chmod(0o755)
        self.programs = {"redis-server": find_server().path, "redis-cli": str(cli)}
        (folder / "secrets").mkdir()
        for name, value in SECRETS.items():
            (folder / "secrets" / name).write_text(f"{value}\n")

    def here(self, text: str, service: str) -> str:
        """Translate an argument or a value from the container to this machine."""
        if text in self.programs:
            return self.programs[text]
        text = text.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        places = {
            "/tmp/": f"{self.folder}/{service}-",  # noqa: S108
            "/run/secrets": f"{self.folder}/secrets",
            "/data": str(self.folder),
        }
        text = re.sub("|".join(places), lambda found: places[found[0]], text)
        text = re.sub(r"//(redis|service|webhook):", "//127.0.0.1:", text)
        return re.sub(r"\b(6379|8080|8090|5555)\b", lambda found: self.ports[found[0]], text)

    def environment(self, name: str) -> dict[str, str]:
        """The environment of a service: its own variables and none of this process."""
        own = {
            key: self.here(value, name)
            for key, value in self.services[name].get("environment", {}).items()
            if value is not None
        }
        return {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}", "HOME": str(self.folder), **own}

    def start(self, name: str) -> None:
        command = [self.here(word, name) for word in self.services[name]["command"]]
        if name == "redis":
            command += ["--port", self.ports["6379"], "--bind", "127.0.0.1"]
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command, env=self.environment(name), cwd=self.folder, stdout=log, stderr=log
            )

    def check(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run the service's health check once."""
        command = [self.here(word, name) for word in self.services[name]["healthcheck"]["test"][1:]]
        if name == "redis":
            command[1:1] = ["-p", self.ports["6379"]]
        return subprocess.run(
            command,
            env=self.environment(name),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def await_health(self, name: str) -> None:
        end = time.monotonic() + HEALTHY_WITHIN_SECONDS
        while (checked := self.check(name)).returncode:
            assert self.processes[name].poll() is None, f"{name} has ended:\n{self.log(name)}"
            assert time.monotonic() < end, f"{name}: {checked.stdout}{checked.stderr}\n{self.log(name)}"

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-4000:]

    def stop(self, name: str) -> int:
        process = self.processes[name]
        process.terminate()
        return process.wait(STOP_WITHIN_SECONDS)

    def kill(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait(STOP_WITHIN_SECONDS)


@pytest.mark.timeout(180)
def test_every_service_becomes_healthy_by_its_own_command_and_ends_when_told(tmp_path):
    with ExitStack() as stack:
        compose = Compose(tmp_path)
        stack.callback(compose.kill)
        healthy: set[str] = set()
        while waiting := [name for name in compose.services if name not in compose.processes]:
            for name in waiting:
                needs = set(compose.services[name].get("depends_on", ()))
                if needs <= set(compose.processes):
                    for need in needs - healthy:
                        compose.await_health(need)
                        healthy.add(need)
                    compose.start(name)
        for name in compose.services:
            compose.await_health(name)

        service = f"http://127.0.0.1:{compose.ports['8080']}"
        assert (
            requests.post(
                f"{service}/jobs", json={"apiKey": "another", "url": "http://example.com"}, timeout=10
            ).status_code
            == 401
        )
        flower = f"http://127.0.0.1:{compose.ports['5555']}/api/workers"
        assert requests.get(flower, timeout=10).status_code == 401
        assert requests.get(flower, auth=("user", "password"), timeout=10).status_code == 200

        for name in reversed(compose.processes):
            assert compose.stop(name) in ENDED, compose.log(name)
