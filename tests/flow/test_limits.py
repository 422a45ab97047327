"""An account's limits, as the remote sees them."""

from __future__ import annotations

import threading
import time

from longhaul.jobs.decider import JobDecider
from longhaul.jobs.job import JobStep
from longhaul.jobs.remote import JobRemote
from longhaul.jobs.store import JobStore
from longhaul.work.account_limits import AccountLimit
from longhaul.work.batch_runner import BatchRunner
from tests.builders import a_submission, default_policies, job_limits


def test_a_remote_is_asked_as_often_as_the_limit_says_and_all_jobs_come_home(fresh):
    world = fresh(1, accounts={"default": AccountLimit(per_second=4)})
    world.submit(*(f"j{n}" for n in range(12)))
    asked = []
    for _ in range(40):
        before = len(world.wire.asked)
        world.run(*JobStep)
        asked.append(len(world.wire.asked) - before)
        world.clock.now += 1
    # Each job is one POST and two polls.
    assert sum(asked) == 36
    assert max(asked) <= 4
    assert len(world.results()) == 12


def test_a_batch_that_nobody_has_dispatched_gives_its_token_back(fresh, redis):
    world = fresh(0, batch_size=2, accounts={"default": AccountLimit(open=2)})
    world.submit("a", "b", "c")
    report = world.runner.run(JobStep.SEND, "default")
    assert (report.claimed, report.more) == (2, True)
    assert redis.zcard("longhaul:{jobs}:working:send") == 0
    assert world.runner.run(JobStep.SEND, "default").claimed == 1


def test_several_workers_never_ask_faster_nor_more_at_once(redis, remote_wire, calls, fresh):
    """Real time, real threads, and a remote that counts: 30 a second, 6 open at once."""
    scraper = fresh(0).scraper
    allowed = {"default": AccountLimit(per_second=30, open=6)}
    lock, at, open_now, most_open = threading.Lock(), [], [0], [0]

    def counting(ask):
        with lock:
            at.append(time.monotonic())
            open_now[0] += 1
            most_open[0] = max(most_open[0], open_now[0])
        try:
            time.sleep(0.02)
            return scraper(ask)
        finally:
            with lock:
                open_now[0] -= 1

    remote_wire.answer = counting
    stores = [JobStore(redis, job_limits(batch_size=4, accounts=allowed)) for _ in range(3)]
    runners = [
        BatchRunner(
            store,
            JobRemote(remote_wire.base, {"default": "key"}, calls, lambda receiver, _: receiver),
            JobDecider(default_policies()),
            lambda _: None,
        )
        for store in stores
    ]
    stores[0].submit([(f"j{n}", a_submission(f"https://example.com/{n}")) for n in range(500)], tracked=False)
    over = threading.Event()

    def work(runner):
        while not over.is_set():
            for account, token in runner.store.dispatch(JobStep.SEND):
                # A busy batch goes on at once, as in `tasks.plumbing.run_batch`.
                while runner.run(JobStep.SEND, account, token).more:
                    pass
            runner.run(JobStep.SEND, "default")
            over.wait(0.03)

    threads = [threading.Thread(target=work, args=(runner,)) for runner in runners]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    over.wait(4)
    over.set()
    for thread in threads:
        thread.join(30)
    seconds = time.monotonic() - began
    assert most_open[0] <= 6
    assert 30 * (seconds - 1) * 0.9 <= len(at) <= 30 * (seconds + 1) + 1
    for width in (0.5, 1, 2):
        # Half a tenth of a second for the way from the claim to the remote.
        assert max(sum(begin <= one < begin + width for one in at) for begin in at) <= 30 * (width + 1.05) + 1
