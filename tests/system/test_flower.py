"""What a person sees in Flower, and what a service without Celery can do through it."""

from __future__ import annotations

import requests

from tests.installation import QUEUE, Installation, until


def test_a_job_is_one_row_whose_state_goes_on_until_the_job_ends(longhaul: Installation) -> None:
    job_id = longhaul.submit("http://slow-3.fault.invalid/row", callback=False)
    seen: list[str] = []

    def state() -> bool:
        answer = longhaul.flower(f"/api/task/info/{job_id}")
        if answer.ok and (not seen or seen[-1] != answer.json()["state"]):
            seen.append(answer.json()["state"])
        return bool(seen) and seen[-1] == "SUCCESS"

    until(state, "the row at SUCCESS")
    assert seen[-2:] == ["POLLING", "SUCCESS"]
    assert longhaul.flower(f"/api/task/info/{job_id}").json()["name"] == "jobs.submit"


def test_a_job_that_fails_is_a_failed_row_and_a_cancelled_one_a_cancelled(longhaul: Installation) -> None:
    failed = longhaul.submit("http://fail.fault.invalid/row")
    cancelled = longhaul.submit("http://never.fault.invalid/row")
    until(lambda: longhaul.books().states["running"], "a running job")
    longhaul.client.send_task("jobs.cancel", kwargs={"job_id": cancelled}).get(timeout=30)
    longhaul.envelope(cancelled)
    for job_id, state in ((failed, "FAILURE"), (cancelled, "CANCELLED")):
        until(
            lambda j=job_id, s=state: longhaul.flower(f"/api/task/info/{j}").json().get("state") == s,
            f"a row at {state}",
        )


def test_the_jobs_of_a_batch_have_no_row(longhaul: Installation) -> None:
    result = longhaul.client.send_task(
        "jobs.submit_batch", kwargs={"requests": ["http://ok.fault.invalid/no-row"], "queue": QUEUE}
    )
    (job_id,) = result.get(timeout=30)
    longhaul.envelope(job_id)
    until(lambda: longhaul.flower(f"/api/task/info/{result.id}").ok, "the batch's own row")
    assert longhaul.flower(f"/api/task/info/{job_id}").status_code == 404


def test_no_secret_and_no_body_is_anywhere_in_flower(longhaul: Installation) -> None:
    secrets = ("S3CRET-header", "S3CRET-body", "S3CRET-param", longhaul.local.secret)
    job_id = longhaul.submit(
        "http://ok.fault.invalid/secret",
        headers={"Authorization": secrets[0]},
        body=secrets[1],
        meta={"token": secrets[2]},
    )
    wrong = longhaul.submit("http://x/", headers={"Authorization": f"{secrets[0]}\nx"})
    envelope = longhaul.envelope(job_id)
    until(lambda: longhaul.flower(f"/api/task/info/{wrong}").json().get("state") == "FAILURE", "the refused task's row")
    pages = [
        "/api/tasks?limit=10000",
        "/api/workers?refresh=1",
        f"/api/task/info/{job_id}",
        f"/task/{job_id}",
        f"/task/{wrong}",
        "/tasks",
        "/broker",
    ]
    pages += [f"/worker/worker{n}@{longhaul.node()}" for n in (1, 2)]
    for page in pages:
        text = longhaul.flower(page).text
        for secret in (*secrets, envelope["body"][:40]):
            assert secret not in text, page


def test_flower_asks_for_its_password(longhaul: Installation) -> None:
    assert requests.get(f"{longhaul.local.flower_url}/api/tasks", timeout=10).status_code == 401
    assert requests.get(f"{longhaul.local.flower_url}/tasks", timeout=10).status_code == 401


def test_a_service_without_celery_enqueues_through_flower(longhaul: Installation) -> None:
    user, _, password = longhaul.local.env["FLOWER_BASIC_AUTH"].partition(":")
    answer = requests.post(
        f"{longhaul.local.flower_url}/api/task/send-task/jobs.submit",
        json={"kwargs": {"url": "http://ok.fault.invalid/through-flower", "queue": QUEUE}},
        auth=(user, password),
        timeout=10,
    )
    assert longhaul.envelope(answer.json()["task-id"])["status"] == "finished"
