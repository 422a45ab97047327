import pytest
from structlog.testing import capture_logs

from config.settings import Settings
from longhaul.errors import PreflightFailed
from longhaul.scraperapi.protocol import HttpAnswer
from tests.conftest import free_port
from workers import lifecycle
from workers.lifecycle import check_account, safe

KEY = "k+e/y of=mine"
FORMS = (KEY, "k%2Be%2Fy%20of%3Dmine", "k%2Be%2Fy+of%3Dmine", "k%2Be/y%20of%3Dmine")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://:pass@h:6379/0", "redis://:**@h:6379/0"),
        ("amqp://me:pass@h//", "amqp://me:**@h//"),
    ],
)
def test_an_address_is_shown_without_its_password(url, shown):
    assert safe(url) == shown


def test_a_remote_that_is_away_is_said_without_the_key():
    with capture_logs() as said:
        check_account(Settings(async_url=f"http://127.0.0.1:{free_port()}"), "default", KEY)
    (line,) = said
    assert "api_key=***" in line["error"]
    assert not [form for form in FORMS if form in line["error"]]


@pytest.mark.parametrize("form", FORMS)
def test_a_refusal_is_said_without_the_key(monkeypatch, form):
    monkeypatch.setattr(
        lifecycle, "call", lambda *_, **__: HttpAnswer(401, {}, f'{{"error": "{form} is no key"}}'.encode())
    )
    with pytest.raises(PreflightFailed, match=r"refuses the key of account `default` \(.*\*\*\* is no key") as error:
        check_account(Settings(), "default", KEY)
    assert form not in str(error.value)
