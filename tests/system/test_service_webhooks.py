"""Results that are delivered to a callback: what arrives, how often, and what survives a restart."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from service.faults.words import body_for
from tests.service_process import Service, eventually, service
from tests.service_target import Asked, Target, serve


@pytest.fixture
def receiver() -> Iterator[Target]:
    with serve() as one:
        yield one


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("service"), service_faults="1") as one:
        yield one


def submit(running: Service, receiver: Target, words: str, path: str = "/hook", **more: object) -> dict[str, object]:
    callback = {"type": "webhook", "url": receiver.base + path}
    return running.post(f"http://{words}.fault.invalid{path}", callback=callback, **more)


def arrived(receiver: Target, count: int = 1, path: str = "/hook") -> list[Asked]:
    eventually(lambda: len(receiver.at(path)) >= count)
    return receiver.at(path)


def test_it_is_the_document_of_the_status_url_once(running: Service, receiver: Target) -> None:
    made = submit(running, receiver, "ok", meta={"a": 1})
    document = json.loads(arrived(receiver)[0].body)
    assert document["response"]["body"] == body_for(str(made["url"]))
    assert document == running.ended(str(made["id"]))
    assert arrived(receiver)[0].headers["content-type"] == "application/json"
    other = submit(running, receiver, "ok", "/hook/next")
    arrived(receiver, path="/hook/next")
    assert other["id"] != made["id"]
    assert len(receiver.at("/hook")) == 1


def test_user_and_password_of_the_callback_are_sent(running: Service, receiver: Target) -> None:
    callback = {"type": "webhook", "url": receiver.base.replace("http://", "http://user:pass@") + "/hook"}
    running.post("http://ok.fault.invalid/basic", callback=callback)
    assert arrived(receiver)[0].headers["authorization"] == "Basic dXNlcjpwYXNz"


def test_failures_come_only_where_expected(running: Service, receiver: Target) -> None:
    submit(running, receiver, "fail", "/hook/quiet")
    submit(running, receiver, "fail", "/hook/failed", expectUnsuccessReport=True)
    document = json.loads(arrived(receiver, path="/hook/failed")[0].body)
    assert (document["status"], document["failReason"]) == ("failed", "failed_due_to_timeout")
    assert not receiver.at("/hook/quiet")


def test_the_dial_can_send_it_twice_late_or_never(running: Service, receiver: Target) -> None:
    began = time.monotonic()
    submit(running, receiver, "late-1", "/hook/late")
    submit(running, receiver, "nowebhook", "/hook/never")
    submit(running, receiver, "duplicate", "/hook/twice")
    arrived(receiver, 2, "/hook/twice")
    assert arrived(receiver, 1, "/hook/late")[0].at - began >= 1
    assert not receiver.at("/hook/never")


def test_a_refused_webhook_is_tried_again_even_after_a_restart_and_a_reader(
    tmp_path_factory: pytest.TempPathFactory, receiver: Target
) -> None:
    receiver.refusals = 1
    with service(tmp_path_factory.mktemp("service"), service_faults="1") as one:
        made = submit(one, receiver, "ok")
        arrived(receiver, 1)
        assert one.ended(str(made["id"]))["status"] == "finished"
        assert one.get(str(made["id"])).status_code == 404
        one.stop_all()
        one.start_web()
        one.start_worker()
        second = arrived(receiver, 2)[1]
        assert json.loads(second.body)["response"]["body"] == body_for(str(made["url"]))
