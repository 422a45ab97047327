"""The `longhaul` command as a person and as a pipe use it."""

from __future__ import annotations

import json
import re

from longhaul.jobs.store import JobStore
from service.faults.words import body_for
from tests.builders import job_limits
from tests.installation import Installation, until


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_submit_prints_ids_and_results_prints_whole_envelopes(longhaul: Installation) -> None:
    urls = [f"http://ok.fault.invalid/command-{n}" for n in range(3)]
    submitted = longhaul.command(
        "submit", urls[0], "-", "--queue", "command", given=f"# a comment\n{urls[1]}\n\n{urls[2]}\n"
    )
    assert submitted.returncode == 0, submitted.stderr
    ids = {str(row["id"]): str(row["url"]) for row in lines(submitted.stdout)}
    assert sorted(ids.values()) == urls
    until(lambda: longhaul.redis.xlen("longhaul:results:command") == 3, "three envelopes")
    read = longhaul.command("results", "--queue", "command")
    assert read.returncode == 0
    assert {str(row["id"]): row["body"] for row in lines(read.stdout)} == {
        job_id: body_for(url) for job_id, url in ids.items()
    }
    assert longhaul.command("results", "--queue", "command").stdout == ""


def test_a_refused_submission_is_said_on_stderr_and_exits_with_1(longhaul: Installation) -> None:
    refused = longhaul.command("submit", "ftp://x/")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "url: 'ftp://x/': must be an http:// or https:// address" in refused.stderr


def test_no_url_at_all_is_wrong_usage(longhaul: Installation) -> None:
    assert longhaul.command("submit").returncode == 2


def test_status_counts_and_balances(longhaul: Installation) -> None:
    longhaul.envelope(longhaul.submit("http://ok.fault.invalid/status"))
    status = longhaul.command("status")
    assert status.returncode == 0, status.stderr
    counts = {str(row["what"]): row["count"] for row in lines(status.stdout)}
    page = longhaul.books()
    assert counts["submitted"] == page.submitted > 0
    assert counts["jobs finished"] == page.states["finished"]


def test_status_names_a_paused_account_with_its_reason(longhaul: Installation) -> None:
    # A lane of this test's own, without a job: nothing else here waits for it.
    due, lane = JobStore(longhaul.redis, job_limits())._due, "poll:paused-by-the-test"
    longhaul.redis.sadd(f"{due.space}:lanes", lane)
    try:
        due.pause(lane, due.now() + 600, "the account has no credits left", 0)
        status = longhaul.command("status")
    finally:
        due.resume(lane)
        longhaul.redis.srem(f"{due.space}:lanes", lane)
    assert status.returncode == 0, status.stderr
    notes = {str(row["what"]): str(row.get("note", "")) for row in lines(status.stdout)}
    assert re.fullmatch(r"paused until .* UTC: the account has no credits left", notes[f"due {lane}"])
    assert f"due {lane}" not in longhaul.command("status").stdout


def test_a_queue_of_a_name_that_none_can_have_is_wrong_usage(longhaul: Installation) -> None:
    said = longhaul.command("results", "--queue", "a:b")
    assert (said.returncode, said.stdout) == (2, "")
    assert "queue: 'a:b': must be 1 to 64 letters, digits" in said.stderr


def test_cancel_prints_the_state_afterwards(longhaul: Installation) -> None:
    job_id = longhaul.submit("http://never.fault.invalid/command-cancel")
    until(lambda: longhaul.redis.hget(f"longhaul:{{jobs}}:record:{job_id}", "remote"), "the remote's id")
    cancelled = longhaul.command("cancel", job_id)
    assert cancelled.returncode == 0, cancelled.stderr
    assert lines(cancelled.stdout)[0]["id"] == job_id
    assert longhaul.envelope(job_id)["status"] == "cancelled"
    unknown = longhaul.command("cancel", "nobody")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "'nobody' is neither a job nor a crawl that this ledger knows" in unknown.stderr


def test_doctor_finds_nothing_wrong_here(longhaul: Installation) -> None:
    found = longhaul.command("doctor")
    assert found.returncode == 0, found.stdout
    checks = {str(row["check"]): row["ok"] for row in lines(found.stdout)}
    assert set(checks) == {
        "ledger",
        "broker",
        "account default",
        "crawler",
        "beat",
        "workers",
        "books",
        "receiver",
        "quarantine",
    }


def test_a_ledger_that_is_away_is_named(longhaul: Installation) -> None:
    away = {"LONGHAUL_REDIS_URL": "redis://:pass-word@127.0.0.1:1/0"}
    for arguments in (("status",), ("submit", "http://x/"), ("cancel", "x"), ("results",)):
        said = longhaul.command(*arguments, env=away)
        assert said.returncode == 69, arguments
        assert "The ledger at redis://:**@127.0.0.1:1/0 does not answer" in said.stderr
        assert "pass-word" not in said.stderr
    assert longhaul.command("doctor", env=away).returncode == 1


def test_a_wrong_setting_is_named(longhaul: Installation) -> None:
    said = longhaul.command(
        "status", env={"LONGHAUL_LEASE": "1", "LONGHAUL_BATCH_TIMEOUT": "5", "LONGHAUL_HTTP_TIMEOUT": "4"}
    )
    assert said.returncode == 78
    assert "LONGHAUL_BATCH_TIMEOUT (5) must be below LONGHAUL_LEASE (1)" in said.stderr
