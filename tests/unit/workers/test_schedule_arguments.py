from pathlib import Path

import pytest

from config.celery_settings import beat_settings
from config.settings import Settings, SettingsError
from workers.schedule_arguments import check_schedule_arguments

FILE = Path("schedules.toml")
URL = "https://example.com/"


def check(arguments, task="jobs.submit"):
    entries = {"longhaul-dispatch": {"task": "jobs.dispatch"}, "schedule:nightly": {"task": task, "kwargs": arguments}}
    check_schedule_arguments(entries, Settings(schedules_file=FILE))


def check_batch(**arguments):
    check(arguments, "jobs.submit_batch")


def test_what_a_task_would_take_is_taken_whatever_accounts_and_receiver_there_are_here():
    check({"url": URL})
    check({"url": URL, "account": "second", "callback": True, "queue": "front", "meta": {"a": [1]}})
    check({"url": URL, "callback": "https://us.test/hooks"})
    check_batch(requests=[URL, {"url": URL, "account": "second"}], account="third", partial=True, queue="front")
    check({"start_url": URL, "max_depth": 2, "account": "second"}, "crawls.create")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "url: is missing"),
        ({"url": "example.com"}, "url: 'example.com': must be an http:// or https:// address"),
        ({"url": URL, "quueue": "x"}, "quueue: .*: is not an argument of jobs.submit"),
        ({"url": URL, "queue": "a:b"}, "queue: 'a:b': must be"),
        ({"url": URL, "account": 5}, "account: 5: "),
        ({"url": URL, "resubmit": 11}, "resubmit: 11: must be"),
    ],
)
def test_what_a_task_would_refuse_is_named_with_file_and_schedule(arguments, words):
    with pytest.raises(SettingsError, match=f"schedules.toml, schedule 'nightly': arguments: {words}"):
        check(arguments)


def test_a_crawl_is_checked_likewise():
    with pytest.raises(SettingsError, match="schedule 'nightly': arguments: max_depth, crawl_budget: are both missing"):
        check({"start_url": URL}, "crawls.create")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "requests: .*: must be a list"),
        ({"requests": []}, r"requests: \[\]: must have at least one entry"),
        ({"requests": [URL, "x"]}, r"requests\[1\]: url: 'x': must be"),
        ({"requests": [URL, 5], "partial": True}, r"requests\[1\]: entry: .*: must be a URL or an object"),
        ({"requests": [{"url": URL, "account": ["a"]}]}, r"requests\[0\]: account: "),
        ({"requests": [URL], "partial": "yes"}, "partial: 'yes': must be true or false"),
        ({"requests": [URL], "colour": "red"}, r"requests\[0\]: colour: .*: is not an argument"),
    ],
)
def test_a_batch_is_checked_entry_for_entry(arguments, words):
    with pytest.raises(SettingsError, match=f"schedule 'nightly': arguments: {words}"):
        check_batch(**arguments)


def test_the_entries_of_a_real_file_and_our_own_pass(tmp_path):
    file = tmp_path / "schedules.toml"
    file.write_text(f'[[schedule]]\nname = "a"\nevery = 5\narguments = {{ url = "{URL}" }}\n')
    check_schedule_arguments(
        beat_settings(Settings(schedules_file=file))["beat_schedule"], Settings(schedules_file=file)
    )
    check_schedule_arguments(beat_settings(Settings())["beat_schedule"], Settings())
