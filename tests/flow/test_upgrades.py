"""A rolling restart: jobs and crawls that a newer worker has recorded, and those of an older one, among the others."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from longhaul.crawls import crawl as crawl_record
from longhaul.crawls.crawl import CrawlStep
from longhaul.jobs import job as job_record
from longhaul.jobs.job import JobStep
from longhaul.jobs.pushes import PushOutcome
from longhaul.ledger.records import Row
from longhaul.ledger.versions import FIELD
from longhaul.work.corrupt_records import CorruptRecord
from tests.builders import envelopes
from tests.flow.crawl_world import CrawlWorld
from tests.flow.scraper import result
from tests.wire import Ask

JOBS, CRAWLS = "longhaul:{jobs}", "longhaul:{crawls}"
NEWER = "is of version 2, written by a newer Longhaul: upgrade this one"


def test_new_jobs_and_crawls_say_their_version(world, crawls: CrawlWorld) -> None:
    world.submit("a")
    assert world.redis.hget(f"{JOBS}:record:a", FIELD) == "1"
    crawls.order("c")
    assert crawls.redis.hget(f"{CRAWLS}:record:c", FIELD) == "1"


@pytest.mark.parametrize("step", [JobStep.SEND, JobStep.POLL, JobStep.CANCEL])
def test_a_newer_job_is_left_to_newer_workers_and_the_others_go_on(world, step: JobStep) -> None:
    (world.submit if step is JobStep.SEND else world.send)("new", "old")
    if step is JobStep.CANCEL:
        assert world.store.cancel("new")[0] == "marked"
    world.redis.hset(f"{JOBS}:record:new", mapping={FIELD: 2, "state": "levitating"})
    before = world.redis.hgetall(f"{JOBS}:record:new")
    for _ in range(20):
        world.run(*JobStep)
        world.clock.now += 130
    assert [one["id"] for one in envelopes(world.redis)] == ["old"]
    assert world.redis.hgetall(f"{JOBS}:record:new") == before
    assert world.store.quarantine.count() == 0
    with pytest.raises(CorruptRecord, match=NEWER):
        world.store.get("new")


def test_a_pushed_result_of_a_newer_job_is_to_come_again(world) -> None:
    world.send("new")
    world.redis.hset(f"{JOBS}:record:new", FIELD, 2)
    assert world.pushes.take("new", result("remote-1", "https://example.com/new")) is PushOutcome.LATER
    assert envelopes(world.redis) == []


def test_a_result_whose_job_a_newer_worker_has_taken_over_keeps_none_of_the_others_back(world) -> None:
    world.scraper.polls = 0
    world.send("new", "old")

    def take_over(_: Ask) -> None:
        world.redis.hset(f"{JOBS}:record:new", mapping={FIELD: 2, "fence": 99})

    world.scraper.before = take_over
    report = world.runner.run(JobStep.POLL, "default")
    assert (report.counts, report.late) == ({"finish": 1}, 1)
    assert [one["id"] for one in envelopes(world.redis)] == ["old"]


def test_an_older_job_is_migrated_at_its_next_step(world, monkeypatch: pytest.MonkeyPatch) -> None:
    def first(row: Row) -> Row:
        """Made up: version 0 called the queue a drain, and wrote the target's address as plain text."""
        fields = {name: text for name, text in row.fields.items() if name != "drain"}
        return replace(
            row,
            fields={**fields, "queue": row.fields["drain"]},
            blobs={**row.blobs, "target": json.dumps({"url": row.blobs["target"]})},
        )

    monkeypatch.setitem(job_record.VERSIONS.migrations, 0, first)
    world.submit("a")
    world.redis.hset(f"{JOBS}:record:a", mapping={FIELD: 0, "drain": "results"})
    world.redis.hdel(f"{JOBS}:record:a", "queue")
    world.redis.set(f"{JOBS}:target:a", "https://example.com/a")
    job = world.store.get("a")
    assert job is not None
    assert (job.queue, job.request.url) == ("results", "https://example.com/a")
    assert world.redis.hget(f"{JOBS}:record:a", FIELD) == "0"  # looking changes nothing
    world.run(JobStep.SEND)
    fields = world.redis.hgetall(f"{JOBS}:record:a")
    assert (fields[FIELD], fields["queue"], "drain" in fields) == ("1", "results", False)
    assert json.loads(world.redis.get(f"{JOBS}:target:a")) == {"url": "https://example.com/a"}
    world.clock.now += 10
    world.bring_home()
    assert world.results()["a"]["url"] == "https://example.com/a"


def test_a_newer_crawl_is_left_to_newer_workers_and_the_others_go_on(crawls: CrawlWorld) -> None:
    crawls.create("new", "old")
    crawls.redis.hset(f"{CRAWLS}:record:new", FIELD, 2)
    before = crawls.redis.hgetall(f"{CRAWLS}:record:new")
    for _ in range(20):
        crawls.run(*CrawlStep)
        for remote_id, event in crawls.crawler.undelivered():
            if remote_id == "remote-2":
                crawls.push("old", event)
                crawls.crawler.delivered(remote_id, event)
        crawls.clock.now += 130
    assert len(crawls.ends("old")) == 1
    assert crawls.ends("new") == []
    assert crawls.redis.hgetall(f"{CRAWLS}:record:new") == before
    with pytest.raises(CorruptRecord, match=NEWER):
        crawls.store.get("new")


def test_an_older_crawl_is_migrated_at_its_next_step(crawls: CrawlWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def first(row: Row) -> Row:
        """Made up: version 0 knew nothing but where to start."""
        return replace(row, fields={**row.fields, "request": json.dumps({"start_url": row.fields["start"]})})

    monkeypatch.setitem(crawl_record.VERSIONS.migrations, 0, first)
    crawls.order("c")
    crawls.redis.hset(f"{CRAWLS}:record:c", mapping={FIELD: 0, "start": "https://example.com/c/"})
    crawls.redis.hdel(f"{CRAWLS}:record:c", "request")
    crawls.run(CrawlStep.CREATE)
    fields = crawls.redis.hgetall(f"{CRAWLS}:record:c")
    assert (fields[FIELD], fields["state"], json.loads(fields["request"])) == (
        "1",
        "running",
        {"start_url": "https://example.com/c/"},
    )
