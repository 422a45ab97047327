from urllib.parse import urlsplit

import pytest

from longhaul.work.callbacks import Callbacks

CALLBACKS = Callbacks("a secret of our own")


def parts(url):
    address = urlsplit(url)
    _, kind, job_id, token = address.path.rsplit("/", 3)
    return kind, job_id, token, address.password


def test_the_address_names_the_job_and_carries_password_and_token():
    url = CALLBACKS.url("https://us.test:8443/base/", "job", "job-1")
    kind, job_id, token, password = parts(url)
    assert url == f"https://longhaul:{password}@us.test:8443/base/jobs/job-1/{token}"
    assert (kind, job_id) == ("jobs", "job-1")
    assert len(token) == len(password) == 32
    assert CALLBACKS.admits("job", job_id, token, password)
    # What belongs to a job opens no crawl of the same name.
    assert not CALLBACKS.admits("crawl", job_id, token, password)


def test_credentials_and_queries_of_the_receivers_own_address_are_left_out():
    url = CALLBACKS.url("https://me:pw@us.test/x?y=1#z", "crawl", "c")
    assert url.startswith("https://longhaul:")
    assert "pw" not in urlsplit(url).netloc.rpartition("@")[2]
    assert "?" not in url
    assert url.count("@") == 1


@pytest.mark.parametrize(
    ("job_id", "secret", "change"),
    [
        ("job-2", "a secret of our own", {}),
        ("job-1", "another", {}),
        ("job-1", "a secret of our own", {"token": ""}),
        ("job-1", "a secret of our own", {"password": "ä"}),
    ],
)
def test_only_the_jobs_own_token_with_the_password_is_admitted(job_id, secret, change):
    _, _, token, password = parts(CALLBACKS.url("https://us.test", "job", "job-1"))
    given = {"token": token, "password": password} | change
    assert not Callbacks(secret).admits("job", job_id, **given)


def test_the_address_is_the_same_in_every_process_and_the_secret_is_not_in_it():
    address = CALLBACKS.url("https://us.test", "job", "job-1")
    assert address == Callbacks("a secret of our own").url("https://us.test", "job", "job-1")
    assert "secret" not in address


def test_what_can_be_sent_as_a_token_or_password_never_raises():
    assert not CALLBACKS.admits("job", "job-1", "😀", "\udc80".encode("utf-8", "replace").decode())
