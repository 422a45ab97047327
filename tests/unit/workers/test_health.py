import json
import os
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest
from celery.signals import heartbeat_sent

from config.settings import Settings
from longhaul.crawls.crawl import CrawlStep
from longhaul.crawls.store import CrawlStore
from longhaul.jobs.job import JobStep
from longhaul.jobs.store import JobStore
from longhaul.process import heartbeat
from longhaul.process.heartbeat import write_heartbeats
from tests.builders import crawl_limits, job_limits
from workers import health
from workers.health import LATE_SECONDS, Unhealthy

ENTRY = "longhaul:redbeat:longhaul-dispatch"


@pytest.fixture
def settings(redis_url, tmp_path):
    return Settings(redis_url=redis_url, heartbeat_file=tmp_path / "heartbeat")


@pytest.fixture
def heartbeats():
    known = list(heartbeat_sent.receivers or ())
    yield lambda: heartbeat_sent.send(sender=None)
    heartbeat_sent.receivers = known


def make_old(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def tick(redis, at):
    year, month, day, hour, minute, second, *_ = time.gmtime(at)
    ran = {
        "__type__": "datetime",
        "year": year,
        "month": month,
        "day": day,
        "hour": hour,
        "minute": minute,
        "second": second,
    }
    redis.hset(ENTRY, "meta", json.dumps({"last_run_at": {**ran, "microsecond": 0, "timezone": "UTC"}}))


def test_a_heartbeat_touches_the_file(tmp_path, heartbeats):
    write_heartbeats(tmp_path / "heartbeat", longest=10)
    heartbeats()
    assert (tmp_path / "heartbeat").exists()


def test_a_task_that_hangs_stops_the_heartbeat(tmp_path, heartbeats, monkeypatch):
    monkeypatch.setattr(
        heartbeat, "active_requests", [SimpleNamespace(time_start=time.time() - 11), SimpleNamespace(time_start=None)]
    )
    write_heartbeats(tmp_path / "heartbeat", longest=10)
    heartbeats()
    assert not (tmp_path / "heartbeat").exists()


def test_without_a_file_there_is_no_heartbeat():
    known = len(heartbeat_sent.receivers or ())
    write_heartbeats(None, longest=10)
    assert len(heartbeat_sent.receivers or ()) == known


def test_a_fetcher_is_healthy_by_its_heartbeat(settings):
    with pytest.raises(Unhealthy, match="no heartbeat yet"):
        health.fetcher(settings)
    settings.heartbeat_file.touch()
    assert "heartbeat 0 s ago" in health.fetcher(settings)
    make_old(settings.heartbeat_file, LATE_SECONDS + 5)
    with pytest.raises(Unhealthy, match="last heartbeat 35 s ago"):
        health.fetcher(settings)


def test_a_worker_without_a_heartbeat_file_cannot_be_checked(redis_url):
    with pytest.raises(Unhealthy, match="LONGHAUL_HEARTBEAT_FILE"):
        health.worker(Settings(redis_url=redis_url))


def test_a_worker_is_healthy_while_the_due_loop_of_each_family_runs(settings, redis):
    settings.heartbeat_file.touch()
    jobs, crawls = JobStore(redis, job_limits()), CrawlStore(redis, crawl_limits())
    with pytest.raises(Unhealthy, match="due loop of jobs has never run"):
        health.worker(settings)
    jobs.dispatch(JobStep.POLL)
    with pytest.raises(Unhealthy, match="due loop of crawls has never run"):
        health.worker(settings)
    crawls.dispatch(CrawlStep.POLL)
    assert "due loop 0 s ago" in health.worker(settings)
    JobStore(redis, job_limits(), clock=lambda: time.time() - LATE_SECONDS - 5).dispatch(JobStep.POLL)
    with pytest.raises(Unhealthy, match=r"due loop of jobs last ran 3[45] s ago"):
        health.worker(settings)


def test_beat_is_healthy_while_it_ticks(settings, redis):
    with pytest.raises(Unhealthy, match="never ticked"):
        health.beat(settings)
    tick(redis, time.time())
    assert "ticked" in health.beat(settings)
    tick(redis, time.time() - 60)
    with pytest.raises(Unhealthy, match="last ticked"):
        health.beat(settings)


@pytest.fixture
def answering():
    class Answer(BaseHTTPRequestHandler):
        status, text = 200, b""

        def do_GET(self):
            self.send_response(self.status)
            self.send_header("Content-Length", str(len(self.text)))
            self.end_headers()
            self.wfile.write(self.text)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield Answer, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_web_process_is_as_healthy_as_it_says(answering):
    answer, url = answering
    assert health.web(url).endswith("answers 200")
    answer.status, answer.text = 503, b"the ledger does not answer"
    with pytest.raises(Unhealthy, match="503: the ledger"):
        health.web(url)


def test_flower_is_healthy_while_it_hears_a_worker(answering):
    answer, url = answering
    answer.text = b'flower_worker_online{worker="a@b"} 0.0\n'
    with pytest.raises(Unhealthy, match="hears no worker"):
        health.flower(url)
    answer.text += b'flower_worker_online{worker="c@d"} 1.0\n'
    assert health.flower(url) == "hears 1 worker(s)"


def test_the_command_says_what_has_stopped(answering, capsys):
    answer, url = answering
    assert health.main(["web", url]) == 0
    answer.status = 500
    assert health.main(["web", url]) == 1
    assert "answers 500" in capsys.readouterr().err


def test_the_command_says_what_does_not_answer(capsys):
    assert health.main(["web", "http://127.0.0.1:1/"]) == 1
    assert "127.0.0.1" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["web"], ["worker", "extra"], ["other"]])
def test_a_wrong_command_says_how(arguments, capsys):
    assert health.main(arguments) == 78
    assert "workers.health" in capsys.readouterr().err
