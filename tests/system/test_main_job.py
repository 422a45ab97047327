"""The whole system as a black box: messages in, envelopes out, each part a real process."""

from __future__ import annotations

import base64
import subprocess
import sys
from hashlib import sha256

import pytest
import requests

from service.faults.words import binary_for, body_for, object_for
from tests.builders import envelopes
from tests.installation import QUEUE, ROOT, Installation, clean_environ, until


def url_of(words: str, name: str) -> str:
    return f"http://{words}.fault.invalid/{name}"


def test_the_two_examples_of_the_readme_enqueue_and_read(longhaul: Installation) -> None:
    urls = [url_of("ok", f"readme-{n}") for n in range(5)]
    enqueued = example("enqueue.py", given="\n".join(urls), BROKER_URL=longhaul.local.redis_url)
    ids = enqueued.split()
    # The default queue may also have envelopes of other tests.
    until(lambda: set(ids) <= {envelope["id"] for envelope in envelopes(longhaul.redis)}, "five envelopes in the queue")
    read = example("read_results.py", REDIS_URL=longhaul.local.redis_url)
    lengths = {line.split()[0]: line.split()[1:] for line in read.splitlines()}
    assert {job_id: lengths[job_id] for job_id in ids} == {
        job_id: ["finished", str(len(body_for(url)))] for job_id, url in zip(ids, urls, strict=True)
    }
    assert longhaul.redis.xlen("longhaul:results:results") == 0


def example(name: str, given: str = "", **env: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-I", ROOT / "examples" / name],
        input=given,
        env={**clean_environ(), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ended.stdout


TRANSIENT = [
    "ok",
    "slow-1",
    "notfound-2",
    "get500-2",
    "get503-2",
    "get502-1.plain",
    "post503-1",
    "cut-1",
    "badjson-1",
    "unknownstatus-2",
    "duplicate",
    "late-1",
    "nowebhook",
    "flaky-1",
    "get429-1-1",
]
PERMANENT = {
    "fail": ("failed", "failed_due_to_timeout"),
    "post400": ("failed", "the remote rejected the request"),
    "expire.nowebhook": ("expired", "the remote lost the result"),
    "gone.nowebhook": ("expired", "the remote lost the result"),
    "huge-8.nowebhook": ("failed", "the result is over 4194304 bytes"),
}
CALLBACKS = pytest.mark.parametrize("callback", [False, None], ids=["polled", "pushed"])


@pytest.fixture(scope="module")
def faulted(longhaul: Installation) -> dict[tuple[str, bool | None], str]:
    """A job for each kind of fault, all submitted at once so that they run side by side."""
    jobs = {
        (words, callback): longhaul.submit(url_of(words, f"{callback}"), callback=callback, meta={"case": words})
        for words in TRANSIENT
        for callback in (False, None)
    }
    jobs |= {(words, False): longhaul.submit(url_of(words, "stays"), callback=False, resubmit=0) for words in PERMANENT}
    return jobs


@CALLBACKS
@pytest.mark.parametrize("words", TRANSIENT)
def test_a_transient_fault_ends_in_the_targets_own_body(
    longhaul: Installation, faulted: dict[tuple[str, bool | None], str], words: str, callback: bool | None
) -> None:
    envelope = longhaul.envelope(faulted[words, callback], seconds=90)
    assert envelope["status"] == "finished"
    assert (
        sha256(envelope["body"].encode()).hexdigest()
        == sha256(body_for(url_of(words, f"{callback}")).encode()).hexdigest()
    )
    assert envelope["meta"] == {"case": words}
    assert envelope["statusCode"] == 200
    assert envelope["submissions"] == 1


@pytest.mark.parametrize("words", PERMANENT)
def test_a_permanent_fault_ends_in_one_envelope_with_the_reason(
    longhaul: Installation, faulted: dict[tuple[str, bool | None], str], words: str
) -> None:
    envelope = longhaul.envelope(faulted[words, False], seconds=90)
    status, reason = PERMANENT[words]
    assert envelope["status"] == status
    assert envelope["failReason"].startswith(reason)
    assert "body" not in envelope


def test_every_kind_of_body_arrives_unchanged(longhaul: Installation) -> None:
    binary, thing, missing = (longhaul.submit(url_of(words, "kinds")) for words in ("binary", "object", "status-404"))
    assert base64.b64decode(longhaul.envelope(binary)["base64EncodedBody"]) == binary_for(url_of("binary", "kinds"))
    assert longhaul.envelope(thing)["body"] == object_for(url_of("object", "kinds"))
    assert (longhaul.envelope(missing)["status"], longhaul.envelope(missing)["statusCode"]) == ("finished", 404)


def test_a_job_that_the_remote_lost_is_submitted_again_and_counted(longhaul: Installation) -> None:
    envelope = longhaul.envelope(longhaul.submit(url_of("gone.nowebhook", "lost-twice"), callback=False, resubmit=1))
    assert (envelope["status"], envelope["submissions"]) == ("expired", 2)
    assert envelope["failReason"] == "the remote lost the result 2 times; resubmit=1"


def test_a_batch_answers_with_ids_and_each_of_them_has_an_envelope(longhaul: Installation) -> None:
    urls = [url_of("ok", f"batch-{n}") for n in range(250)]
    result = longhaul.client.send_task(
        "jobs.submit_batch", kwargs={"requests": [*urls[:200], *({"url": url} for url in urls[200:])], "queue": "batch"}
    )
    ids = result.get(timeout=30)
    assert ids == [f"{result.id}.{n}" for n in range(250)]
    for job_id, url in zip(ids, urls, strict=True):
        assert longhaul.envelope(job_id, queue="batch")["url"] == url


def test_wrong_entries_of_a_batch_are_named_and_the_good_ones_taken_on_demand(longhaul: Installation) -> None:
    wanted = ["http://ok.fault.invalid/good", "ftp://bad", {"url": "http://x/", "nonsense": 1}]
    before = longhaul.books().submitted
    with pytest.raises(Exception, match=r"requests\[1\]: url: 'ftp://bad'.*requests\[2\]: nonsense: ") as refused:
        longhaul.client.send_task("jobs.submit_batch", kwargs={"requests": wanted}).get(timeout=30)
    assert type(refused.value).__name__ == "InvalidArgument"
    assert longhaul.books().submitted == before
    answer = longhaul.client.send_task(
        "jobs.submit_batch", kwargs={"requests": wanted, "partial": True, "queue": QUEUE}
    ).get(timeout=30)
    assert [entry["index"] for entry in answer["rejected"]] == [1, 2]
    assert longhaul.envelope(answer["ids"][0])["status"] == "finished"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "url: is missing"),
        ({"url": "ftp://x/"}, "url: 'ftp://x/': must be an http"),
        ({"url": "http://x/", "headers": {"A": "b\r\nc"}}, "headers.A.: .*line break"),
        ({"url": "http://x/", "body": {"a": 1}}, "body: .*must be a string"),
        ({"url": "http://x/", "queue": "a:b"}, "queue: 'a:b': must be"),
        ({"url": "http://x/", "meta": {"m": "x" * 17_000}}, "meta: .*at most 16384 bytes"),
        ({"url": "http://x/", "colour": "red"}, "colour: .*is not an argument"),
        ({"url": "http://x/", "account": "nobody"}, "account: 'nobody': is not an account"),
    ],
)
def test_a_wrong_argument_fails_the_task_at_once_and_records_nothing(
    longhaul: Installation, arguments: dict[str, object], message: str
) -> None:
    before = longhaul.books().submitted
    with pytest.raises(Exception, match=message):
        longhaul.client.send_task("jobs.submit", kwargs=arguments).get(timeout=30)
    assert longhaul.books().submitted == before


def test_a_job_is_a_task_to_its_client(longhaul: Installation) -> None:
    result = longhaul.client.send_task("jobs.submit", kwargs={"url": url_of("slow-1", "as-a-task"), "queue": QUEUE})
    outcome = result.get(timeout=40)
    assert outcome["id"] == result.id
    assert outcome["status"] == "finished"
    assert "body" not in outcome
    assert longhaul.client.AsyncResult(result.id).state == "SUCCESS"
    failed = longhaul.client.send_task("jobs.submit", kwargs={"url": url_of("fail", "as-a-task"), "queue": QUEUE}).get(
        timeout=40
    )
    assert (failed["status"], failed["failReason"]) == ("failed", "failed_due_to_timeout")


def test_a_message_delivered_twice_is_one_job(longhaul: Installation) -> None:
    job_id = longhaul.submit(url_of("ok", "twice"))
    first = longhaul.envelope(job_id)
    before = longhaul.books().submitted
    again = longhaul.client.send_task("jobs.submit", kwargs={"url": url_of("ok", "twice")}, task_id=job_id)
    marker = longhaul.submit(url_of("ok", "after-twice"))
    longhaul.envelope(marker)
    assert again.id == job_id
    assert longhaul.books().submitted == before + 1
    assert longhaul.envelope(job_id) == first


def test_a_cancelled_job_ends_once_and_the_remote_knows(longhaul: Installation) -> None:
    job_id = longhaul.submit(url_of("never", "cancel"))
    remote_id = until(lambda: longhaul.redis.hget(f"longhaul:{{jobs}}:record:{job_id}", "remote"), "the remote's id")
    answer = longhaul.client.send_task("jobs.cancel", kwargs={"job_id": job_id}).get(timeout=30)
    assert answer["id"] == job_id
    assert longhaul.envelope(job_id)["status"] == "cancelled"
    assert requests.get(f"{longhaul.local.service_url}/jobs/{remote_id}", timeout=10).json()["status"] == "cancelled"
    assert longhaul.client.send_task("jobs.cancel", kwargs={"job_id": job_id}).get(timeout=30)["status"] == "cancelled"
    with pytest.raises(Exception, match="job_id: 'nobody': is not a job"):
        longhaul.client.send_task("jobs.cancel", kwargs={"job_id": "nobody"}).get(timeout=30)


def test_no_secret_reaches_a_log(longhaul: Installation) -> None:
    secret = "Bearer-S3CRET-of-the-client"
    longhaul.envelope(longhaul.submit(url_of("ok", "secret"), headers={"Authorization": secret}, body="S3CRET-body"))
    key = longhaul.local.env["LONGHAUL_WEBHOOK_SECRET"]
    for name, line in longhaul.lines:
        assert secret not in line, name
        assert "S3CRET-body" not in line, name
        assert key not in line, name


def test_each_batch_is_one_line_and_each_job_has_its_id_in_its_lines(longhaul: Installation) -> None:
    job_id = longhaul.submit(url_of("ok", "log"), callback=False)
    longhaul.envelope(job_id)
    until(
        lambda: [line for _, line in longhaul.lines if f"job={job_id}" in line and "decision=finish" in line],
        "the job's line",
    )
    assert [
        line
        for name, line in longhaul.lines
        if name.startswith("worker") and "event=batch" in line and "step=poll" in line
    ]
