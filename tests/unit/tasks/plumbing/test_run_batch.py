"""Batches leave room in their process: however slow the remote is, submissions and ticks find a thread."""

from importlib import import_module
from threading import BoundedSemaphore
from types import SimpleNamespace

import pytest
from celery.worker import state

from config.celery_settings import BATCHES, ROUTES
from config.settings import Settings
from longhaul.crawls.crawl import CrawlStep
from longhaul.jobs.job import JobStep
from longhaul.work.batch import BatchReport
from tasks.plumbing import run_batch as batches
from tasks.plumbing import runtime
from workers.app import app


class Recorder:
    """A runner and its store: what they were told to do."""

    def __init__(self, more=False):
        self.ran, self.left, self.more, self.store = [], [], more, self

    def run(self, step, account, token, stopping):
        assert not stopping()
        self.ran.append((step, account, token))
        return BatchReport(step, account, more=self.more)

    def leave(self, step, token):
        self.left.append((step, token))


@pytest.fixture
def process(monkeypatch):
    """A process with room for one batch; what it starts is recorded."""
    recorder = Recorder()
    made = SimpleNamespace(batches=BoundedSemaphore(1), runners={"jobs": recorder})
    monkeypatch.setattr(batches, "runtime", lambda: made)
    recorder.started = []
    monkeypatch.setattr(batches, "start", lambda *batch: recorder.started.append(batch))
    recorder.room = made.batches
    return recorder


def test_a_batch_runs_where_there_is_room_and_gives_it_back(process):
    for _ in range(3):
        batches.run("jobs", JobStep.POLL, "default", "t")
    assert (len(process.ran), process.left, process.started) == (3, [], [])


def test_a_batch_that_left_work_starts_the_next(process):
    process.more = True
    batches.run("jobs", JobStep.POLL, "default", "t")
    assert process.started == [("jobs", JobStep.POLL, "default", "t")]


def test_without_room_the_token_goes_back_and_nothing_runs(process):
    with process.room:
        batches.run("jobs", JobStep.POLL, "default", "t")
    assert (process.ran, process.left, process.started) == ([], [(JobStep.POLL, "t")], [])


@pytest.mark.parametrize(("threads", "room"), [(8, 6), (3, 1), (1, 1)])
def test_two_threads_are_always_left(redis_url, threads, room):
    made = runtime.build(Settings(redis_url=redis_url, worker_threads=threads))
    assert sum(made.batches.acquire(blocking=False) for _ in range(10)) == room
    made.close()


@pytest.mark.parametrize("flag", ["should_stop", "should_terminate"])
def test_a_worker_that_is_to_stop_gives_the_token_back_and_runs_nothing(process, monkeypatch, flag):
    # Celery's own flag: the exit code of a clean end.
    monkeypatch.setattr(state, flag, 0)
    batches.run("jobs", JobStep.POLL, "default", "t")
    assert (process.ran, process.left, process.started) == ([], [(JobStep.POLL, "t")], [])


def test_every_step_of_every_family_has_a_task_of_its_own_in_the_queue_for_batches(redis_url):
    made = runtime.build(Settings(redis_url=redis_url))
    steps = [(name, step) for name, store in made.families.items() for step in store.steps]
    made.close()
    assert (
        set(batches.TASKS)
        == set(steps)
        == {*(("jobs", one) for one in JobStep), *(("crawls", one) for one in CrawlStep)}
    )
    assert len(set(batches.TASKS.values())) == len(batches.TASKS)
    for module in app.conf.imports:
        import_module(module)
    for name in batches.TASKS.values():
        assert ROUTES[name] == {"queue": BATCHES}
        assert name in app.tasks
