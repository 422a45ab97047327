"""The events of crawls: refused, lost, doubled and out of order."""

from __future__ import annotations

import time

from service.faults.crawl_faults import site_for
from tests.conftest import free_port
from tests.service_process import Service, eventually
from tests.service_target import Target
from tests.system.service.crawls.hook import Hook


def test_a_receiver_that_is_not_there_does_not_stop_a_crawl(running: Service, target: Target) -> None:
    callback = {"type": "webhook", "url": f"http://127.0.0.1:{free_port()}/"}
    crawl = running.crawl(f"{target.base}/tree/50/0/", callback=callback)
    end = eventually(lambda: found if (found := running.progress(crawl))["status"] == "in delivery" else None)
    assert (end["done"], end["active"]) == (50, 0)


def test_refused_events_are_tried_again_before_the_summary(running: Service, hook: Hook) -> None:
    began = time.monotonic()
    start = "http://site-5.push500-1.fault.invalid/"
    running.delivered(running.crawl(start, callback=hook.callback))
    assert {page["url"] for page in hook.pages} == site_for(start).keys()
    assert time.monotonic() - began >= 3 + 3
    assert hook.documents[-1] == hook.summaries[0]


def test_the_dial_loses_doubles_and_reorders_events(running: Service, target: Target) -> None:
    hooks = {
        word: Hook(target, f"/hook/{word}")
        for word in ("lose-4", "duplicate", "nosummary", "summaryfirst", "nowebhook", "late-1")
    }
    began = time.monotonic()
    for word, one in hooks.items():
        crawl = running.crawl(f"http://site-13.{word}.fault.invalid/", callback=one.callback)
        assert running.delivered(crawl)["done"] == 13
        if word == "late-1":
            assert time.monotonic() - began >= 1
    counts = {word: (len(one.pages), len(one.summaries)) for word, one in hooks.items()}
    assert counts == {
        "lose-4": (10, 1),
        "duplicate": (26, 2),
        "nosummary": (13, 0),
        "summaryfirst": (13, 1),
        "nowebhook": (0, 0),
        "late-1": (13, 1),
    }
    assert hooks["summaryfirst"].documents[0] == hooks["summaryfirst"].summaries[0]


def test_the_dial_works_on_a_real_site_by_additional_data(running: Service, target: Target, hook: Hook) -> None:
    data = {"x-longhaul-fault": "lose-2", "mine": 1}
    running.delivered(running.crawl(f"{target.base}/tree/10/0/", callback=hook.callback, additional_data=data))
    assert len(hook.pages) == 5
    assert hook.summaries[0]["additional_data"] == data
