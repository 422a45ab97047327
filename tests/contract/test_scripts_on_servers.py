"""Every script, run at least once by the real stores on the oldest and on the newest server that this machine can have.

`make servers` runs whole suites on each server; this is the part of it that every `make test` runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from kombu import Connection, Consumer, Message, Queue
from kombu.asynchronous import Hub
from redis import Redis

from longhaul.crawls.arguments import NewCrawl
from longhaul.crawls.crawl import Crawl, CrawlStep
from longhaul.crawls.decider import Complete, CrawlDecision, EndRun
from longhaul.crawls.store import CrawlStore
from longhaul.jobs.decider import Finish, Resend
from longhaul.jobs.job import JobStep
from longhaul.jobs.store import JobStore
from longhaul.ledger.connection import connect
from longhaul.ledger.due import Due, NewRecord
from longhaul.ledger.quarantine import TRIES, Crash
from longhaul.ledger.script import Script
from longhaul.ledger.versions import Versions
from longhaul.scraperapi.crawl_models import CrawlRequest, PageEvent, SummaryEvent
from longhaul.work.account_limits import AccountLimit
from longhaul.work.balance import balance
from longhaul.work.decisions import Cancel, Fail, Pause, Retry, Sent, Snooze
from service.crawls.frontier import Frontier, PageEnd
from service.crawls.order import CrawlOrder
from service.crawls.outbox import AttemptedDelivery, Outbox
from service.crawls.store import CRAWL, ServiceCrawlStore
from service.fetching.request import FetchRequest
from service.fetching.retry_policy import Completed, GiveUp, RetryAt
from service.jobs.runs import FETCH, Runs
from service.jobs.submission import RunRequest
from tests.builders import HOUR, START, Clock, a_submission, crawl_limits, envelopes, finished, job_limits
from tests.conftest import free_port
from tests.installation import until
from tests.servers.registry import ROOT, installed
from workers.broker.redis_transport import TAKE_MESSAGE, Transport
from workers.local.embedded_server import TEST_SERVER, serving

ENDS = [servers[at] for at in (0, -1) for servers in [installed()] if servers]
SITE = "http://site.test/"
PAGE = FetchRequest(SITE)
PACKAGES = ("config", "longhaul", "tasks", "workers", "cli", "service")


def test_the_oldest_and_the_newest_server_are_at_hand() -> None:
    assert ENDS, "no server is installed: run `python -m tests.servers --install`, as `make .venv/dev` does"


@pytest.fixture(scope="module", params=ENDS, ids=[name for name, _ in ENDS])
def redis(request: pytest.FixtureRequest) -> Iterator[Redis]:
    """A fresh server: whatever script it knows at the end was run here."""
    _, binary = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TEST_SERVER, str(binary))
        with serving(free_port()) as url:
            client = connect(url)
            assert Path(client.info("server")["executable"]).samefile(binary)
            yield client
            client.close()


def claim(store: JobStore, step: JobStep):
    """The jobs that are due for `step`, by their ids."""
    return {job.id: job for job in store.claim(step, "default").items}


def work_off_jobs(redis: Redis) -> Iterable[Script]:
    clock = Clock()
    store = JobStore(redis, job_limits(accounts={"default": AccountLimit(per_second=100, open=400)}), clock=clock)
    ids = ("done", "failed", "cancelled", "lost", "crashing")
    assert store.submit([(id_, a_submission()) for id_ in ids], tracked=False) == 5
    assert store.submit([("done", a_submission())], tracked=False) == 0
    ((account, token),) = store.dispatch(JobStep.SEND)
    jobs = {job.id: job for job in store.claim(JobStep.SEND, account, token).items}
    store.leave(JobStep.SEND, token)
    decided = [(job, Sent(f"remote-{id_}", START)) for id_, job in jobs.items() if id_ not in ("failed", "crashing")]
    decided += [(jobs["failed"], Retry(START, "trouble")), (jobs["crashing"], Pause(START + 5, "throttled"))]
    assert {one.written for one in store.apply(JobStep.SEND, decided, START)} == {"moved"}
    assert {lane.name: lane.reason for lane in store.books().lanes}["send:default"] == "throttled"
    store.resume(JobStep.SEND, "default")

    for _ in range(TRIES):
        clock.now += 120
        crashing = claim(store, JobStep.SEND)["crashing"]
        set_aside = store.count_crashes(JobStep.SEND, "default", [Crash("crashing", crashing.fence, "a test")])
    assert [one.id for one in set_aside] == store.quarantine.ids() == ["crashing"]
    assert store.quarantine.retry(["crashing", "nobody"]) == ["send:default", "missing"]
    clock.now += 120
    jobs = claim(store, JobStep.SEND)
    ends = [(jobs["failed"], Fail("no")), (jobs["crashing"], Sent("remote-crashing", START))]
    assert [one.written for one in store.apply(JobStep.SEND, ends, clock.now)] == ["finished", "moved"]

    assert store.cancel("cancelled") == ("marked", "default")
    jobs = claim(store, JobStep.POLL)
    looked = [(jobs["done"], Snooze(clock.now, alive=True)), (jobs["lost"], Resend())]
    assert [one.written for one in store.apply(JobStep.POLL, looked, clock.now)] == ["moved", "moved"]
    stale = store.apply(JobStep.POLL, [(jobs["done"], Finish(finished("late").response))], clock.now)
    assert [one.written for one in stale] == ["stale"]
    jobs = claim(store, JobStep.POLL) | claim(store, JobStep.CANCEL)
    ends = [(jobs["done"], Finish(finished("hello").response)), (jobs["cancelled"], Cancel())]
    assert [one.written for one in store.apply(JobStep.POLL, ends, clock.now)] == ["finished", "finished"]

    assert sorted(one["id"] for one in envelopes(redis)) == ["cancelled", "done", "failed"]
    books = balance(store.books())
    assert (books.faults, books.open, books.submitted) == ([], 2, 5)
    assert store.audit().faults == {}
    return store._due._lua._scripts.values()


def migrate_a_record(redis: Redis) -> Iterable[Script]:
    table = {"open": ["done"], "done": ()}
    Due(redis, "longhaul:{versions}", table).create([NewRecord("a", "open", "lane", {"old": "1"}, {})])
    versions = Versions(2, {1: lambda row: replace(row, fields={"new": row.fields["old"], "state": "open"})})
    due = Due(redis, "longhaul:{versions}", table, versions=versions)
    (row,) = due.claim("lane", limit=1, lease=60).rows
    assert row.fields["new"] == "1"
    stored = due.get("a")
    assert stored is not None
    assert (stored.fields["v"], stored.fields["new"], "old" in stored.fields) == ("2", "1", False)
    return due._lua._scripts.values()


def page(remote_id: str, path: str, run: int | None = None) -> PageEvent:
    return PageEvent(remote_id, f"{SITE}{path}", 0, 1, 1, run, finished().response)


def work_off_crawls(redis: Redis) -> Iterable[Script]:
    clock = Clock()
    store = CrawlStore(redis, crawl_limits(), clock=clock)

    def claim(step: CrawlStep) -> list[Crawl]:
        return store.claim(step, "default").items

    def write(step: CrawlStep, crawl: Crawl, decision: CrawlDecision) -> str:
        (applied,) = store.apply(step, [(crawl, decision)], clock.now)
        return applied.written

    for id_, interval in (("once", ""), ("daily", "daily")):
        assert store.order(id_, NewCrawl(CrawlRequest(SITE, interval=interval), "http://receiver.test", queue="pages"))
        assert write(CrawlStep.CREATE, claim(CrawlStep.CREATE)[0], Sent(f"remote-{id_}", START + HOUR)) == "moved"

    once, daily = store.get("once"), store.get("daily")
    assert once is not None
    assert daily is not None
    events = [
        store.record_pages(once, page("remote-once", "1"), page("remote-once", "1"), page("remote-once", "2")),
        store.record_pages(daily, page("remote-daily", "1", run=1)),
        store.record_summary(once, SummaryEvent("remote-once", "completed", 2, 2, 0)),
        store.record_summary(daily, SummaryEvent("remote-daily", "completed", 1, 1, 0, run=1)),
    ]
    assert store.record(events) == ["taken", "seen", "taken", "taken", "complete", "complete"]

    clock.now += 2 * HOUR
    due = {crawl.id: crawl for _ in range(2) for crawl in claim(CrawlStep.POLL)}
    assert write(CrawlStep.POLL, due["once"], Complete()) == "finished"
    assert write(CrawlStep.POLL, due["daily"], EndRun(clock.now + HOUR)) == "moved"
    assert store.state("once") == "finished"
    daily = store.get("daily")
    assert daily is not None
    assert (daily.run, daily.arrived.pages) == (2, 0)
    assert store.cancel("daily")[0] == "marked"
    assert write(CrawlStep.CANCEL, claim(CrawlStep.CANCEL)[0], Cancel()) == "finished"
    assert Counter(one["kind"] for one in envelopes(redis, "pages")) == {"page": 3, "crawl": 3}
    assert balance(store.books()).faults == []
    return store._due._lua._scripts.values()


def work_off_service_jobs(redis: Redis) -> Iterable[Script]:
    clock = Clock()
    runs = Runs(redis, retention=HOUR, read_grace=0, retry_for=HOUR, clock=clock)
    made = runs.create([RunRequest(PAGE), RunRequest(PAGE, callback="http://hook.test/"), RunRequest(PAGE)])
    read, pushed, given_up = (run_id for run_id, _ in made)
    rows = {row.id: row for row in runs.claim_fetches(10, 60).rows}
    verdicts = {read: Completed('{"body":"b"}'), pushed: RetryAt(clock.now, "trouble"), given_up: GiveUp("no")}
    runs.due.write([runs.settling(rows[id_], verdict) for id_, verdict in verdicts.items()])
    (row,) = runs.claim_fetches(10, 60).rows
    assert runs.due.write([runs.settling(row, Completed('{"body":"b"}'))]) == ["finished"]
    (row,) = runs.claim_deliveries(10, 60).rows
    assert runs.due.write([runs.delivering(row, None)]) == ["moved"]
    reading = runs.read(read)
    assert reading is not None
    assert reading.result == '{"body":"b"}'
    assert runs.read(read) is None
    (run_id, _) = runs.create([RunRequest(PAGE)])[0]
    assert (runs.cancel(run_id) or {})["state"] == "cancelled"
    assert runs.due.dispatch(FETCH, [FETCH], size=10, most=1, lease=60) == []
    return runs.due._lua._scripts.values()


def crawl_order(**changes: object) -> CrawlOrder:
    given: dict[str, object] = {
        "max_depth": 1,
        "budget": None,
        "include": ".*",
        "exclude": "",
        "page": PAGE,
    }
    return CrawlOrder(start_url=SITE, **(given | changes))  # type: ignore[arg-type]


def work_off_service_crawls(redis: Redis) -> Iterable[Script]:
    clock = Clock()
    crawls = ServiceCrawlStore(redis, retention=HOUR, clock=clock)
    frontier = Frontier(crawls, per_host=50, share=20, lease=60, retry_for=60)
    outbox = Outbox(crawls, per_crawl=8, share=8, lease=60)
    crawl_id = crawls.create(crawl_order(callback="http://hook.test/", interval="hourly"))

    def seen() -> dict[str, str]:
        found = crawls.snapshot(crawl_id)
        assert found is not None
        return dict(found.fields)

    (token,) = frontier.dispatch(size=10, most=1)
    (start,) = frontier.claim(10, token).pages
    crawls.leave(CRAWL, token)
    assert frontier.keep_links(start, [f"{SITE}{number}" for number in range(3)])
    assert frontier.write([frontier.settling(start, PageEnd(b'{"n":0}', 1, '"n":0}', links=[f"{SITE}3"]))]) == [
        "settled"
    ]
    first, *others = frontier.claim(10).pages
    assert frontier.write([frontier.retrying(first, clock.now, 1, clock.now)]) == ["retried"]
    pages = [*others, *frontier.claim(10).pages]
    assert len(pages) == 4
    settled = [frontier.settling(one, PageEnd(b'{"n":1}', 1, '"n":1}')) for one in pages]
    assert set(frontier.write(settled)) == {"settled"}

    # Of five events one is tried twice. Each that is delivered is taken off what is undelivered, the summary as well,
    # which never was a part of it: `-0`, which servers before 7.2 refuse as an increment.
    late, *events = outbox.claim(100).events
    outbox.settle([AttemptedDelivery(late, clock.now, 1), *(AttemptedDelivery(event, None, 1) for event in events)])
    while events := outbox.claim(100).events:
        outbox.settle([AttemptedDelivery(event, None, event.attempts + 1) for event in events])
    assert (seen()["state"], seen()["undelivered"], seen()["run"]) == ("delivered", "0", "1")
    clock.now += HOUR
    assert crawls.begin_due_runs() == 1
    assert seen()["run"] == "2"
    assert crawls.cancel(crawl_id)
    assert seen()["state"] != "running"
    return crawls.lua._scripts.values()


def take_a_message(redis: Redis) -> Iterable[Script]:
    got: list[Message] = []
    host = "{host}:{port}".format(**redis.get_connection_kwargs())
    with Connection(f"redis://{host}", transport=Transport, transport_options={"priority_steps": [0]}) as connection:
        connection.SimpleQueue("work").put({"n": 1})
        hub = Hub()
        connection.transport.register_with_event_loop(connection.connection, hub)
        with Consumer(connection.default_channel, [Queue("work", routing_key="work")], on_message=got.append):
            until(lambda: hub.run_once() or got, "a message")
        assert got[0].payload == {"n": 1}
        got[0].ack()
        hub.close()
    return [TAKE_MESSAGE]


def test_every_script_runs(redis: Redis) -> None:
    scenarios = (work_off_jobs, migrate_a_record, work_off_crawls, work_off_service_jobs, work_off_service_crawls)
    run = {
        part.file
        for scenario in (*scenarios, take_a_message)
        for script in scenario(redis)
        if redis.script_exists(script.digest) == [True]
        for part in script.parts
    }
    files = [path.name for package in PACKAGES for path in (ROOT / package).rglob("*.lua")]
    assert len(set(files)) == len(files), "two scripts of one name can't be told apart here"
    assert set(files) - run == set(), "which scripts no scenario runs"
