"""Processes prove at start that the servers they need answer, or end with the reason and the remedy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.celery_settings import UPKEEP
from tests.cluster_node import cluster_node
from tests.conftest import free_port
from tests.installation import ROOT, clean_environ, installed, until

WORKER = ("-m", "celery", "-A", "workers.app", "worker")
BEAT = ("-m", "celery", "-A", "workers.app", "beat")
RECEIVER = ("-m", "uvicorn", "workers.receiver.app:api", "--port", "0")


def start(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    env = {**clean_environ(), **settings}
    return subprocess.run(
        [sys.executable, *arguments], env=env, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )


@pytest.mark.parametrize("process", [WORKER, BEAT, RECEIVER], ids=["worker", "beat", "receiver"])
def test_a_ledger_that_does_not_answer_is_named_with_the_remedy(process: tuple[str, ...]) -> None:
    ended = start(*process, LONGHAUL_REDIS_URL=f"redis://:secret@127.0.0.1:{free_port()}/0", LONGHAUL_API_KEY="k")
    assert ended.returncode in {69, 3}  # 3: uvicorn's own code for a start that failed
    assert "The ledger at redis://:**@127.0.0.1" in ended.stderr
    assert "LONGHAUL_REDIS_URL" in ended.stderr
    assert "secret" not in ended.stderr


@pytest.mark.parametrize("process", [WORKER, BEAT, RECEIVER], ids=["worker", "beat", "receiver"])
def test_a_wrong_setting_is_named(process: tuple[str, ...], redis_url: str) -> None:
    ended = start(*process, LONGHAUL_REDIS_URL=redis_url, LONGHAUL_POLL_GROWTH="0.5")
    assert ended.returncode == 78
    assert "LONGHAUL_POLL_GROWTH: Input should be greater than 1" in ended.stderr


def test_a_broker_that_does_not_answer_is_named(redis_url: str) -> None:
    ended = start(
        *WORKER,
        LONGHAUL_REDIS_URL=redis_url,
        LONGHAUL_BROKER_URL=f"redis://127.0.0.1:{free_port()}/0",
        LONGHAUL_API_KEY="k",
    )
    assert ended.returncode == 69
    assert "LONGHAUL_BROKER_URL" in ended.stderr


def test_a_worker_without_an_account_says_what_to_set(redis_url: str) -> None:
    ended = start(*WORKER, LONGHAUL_REDIS_URL=redis_url)
    assert ended.returncode == 69
    assert "set LONGHAUL_API_KEY" in ended.stderr


def test_a_key_that_the_remote_refuses_ends_the_worker(redis_url: str) -> None:
    with installed(
        redis_url, {"LONGHAUL_SERVICE_API_KEYS": '["right", "local"]'}, leave_out=("flower", "webhook", "beat")
    ) as longhaul:
        ended = start(*WORKER, **{**longhaul.local.env, "LONGHAUL_API_KEY": "wr0ng"})
    assert ended.returncode == 69
    assert "refuses the key of account `default`" in ended.stderr
    assert "wr0ng" not in ended.stderr


def test_a_line_of_the_schedules_that_is_wrong_is_named(redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "schedules.toml"
    file.write_text('[[schedule]]\nname = "a"\nevery = 5\n\n[[schedule]]\nname = "b"\ncron = "61 * * * *"\n')
    ended = start(*BEAT, LONGHAUL_REDIS_URL=redis_url, LONGHAUL_SCHEDULES_FILE=str(file))
    assert ended.returncode == 78
    assert f"{file}, line 7: cron: '61 * * * *'" in ended.stderr


def test_an_argument_of_a_schedule_that_is_wrong_is_named(redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "schedules.toml"
    file.write_text('[[schedule]]\nname = "a"\nevery = 5\narguments = { url = "example.com" }\n')
    ended = start(*BEAT, LONGHAUL_REDIS_URL=redis_url, LONGHAUL_SCHEDULES_FILE=str(file))
    assert ended.returncode == 78
    assert (
        f"{file}, schedule 'a': arguments: url: 'example.com': must be an http:// or https:// address" in ended.stderr
    )
    assert "Traceback" not in ended.stderr


def test_a_schedule_submits_again_and_again(redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "schedules.toml"
    file.write_text(
        '[[schedule]]\nname = "often"\nevery = 1\n'
        'arguments = { url = "http://ok.fault.invalid/often", queue = "often" }\n'
    )
    with installed(redis_url, {"LONGHAUL_SCHEDULES_FILE": str(file)}, leave_out=("flower",)) as longhaul:
        until(lambda: longhaul.redis.xlen("longhaul:results:often") >= 3, "three scheduled envelopes")
        longhaul.stop_for_good("beat")

        def ended() -> bool:
            # What was under way when beat went needs a tick perhaps, and beat would bring more jobs with it.
            longhaul.client.send_task("jobs.dispatch", queue=UPKEEP)
            return not longhaul.books().open

        until(ended, "every job ended")
        longhaul.read("often")
    assert {envelopes[0]["url"] for envelopes in longhaul.envelopes.values()} == {"http://ok.fault.invalid/often"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that runs as a node of a cluster."""
    with cluster_node(tmp_path_factory.mktemp("cluster")) as url:
        yield url


@pytest.mark.parametrize("process", [WORKER, BEAT, RECEIVER], ids=["worker", "beat", "receiver"])
def test_a_cluster_as_the_ledger_is_refused_with_the_reason(process: tuple[str, ...], cluster: str) -> None:
    ended = start(*process, LONGHAUL_REDIS_URL=cluster, LONGHAUL_API_KEY="k")
    assert ended.returncode in {69, 3}
    assert f"The ledger at {cluster} is a node of a cluster" in ended.stderr
    assert "cluster mode switched off" in ended.stderr
    assert "MovedError" not in ended.stderr


def test_a_cluster_as_the_broker_is_refused_with_the_reason(cluster: str, redis_url: str) -> None:
    ended = start(*WORKER, LONGHAUL_REDIS_URL=redis_url, LONGHAUL_BROKER_URL=cluster, LONGHAUL_API_KEY="k")
    assert ended.returncode == 69
    assert f"The broker at {cluster} is a node of a cluster" in ended.stderr


@pytest.mark.parametrize(("command", "code"), [("doctor", 1), ("status", 69), ("submit", 69), ("books", 69)])
def test_the_command_refuses_a_cluster_with_the_reason(command: str, code: int, cluster: str) -> None:
    urls = ("http://x/",) if command == "submit" else ()
    said = start("-m", "cli.main", command, *urls, LONGHAUL_REDIS_URL=cluster)
    assert said.returncode == code, said.stderr
    assert "is a node of a cluster" in said.stdout + said.stderr
    assert "Traceback" not in said.stderr
