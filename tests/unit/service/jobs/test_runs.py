"""Runs against a real ledger, with a clock that the test turns."""

from __future__ import annotations

from redis import Redis

from service.fetching.request import FetchRequest
from service.fetching.retry_policy import Completed, GiveUp, RetryAt
from service.jobs.runs import SPACE, Runs, request_of
from service.jobs.submission import RunRequest
from tests.builders import Clock

URL = "http://example.com/"
PAGE = FetchRequest(URL)


def runs_of(redis: Redis, clock: Clock, grace: float = 0.0) -> Runs:
    return Runs(redis, retention=7200, read_grace=grace, retry_for=3600, clock=clock)


def finished(runs: Runs, **options: object) -> str:
    [(run_id, _)] = runs.create([RunRequest(PAGE, **options)])  # type: ignore[arg-type]
    [row] = runs.claim_fetches(10, 60).rows
    assert runs.due.write([runs.settling(row, Completed('{"body":"b"}'))]) == ["finished"]
    return run_id


def test_a_request_survives_the_ledger(redis: Redis, clock: Clock) -> None:
    runs = runs_of(redis, clock)
    given = RunRequest(FetchRequest(URL, "POST", {"a": "b"}, "c", follow_redirect=False, output_format="text"), 5.0)
    runs.create([given, RunRequest(PAGE)])
    rows = runs.claim_fetches(10, 60).rows
    assert sorted((request_of(row) for row in rows), key=lambda one: one.page.method) == [RunRequest(PAGE), given]


def test_the_first_reading_of_a_result_deletes_it(redis: Redis, clock: Clock) -> None:
    runs = runs_of(redis, clock)
    run_id = finished(runs)
    reading = runs.read(run_id)
    assert reading is not None
    assert reading.result == '{"body":"b"}'
    assert runs.read(run_id) is None
    assert not redis.exists(f"{SPACE}:record:{run_id}", f"{SPACE}:result:{run_id}")


def test_with_a_grace_it_can_be_read_again_for_a_while(redis: Redis, clock: Clock) -> None:
    runs = runs_of(redis, clock, grace=30)
    run_id = finished(runs)
    assert runs.read(run_id)
    clock.now += 29
    assert runs.read(run_id)
    clock.now += 1
    assert runs.read(run_id) is None
    assert 0 < redis.ttl(f"{SPACE}:result:{run_id}") <= 30


def test_a_pending_webhook_keeps_a_result_that_was_read(redis: Redis, clock: Clock) -> None:
    runs = runs_of(redis, clock)
    run_id = finished(runs, callback="http://example.com/hook")
    assert runs.read(run_id)
    assert runs.read(run_id) is None
    [row] = runs.claim_deliveries(10, 60).rows
    assert (row.id, row.blobs["result"]) == (run_id, '{"body":"b"}')
    assert runs.due.write([runs.delivering(row, None)]) == ["moved"]
    runs.shorten_results([run_id])
    assert runs.read(run_id) is None
    assert not runs.claim_deliveries(10, 60).rows


def test_a_delivered_result_can_be_read_for_an_hour(redis: Redis, clock: Clock) -> None:
    runs = runs_of(redis, clock)
    run_id = finished(runs, callback="http://example.com/hook")
    [row] = runs.claim_deliveries(10, 60).rows
    runs.due.write([runs.delivering(row, None)])
    runs.shorten_results([run_id])
    assert 0 < redis.ttl(f"{SPACE}:result:{run_id}") <= 3600
    assert runs.read(run_id)
    assert runs.read(run_id) is None


def test_cancelling_wins_over_a_fetch_that_comes_later(redis: Redis, clock: Clock) -> None:
    runs = runs_of(redis, clock)
    [(run_id, _)] = runs.create([RunRequest(PAGE)])
    [row] = runs.claim_fetches(10, 60).rows
    assert (runs.cancel(run_id) or {})["state"] == "cancelled"
    assert runs.due.write([runs.settling(row, Completed("{}"))]) == ["ended"]
    assert (runs.cancel(run_id) or {})["state"] == "cancelled"
    assert (reading := runs.read(run_id)) is not None
    assert (reading.fields["state"], reading.result) == ("cancelled", "")
    assert not runs.claim_fetches(10, 60).rows


def test_a_fetch_that_came_first_wins_over_cancelling(redis: Redis, clock: Clock) -> None:
    runs = runs_of(redis, clock)
    run_id = finished(runs)
    assert (runs.cancel(run_id) or {})["state"] == "finished"
    assert runs.read(run_id)
    assert runs.cancel("nobody") is None


def test_trying_again_moves_the_time_and_counts_the_attempts(redis: Redis, clock: Clock) -> None:
    runs = runs_of(redis, clock)
    [(run_id, _)] = runs.create([RunRequest(PAGE)])
    [row] = runs.claim_fetches(10, 60).rows
    runs.due.write([runs.settling(row, RetryAt(clock.now + 5, "HTTP 503"))])
    assert not runs.claim_fetches(10, 60).rows
    clock.now += 5
    [row] = runs.claim_fetches(10, 60).rows
    assert (row.fields["attempts"], float(row.fields["next"])) == ("2", clock.now)
    runs.due.write([runs.settling(row, RetryAt(None, "delayed", uncounted=True))])
    assert runs.fields_of(run_id)["attempts"] == "1"
    clock.now += 100_000
    assert not runs.claim_fetches(10, 60).rows


def test_a_claim_ends_by_itself_and_its_late_writer_is_refused(redis: Redis, clock: Clock) -> None:
    runs = runs_of(redis, clock)
    runs.create([RunRequest(PAGE)])
    [dead] = runs.claim_fetches(10, 60).rows
    clock.now += 60
    [row] = runs.claim_fetches(10, 60).rows
    assert runs.due.write([runs.settling(dead, Completed("{}"))]) == ["stale"]
    assert runs.due.write([runs.settling(row, Completed("{}"))]) == ["finished"]


def test_failures_are_delivered_only_where_asked_for(redis: Redis, clock: Clock) -> None:
    runs = runs_of(redis, clock)
    hook = "http://example.com/hook"
    made = runs.create(
        [RunRequest(PAGE, callback=hook), RunRequest(PAGE, callback=hook, report_failure=True), RunRequest(PAGE)]
    )
    rows = runs.claim_fetches(10, 60).rows
    runs.due.write([runs.settling(row, GiveUp("no")) for row in rows])
    assert [row.id for row in runs.claim_deliveries(10, 60).rows] == [made[1][0]]
    assert runs.fields_of(made[0][0])["reason"] == "no"


def test_what_ended_leaves_nothing_behind_but_for_its_retention(redis: Redis, clock: Clock) -> None:
    runs = runs_of(redis, clock)
    run_id = finished(runs)
    assert not redis.exists(f"{SPACE}:request:{run_id}")
    assert 7000 < redis.ttl(f"{SPACE}:record:{run_id}") <= 7200
    assert 7000 < redis.ttl(f"{SPACE}:result:{run_id}") <= 7200


def test_the_runs_time_is_the_shorter_of_its_own_and_the_services(redis: Redis, clock: Clock) -> None:
    runs = runs_of(redis, clock)
    runs.create([RunRequest(PAGE)])
    [row] = runs.claim_fetches(10, 60).rows
    born = clock.now
    assert runs.give_up_at(row, RunRequest(PAGE, timeout_seconds=5)) == born + 5
    assert (
        runs.give_up_at(row, RunRequest(PAGE, timeout_seconds=50_000))
        == runs.give_up_at(row, RunRequest(PAGE))
        == born + 3600
    )
