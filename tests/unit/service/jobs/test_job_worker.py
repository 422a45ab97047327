"""Rounds of fetching and of delivering webhooks in this process, against a real ledger and a real site."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import pytest
from redis import Redis

from service.fetching.fetch import FetchLimits
from service.fetching.request import FetchRequest
from service.jobs.job_worker import JobWorker
from service.jobs.runs import FETCH, WEBHOOK, Runs
from service.jobs.submission import RunRequest
from tests.builders import Clock
from tests.service_target import PAGE, Target, serve


@pytest.fixture
def target() -> Iterator[Target]:
    with serve() as one:
        yield one


class Rounds:
    """A job worker whose rounds run one after the other."""

    def __init__(self, redis: Redis, clock: Clock, *, private: bool = True) -> None:
        self.rounds: deque[tuple[str, str]] = deque()
        self.runs = Runs(redis, retention=3600, read_grace=0, retry_for=3600, clock=clock)
        self.worker = JobWorker(
            start=lambda lane, token: self.rounds.append((lane, token)),
            max_rounds=4,
            runs=self.runs,
            limits=FetchLimits(attempt_seconds=5, body_bytes=10**6, private=private),
            lease_seconds=60,
            public_url="http://service.test",
        )

    def submit(self, *urls: str, callback: str | None = None) -> list[str]:
        requests = [RunRequest(FetchRequest(url), callback=callback) for url in urls]
        return [run_id for run_id, _ in self.runs.create(requests)]

    def run_rounds(self) -> None:
        self.worker.wake()
        while self.rounds:
            lane, token = self.rounds.popleft()
            (self.worker.fetch if lane == FETCH else self.worker.deliver)(token)

    def state(self, run_id: str) -> str:
        return self.runs.fields_of(run_id)["state"]


def test_more_runs_than_a_round_has_places_are_fetched_once_each(redis: Redis, clock: Clock, target: Target) -> None:
    rounds = Rounds(redis, clock)
    made = rounds.submit(*(f"{target.base}/page?{number}" for number in range(120)))
    rounds.run_rounds()
    assert {rounds.state(run_id) for run_id in made} == {"finished"}
    assert len(target.at("/page")) == 120
    assert not redis.zcard("longhaul:service:{runs}:working:fetch")


def test_a_result_is_delivered_as_soon_as_it_is_there(redis: Redis, clock: Clock, target: Target) -> None:
    rounds = Rounds(redis, clock)
    [run_id] = rounds.submit(f"{target.base}/page", callback=f"{target.base}/hook")
    rounds.run_rounds()
    [hook] = target.at("/hook")
    document = json.loads(hook.body)
    assert (document["id"], document["response"]["body"]) == (run_id, PAGE)
    assert document["statusUrl"] == f"http://service.test/jobs/{run_id}"


def test_a_refused_webhook_is_due_again_and_given_up_after_three_attempts(
    redis: Redis, clock: Clock, target: Target
) -> None:
    target.refusals = 3
    rounds = Rounds(redis, clock)
    rounds.submit(f"{target.base}/page", callback=f"{target.base}/hook")
    for pause, attempts in ((0, 1), (2, 1), (2, 2), (57, 2), (5, 3), (3600, 3)):
        clock.now += pause
        rounds.run_rounds()
        assert len(target.at("/hook")) == attempts
    assert not redis.zcard(f"longhaul:service:{{runs}}:due:{WEBHOOK}")


def test_private_targets_are_refused_where_the_settings_say_so(redis: Redis, clock: Clock, target: Target) -> None:
    rounds = Rounds(redis, clock, private=False)
    [run_id] = rounds.submit(f"{target.base}/page")
    rounds.run_rounds()
    assert rounds.runs.fields_of(run_id)["reason"] == "the target is a private or loopback address"
    assert not target.asked


def test_a_broker_that_is_away_ends_no_round(redis: Redis, clock: Clock, target: Target) -> None:
    def away(lane: str, token: str) -> None:
        raise ConnectionError(lane, token)

    rounds = Rounds(redis, clock)
    made = rounds.submit(*(f"{target.base}/page?{n}" for n in range(60)), callback=f"{target.base}/hook")
    replace(rounds.worker, start=away).fetch("fetch#1")
    assert {rounds.state(run_id) for run_id in made} == {"finished"}


def test_a_worker_that_is_to_stop_claims_nothing(redis: Redis, clock: Clock, target: Target) -> None:
    rounds = Rounds(redis, clock)
    [run_id] = rounds.submit(f"{target.base}/page")
    replace(rounds.worker, stopping=lambda: True).fetch("fetch#1")
    assert not target.asked
    assert rounds.runs.fields_of(run_id)["attempts"] == "0"
