"""`longhaul books` and `longhaul retry`, and what `status` and `doctor` say about what waits for a person: real
commands on a real ledger.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from longhaul.crawls.arguments import NewCrawl
from longhaul.crawls.crawl import CrawlStep
from longhaul.crawls.store import CrawlStore
from longhaul.jobs.job import JobStep
from longhaul.jobs.store import JobStore
from longhaul.ledger.dead_letters import DROPPED, MOST, STREAM, DeadLetter, DeadLetters
from longhaul.ledger.quarantine import Crash
from longhaul.scraperapi.crawl_models import CrawlRequest
from longhaul.work.decisions import Fail, Sent
from tests.builders import crawl_limits, job_limits, submit
from tests.installation import ROOT, clean_environ

SECRET = "hunter2-in-the-body"
Answer = tuple[int, list[dict[str, Any]], str]


@pytest.fixture
def command(redis_url: str) -> Callable[..., Answer]:
    """Runs `longhaul` against the ledger; (exit code, rows, stderr)."""

    def run(*arguments: str) -> Answer:
        line = [sys.executable, "-m", "cli.main", *arguments]
        env = {**clean_environ(), "LONGHAUL_REDIS_URL": redis_url}
        done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
        return done.returncode, [json.loads(row) for row in done.stdout.splitlines()], done.stderr

    return run


@pytest.fixture
def store(redis: Redis) -> JobStore:
    """A queued, a running and an ended job, and two in quarantine."""
    store = JobStore(redis, job_limits())
    submit(store, "bad-1", "bad-2")
    for _ in range(3):
        redis.zadd("longhaul:{jobs}:due:send:default", {"bad-1": 1, "bad-2": 2})
        jobs = store.claim(JobStep.SEND, "default").items
        store.count_crashes(
            JobStep.SEND, "default", [Crash(job.id, job.fence, "cannot be read: target") for job in jobs]
        )
    submit(store, "running", "ended")
    for job in store.claim(JobStep.SEND, "default").items:
        store.apply(
            JobStep.SEND, [(job, Fail("x") if job.id == "ended" else Sent("r", store.now() + 1000))], store.now()
        )
    submit(store, "queued")
    return store


@pytest.fixture
def crawls(redis: Redis) -> CrawlStore:
    crawls = CrawlStore(redis, crawl_limits())
    crawls.order("bad-crawl", NewCrawl(CrawlRequest("http://x/", max_depth=1), "http://receiver.test"))
    for _ in range(3):
        redis.zadd("longhaul:{crawls}:due:create:default", {"bad-crawl": 1})
        (crawl,) = crawls.claim(CrawlStep.CREATE, "default").items
        assert crawl is not None
        crawls.count_crashes(CrawlStep.CREATE, "default", [Crash(crawl.id, crawl.fence, "working on it: KeyError")])
    return crawls


class TestBooks:
    def test_of_an_empty_ledger_balance(self, command: Callable[..., Answer]) -> None:
        code, pages, _ = command("books")
        assert (code, [page["what"] for page in pages], {page["submitted"] for page in pages}) == (
            0,
            ["jobs", "crawls"],
            {0},
        )

    @pytest.mark.usefixtures("crawls", "store")
    def test_balance_with_records_in_quarantine(self, command: Callable[..., Answer]) -> None:
        code, (jobs, crawls), _ = command("books")
        assert code == 0
        assert jobs == {
            "what": "jobs",
            "submitted": 5,
            "queued": 3,
            "running": 1,
            "finished": 0,
            "failed": 1,
            "expired": 0,
            "cancelled": 0,
            "envelopes": 1,
            "open": 4,
            "indexed": 4,
            "records": 5,
            "balanced": True,
        }
        assert (crawls["submitted"], crawls["open"], crawls["indexed"], crawls["balanced"]) == (1, 1, 1, True)

    @pytest.mark.usefixtures("crawls", "store")
    def test_that_are_off_exit_with_1_and_name_the_ids(self, command: Callable[..., Answer], redis: Redis) -> None:
        redis.zrem("longhaul:{jobs}:due:poll:default", "running")
        redis.zadd("longhaul:{crawls}:due:poll:default", {"ghost": 1})
        redis.sadd("longhaul:{crawls}:lanes", "poll:default")
        code, (jobs, crawls, *faults), _ = command("books")
        assert (code, jobs["balanced"], crawls["balanced"]) == (1, False, False)
        assert {"what": "jobs", "id": "running", "fault": "open, and in no lane"} in faults
        assert {"what": "crawls", "id": "ghost", "fault": "in poll:default, without a record"} in faults
        assert {"what": "jobs", "fault": "4 open, but 3 in the due index"} in faults

    def test_whose_envelopes_do_not_fit_are_off(
        self, command: Callable[..., Answer], store: JobStore, redis: Redis
    ) -> None:
        assert store.state("ended") == "failed"
        redis.hincrby("longhaul:{jobs}:books", "envelopes", 1)
        code, (*_, fault), _ = command("books")
        assert (code, fault) == (1, {"what": "jobs", "fault": "1 ended, but 2 envelopes"})

    def test_name_a_thousand_ids_and_count_the_rest(self, command: Callable[..., Answer], redis: Redis) -> None:
        redis.sadd("longhaul:{jobs}:lanes", "send:default")
        redis.zadd("longhaul:{jobs}:due:send:default", {f"ghost-{n}": n for n in range(1200)})
        code, lines, said = command("books")
        assert (code, sum("id" in line for line in lines)) == (1, 999)
        assert "... and 201 more" in said


class TestRetry:
    def test_named_ones_are_released_and_printed(
        self, command: Callable[..., Answer], store: JobStore, crawls: CrawlStore
    ) -> None:
        code, lines, _ = command("retry", "bad-2", "bad-crawl")
        assert (code, lines) == (
            0,
            [{"id": "bad-2", "due in": "send:default"}, {"id": "bad-crawl", "due in": "create:default"}],
        )
        assert (store.quarantine.ids(), crawls.quarantine.ids()) == (["bad-1"], [])
        assert {job.id for job in store.claim(JobStep.SEND, "default").items} == {"queued", "bad-2"}

    @pytest.mark.usefixtures("crawls")
    def test_one_that_is_not_there_is_said_and_exits_with_1(
        self, command: Callable[..., Answer], store: JobStore
    ) -> None:
        code, lines, said = command("retry", "bad-1", "nobody", "queued", "ended")
        assert (code, [line["id"] for line in lines]) == (1, ["bad-1"])
        assert said.splitlines() == [
            "'nobody' is neither a job nor a crawl that this ledger knows",
            "'queued' is not in quarantine: it goes on by itself",
            "'ended' is not in quarantine: it goes on by itself",
        ]
        assert store.quarantine.ids() == ["bad-2"]

    def test_all_of_them(self, command: Callable[..., Answer], store: JobStore, crawls: CrawlStore) -> None:
        code, lines, _ = command("retry", "--all")
        assert (code, [line["id"] for line in lines]) == (0, ["bad-1", "bad-2", "bad-crawl"])
        assert (store.quarantine.count(), crawls.quarantine.count()) == (0, 0)
        assert command("retry", "--all") == (0, [], "Nothing is in quarantine.\n")

    @pytest.mark.parametrize("arguments", [(), ("--all", "--dead-letters"), ("a", "--all"), ("a", "--dead-letters")])
    def test_one_kind_at_a_time(self, command: Callable[..., Answer], arguments: tuple[str, ...]) -> None:
        code, _, said = command("retry", *arguments)
        assert (code, "one of these" in said) == (2, True)

    def test_dead_letters_go_back_into_their_queues_as_they_were(
        self, command: Callable[..., Answer], redis: Redis
    ) -> None:
        letters = DeadLetters(redis)
        for n, queue in enumerate(["celery", "longhaul.batches"]):
            headers = {"task": f"t{n}", "id": f"i{n}", "kwargsrepr": SECRET}
            body, ids = b'[[], {"n": %d}, {}]' % n, {"correlation_id": f"i{n}"}
            letters.keep(DeadLetter(queue, "why", body, "application/json", "utf-8", headers, ids))
        code, lines, _ = command("retry", "--dead-letters")
        assert (code, lines) == (
            0,
            [{"task": "t0", "queue": "celery", "size": 18}, {"task": "t1", "queue": "longhaul.batches", "size": 18}],
        )
        assert letters.count() == 0
        message = json.loads(redis.lindex("longhaul.batches", 0) or "")
        assert message["headers"] == {"task": "t1", "id": "i1"}
        assert (message["content-type"], message["content-encoding"]) == ("application/json", "utf-8")
        assert (base64.b64decode(message["body"]), message["properties"]["correlation_id"]) == (
            b'[[], {"n": 1}, {}]',
            "i1",
        )
        assert command("retry", "--dead-letters") == (0, [], "There are no dead letters.\n")


@pytest.mark.usefixtures("crawls", "store")
def test_status_shows_what_waits_for_a_person_and_no_body(command: Callable[..., Answer], redis: Redis) -> None:
    DeadLetters(redis).keep(
        DeadLetter(
            "celery", "its task is unknown", SECRET.encode(), headers={"task": "jobs.sumbit", "kwargsrepr": SECRET}
        )
    )
    code, lines, _ = command("status")
    counts = {line["what"]: line["count"] for line in lines if "count" in line}
    assert code == 0
    assert (counts["jobs in quarantine"], counts["crawls in quarantine"], counts["dead letters"]) == (2, 1, 1)
    assert not [what for what in counts if "quarantine:" in what]
    noted = [line["note"] for line in lines if line.get("id")]
    assert [note.partition(", since")[0] for note in noted] == [
        "bad-1: cannot be read: target (send:default",
        "bad-2: cannot be read: target (send:default",
        "bad-crawl: working on it: KeyError (create:default",
    ]
    assert "jobs.sumbit, 19 bytes in queue celery: its task is unknown" in [line.get("note") for line in lines]
    assert SECRET not in json.dumps(lines)


@pytest.mark.usefixtures("store")
def test_doctor_finds_the_quarantine_and_does_not_take_it_for_late_work(
    command: Callable[..., Answer], redis: Redis
) -> None:
    redis.zadd("longhaul:{jobs}:due:quarantine:default", {"bad-1": 1.0})
    _, lines, _ = command("doctor")
    findings = {line["check"]: line for line in lines}
    assert (findings["quarantine"]["ok"], findings["quarantine"]["finding"]) == (False, "2 jobs in quarantine")
    assert findings["workers"]["finding"] == "no due work is waiting"


@pytest.mark.usefixtures("store")
def test_without_anything_that_waits_status_says_nothing_of_it(command: Callable[..., Answer]) -> None:
    command("retry", "--all")
    _, lines, _ = command("status")
    assert not [line for line in lines if "quarantine" in line["what"] or "letter" in line["what"]]


def test_beyond_the_most_the_oldest_dead_letter_is_dropped_and_status_counts_it(
    command: Callable[..., Answer], redis: Redis
) -> None:
    letters, more = DeadLetters(redis), DeadLetter("celery", "why", b"5", headers={"task": "newest"})
    pipe = redis.pipeline(transaction=False)
    for n in range(MOST - 1):
        pipe.xadd(STREAM, {"queue": "celery", "reason": "why", "task": f"t{n}", "size": 1, "letter": "{}"})
    pipe.execute()
    assert (letters.keep(more), letters.dropped(), letters.count()) == (0, 0, MOST)
    assert not [line for line in command("status")[1] if "dropped" in line["what"]]
    assert [letters.keep(more) for _ in range(3)] == [1, 1, 1]
    assert (letters.dropped(), letters.count()) == (3, MOST)
    # The oldest went.
    assert [fields["task"] for _, fields in redis.xrange(STREAM, count=1)] == ["t3"]
    assert {line["what"]: line["count"] for line in command("status")[1] if line.get("count")} == {
        "dead letters": MOST,
        "dead letters dropped": 3,
    }
    ids = [entry for entry, _ in redis.xrange(STREAM)]
    letters.forget(ids[1:])
    assert letters.dropped() == 3
    letters.forget(ids[:1])
    assert (letters.dropped(), redis.exists(DROPPED)) == (0, 0)
