"""The chaos suite in short, with a seed of its own, and its judges: `make chaos` is the long form."""

from __future__ import annotations

import json
import random
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.chaos.checker import judge
from tests.chaos.ends import strange_ends
from tests.chaos.harms import Harm
from tests.chaos.leftovers import leftovers
from tests.chaos.logbook import read_logs
from tests.chaos.notebooks import Notes, read
from tests.chaos.run import blows_of, go, long, short
from tests.chaos.table import table
from tests.chaos.workload import Cargo, Crawl, Job, digest, load

SEED = 151


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_doubled_whatever_fails(tmp_path: Path) -> None:
    outcome = go(SEED, short(), tmp_path / "run")
    sys.stderr.write(table(outcome))
    assert outcome.faults == []
    # Not every aim is met, and a server that is away gets no other harm.
    assert outcome.kills >= 10
    assert len(+outcome.done) >= len(Harm) - 3


def test_the_short_form_means_every_sort_of_harm() -> None:
    assert {blow.harm for blow in blows_of(SEED, short())} == set(Harm)


@pytest.fixture
def cargo() -> Cargo:
    # Without the twelfth crawl, which is for cancelling.
    return load(random.Random(1), 200, 11, lasting=True)  # noqa: S311  (repeatable)


def perfect(cargo: Cargo) -> Notes:
    """What the consumers of a system without a fault would have written."""
    notes = Notes()
    for job in cargo.jobs:
        notes.jobs[job.id] = [job_note(job)]
    for crawl in cargo.crawls:
        pages = list(crawl.digests.items())[crawl.untold :]
        missing = len(crawl.digests) - len(pages)
        notes.pages[crawl.id] = [{"kind": "page", "url": url, "digest": body} for url, body in pages]
        notes.crawls[crawl.id] = [ended({"id": crawl.id, "kind": "crawl", "status": "finished", "missing": missing})]
    return notes


def job_note(job: Job) -> dict[str, Any]:
    note = ended(
        {
            "id": job.id,
            "status": job.kind.statuses[0],
            "url": job.url,
            "meta": job.arguments["meta"],
            "submissions": 1,
            "in": job.arguments["queue"],
        }
    )
    if note["status"] == "finished":
        return note | {"digest": job.digest, "statusCode": job.kind.code}
    return note | {"failReason": f"{job.kind.reason}: and more"}


def ended(note: dict[str, Any]) -> dict[str, Any]:
    return {"submittedAt": "2026-01-01T00:00:00.000Z", "finishedAt": "2026-01-01T00:00:07.500Z"} | note


def a_finished(cargo: Cargo) -> Job:
    return next(job for job in cargo.jobs if job.kind.statuses == ("finished",))


def a_crawl(cargo: Cargo) -> Crawl:
    return next(crawl for crawl in cargo.crawls if not crawl.site.lost and not crawl.site.cancel)


def test_a_perfect_run_has_no_fault(cargo: Cargo) -> None:
    judgement = judge(cargo, perfect(cargo), {}, {})
    assert (judgement.faults, judgement.lost, judgement.doubled, judgement.longest) == ([], 0, 0, 7.5)


def test_what_is_lost_doubled_wrong_or_strange_is_found(cargo: Cargo) -> None:
    job, crawl = a_finished(cargo), a_crawl(cargo)
    faulty = [
        (lambda notes: notes.jobs.pop(job.id), "no envelope"),
        (lambda notes: notes.jobs[job.id].append(job_note(job)), "2 envelopes"),
        (lambda notes: notes.jobs[job.id][0].update(digest=digest("another")), "has another body"),
        (lambda notes: notes.jobs[job.id][0].update(status="expired"), "is expired in"),
        (
            lambda notes: notes.jobs[job.id][0].update({"in": "elsewhere"}),
            "is finished in elsewhere, not finished in chaos-",
        ),
        (lambda notes: notes.jobs[job.id][0].update(meta={"n": -1}), "has another job's"),
        (lambda notes: notes.jobs["stranger"].append(job_note(job)), "nobody has sent"),
        (lambda notes: notes.crawls.pop(crawl.id), "0 summaries"),
        (lambda notes: notes.crawls[crawl.id].append(notes.crawls[crawl.id][0]), "2 summaries"),
        (lambda notes: notes.pages[crawl.id].pop(), "1 pages are not there"),
        (lambda notes: notes.pages[crawl.id].append(notes.pages[crawl.id][0]), "more than once"),
        (lambda notes: notes.pages[crawl.id][0].update(digest=digest("another")), "not what was served"),
    ]
    for harm, words in faulty:
        notes = perfect(cargo)
        harm(notes)
        (fault,) = judge(cargo, notes, {}, {}).faults
        assert words in fault


def test_a_job_whose_result_was_lost_at_the_remote_must_say_that_it_was_submitted_again(cargo: Cargo) -> None:
    job, notes = (
        next(job for job in cargo.jobs if job.kind.statuses == ("finished",) and not job.pushed),
        perfect(cargo),
    )
    (fault,) = judge(cargo, notes, {}, {job.id: 1}).faults
    assert "was lost 1 times" in fault
    # A push may bring it before it is submitted again.
    pushed = next(job for job in cargo.jobs if job.kind.statuses == ("finished",) and job.pushed)
    assert judge(cargo, notes, {}, {pushed.id: 1}).faults == []
    assert len(judge(cargo, notes, {}, {pushed.id: 2}).faults) == 1
    notes.jobs[job.id][0]["submissions"] = 2
    judgement = judge(cargo, notes, {}, {job.id: 1})
    assert (judgement.faults, judgement.losses) == ([], not job.kind.asked_again)


def test_a_process_that_ends_or_hangs_though_nobody_asked_it_to_is_found() -> None:
    assert strange_ends({"beat (exit 1)": 3, "worker2 (exit 69)": 1}) == []
    assert strange_ends({"worker1 did not stop": 1, "webhook (exit 1)": 2}) == [
        "2 times: webhook (exit 1)",
        "1 times: worker1 did not stop",
    ]


def test_a_page_may_be_missing_only_where_the_remote_has_given_it_up_and_the_crawl_says_so(cargo: Cargo) -> None:
    crawl, notes = a_crawl(cargo), perfect(cargo)
    notes.pages[crawl.id].pop()
    notes.crawls[crawl.id][0]["missing"] = 1
    assert len(judge(cargo, notes, {}, {}).faults) == 1
    judgement = judge(cargo, notes, {"remote": 1}, {})
    assert (judgement.faults, judgement.untold) == ([], 1)


def test_what_was_read_twice_is_no_duplicate_and_half_a_line_is_nothing(tmp_path: Path) -> None:
    line = json.dumps({"entry": "1-0", "id": "a", "kind": "job"})
    (tmp_path / "q.1").write_text(f"{line}\n{json.dumps({'entry': '2-0', 'id': 'a', 'kind': 'job'})}\n{line[:10]}")
    (tmp_path / "q.2").write_text(f"{line}\n")
    notes = read(tmp_path)
    assert ([note["entry"] for note in notes.jobs["a"]], notes.read_again) == (["1-0", "2-0"], 1)


def test_what_is_left_in_the_server_is_found(redis: Redis) -> None:
    redis.hset("longhaul:{jobs}:books", "submitted", 1)
    assert leftovers(redis) == []
    redis.zadd("longhaul:{jobs}:due:poll:default", {"a": 1})
    redis.set("longhaul:{jobs}:target:a", "{}")
    redis.hset("longhaul:{jobs}:record:a", "lease", "1")
    redis.xadd("longhaul:results:q", {"envelope": "{}"})
    redis.zadd("longhaul:{jobs}:working:poll", {"poll:default#1": 1})
    redis.hset("unacked", "tag", "[]")
    redis.set("longhaul:redbeat::lock", "held")
    found = " ".join(leftovers(redis))
    for words in (
        "due:poll:default",
        "target:a",
        "would stay for ever",
        "1 envelopes",
        "working:poll",
        "keys unacked",
        "redbeat::lock",
    ):
        assert words in found


def test_an_error_that_is_not_the_harm_is_found(tmp_path: Path) -> None:
    harm = {
        "level": "error",
        "event": "Task jobs.poll[1] raised unexpected: ConnectionError",
        "exception": "redis.exceptions.ConnectionError: x",
        "timestamp": "2026-01-01T00:00:00.000000Z",
    }
    over = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    (tmp_path / "worker1.log").write_text(json.dumps(harm) + "\n")
    assert not read_logs(tmp_path, over - 60).faults
    # Long after the harm there is nothing that excuses it.
    assert read_logs(tmp_path, over - 600).faults == read_logs(tmp_path).faults != {}
    (tmp_path / "worker2.log").write_text(json.dumps({"level": "error", "event": "the books do not balance"}) + "\n")
    (tmp_path / "worker3.log").write_text(json.dumps({"level": "error", "event": "LockError"}) + "\n")
    (tmp_path / "beat.log").write_text("Traceback (most recent call last):\nKeyError: 1\n")
    (tmp_path / "beat2.log").write_text("Traceback (most recent call last):\nLockError: 1\n")
    assert len(read_logs(tmp_path, over).faults) == 3


def test_a_seed_is_a_plan() -> None:
    assert blows_of(SEED, short()) == blows_of(SEED, short()) != blows_of(SEED + 1, short())
    plan = blows_of(SEED, long(20_000, 20, 560))
    assert len(plan) > 600
    assert {blow.harm for blow in plan} == set(Harm)
