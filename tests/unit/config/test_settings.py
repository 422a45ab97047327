import os

import pytest
from pydantic import SecretStr

from config.settings import Settings, SettingsError, load

SECRET = "hunter2-hunter2-hunter2"

BROKERS = "must be a redis://, rediss://, amqp:// or amqps:// address; others, such as sentinel://, are not supported"


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in list(os.environ):
        if name.startswith("LONGHAUL_"):
            monkeypatch.delenv(name)


def refused(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(f"LONGHAUL_{name}", value)
    with pytest.raises(SettingsError) as error:
        load()
    return str(error.value)


def test_without_any_variable_everything_has_its_default():
    settings = load()
    assert settings.broker == settings.redis_url == "redis://127.0.0.1:6379/0"
    assert settings.account_keys() == {}
    assert (settings.http_timeout, settings.batch_timeout, settings.lease, settings.visibility_timeout) == (
        60,
        90,
        120,
        300,
    )


def test_variables_and_their_types_arrive(monkeypatch):
    for name, value in {
        "REDIS_URL": "rediss://h/1",
        "BROKER_URL": "redis://b/2",
        "API_KEY": "k1",
        "API_KEYS": '{"second": "k2"}',
        "ASYNC_URL": "http://127.0.0.1:8080/",
        "POLL_FIRST": "0.5",
        "BATCH_SIZE": "7",
    }.items():
        monkeypatch.setenv(f"LONGHAUL_{name}", value)
    settings = load()
    assert (settings.broker, settings.async_url, settings.poll_first, settings.batch_size) == (
        "redis://b/2",
        "http://127.0.0.1:8080",
        0.5,
        7,
    )
    assert settings.account_keys() == {"default": "k1", "second": "k2"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("REDIS_URL", "http://x", "must be a redis:// or rediss:// address"),
        ("REDIS_URL", "unix:///run/redis.sock", "must be a redis:// or rediss:// address"),
        ("BROKER_URL", "sentinel://h:26379", BROKERS),
        ("BROKER_URL", "redis", BROKERS),
        ("REDIS_URL", "redis://h/0?ssl_cert_reqs=none", "ssl_cert_reqs needs TLS: write rediss:// instead of redis://"),
        ("REDIS_URL", "rediss://h/0?ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs: 'CERT_NONE': must be required or none"),
        ("BROKER_URL", "rediss://h/0?ssl_cert_reqs=optional", "ssl_cert_reqs: 'optional': must be required or none"),
        ("REDIS_URL", "rediss://h/0?ssl_ca_certs=/no/ca.pem", "ssl_ca_certs: there is no file /no/ca.pem"),
        (
            "BROKER_URL",
            "rediss://h/0?ssl_check_hostname=false",
            "ssl_check_hostname is no option of TLS here; those are ssl_cert_reqs, ssl_ca_certs, ssl_certfile, ssl_keyfile",
        ),
        (
            "WEBHOOK_SECRET",
            "fifteen letters",
            "must be at least 16 characters long: a random string of your own (openssl rand -hex 24)",
        ),
        ("ASYNC_URL", "async.scraperapi.com", "must be an http:// or https:// address"),
        ("PUBLIC_URL", "ftp://x", "must be an http:// or https:// address"),
        ("SERVICE_PUBLIC_URL", "x", "must be an http:// or https:// address"),
        ("POLL_FIRST", "0", "Input should be greater than 0"),
        ("POLL_FIRST", "soon", "Input should be a valid number, unable to parse string as a number"),
        ("POLL_GROWTH", "1", "Input should be greater than 1"),
        ("POLL_GROWTH", "11", "Input should be less than or equal to 10"),
        ("POLL_CEILING", "7201", "Input should be less than or equal to 7200"),
        ("POLL_JITTER", "0.6", "Input should be less than or equal to 0.5"),
        ("POLL_JITTER", "-0.1", "Input should be greater than or equal to 0"),
        ("DEADLINE", "259201", "Input should be less than or equal to 259200"),
        ("MAX_BODY_BYTES", "0", "Input should be greater than 0"),
        ("BATCH_SIZE", "1.5", "Input should be a valid integer, unable to parse string as an integer"),
        ("MAX_BATCHES", "-1", "Input should be greater than 0"),
        ("WORKER_THREADS", "x", "Input should be a valid integer, unable to parse string as an integer"),
        ("RESULTS_HIGH_ENTRIES", "0", "Input should be greater than 0"),
        ("RESULTS_HIGH_BYTES", "0", "Input should be greater than 0"),
        ("KEEP_ENDED", "599", "Input should be greater than or equal to 600"),
        ("RESULT_EXPIRES", "259199", "Input should be greater than or equal to 259200"),
        ("LOG_FORMAT", "xml", "String should match pattern '^(text|json)$'"),
        ("LOG_LEVEL", "debug", "String should match pattern '^(DEBUG|INFO|WARNING|ERROR)$'"),
        ("SERVICE_READ_GRACE", "-1", "Input should be greater than or equal to 0"),
        ("SERVICE_FAULTS", "perhaps", "Input should be a valid boolean, unable to interpret input"),
    ],
)
def test_a_wrong_value_names_its_variable_and_the_fault(monkeypatch, name, value, words):
    assert refused(monkeypatch, **{name: value}) == f"LONGHAUL_{name}: {words}"


def test_limits_of_accounts_arrive(monkeypatch):
    monkeypatch.setenv(
        "LONGHAUL_ACCOUNT_LIMITS",
        '{"default": {"per_second": 20, "open": 100}, "slow": {"per_second": 0.5}, "free": {}}',
    )
    limits = {name: (limit.per_second, limit.open) for name, limit in load().account_limits.items()}
    assert limits == {"default": (20.0, 100), "slow": (0.5, None), "free": (None, None)}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('{"a": {"per_second": 0}}', "[a][per_second]: Input should be greater than 0"),
        ('{"a": {"per_second": -1}}', "[a][per_second]: Input should be greater than 0"),
        ('{"a": {"per_second": "20"}}', "[a][per_second]: Input should be a valid number"),
        ('{"a": {"per_second": true}}', "[a][per_second]: Input should be a valid number"),
        ('{"a": {"per_second": NaN}}', "[a][per_second]: Input should be a finite number"),
        ('{"a": {"open": 0}}', "[a][open]: Input should be greater than 0"),
        ('{"a": {"open": 1.5}}', "[a][open]: Input should be a valid integer"),
        ('{"a": {"per_minute": 5}}', "[a][per_minute]: Extra inputs are not permitted"),
        ('{"a": 20}', "[a]: Input should be a valid dictionary or instance of AccountLimitSetting"),
        ("[1]", ": Input should be a valid dictionary"),
        ("20 a second", ": must be JSON"),
    ],
)
def test_wrong_limits_name_the_account_and_the_fault(monkeypatch, value, words):
    assert refused(monkeypatch, ACCOUNT_LIMITS=value) == f"LONGHAUL_ACCOUNT_LIMITS{words}"


@pytest.mark.parametrize("value", ["not json", "{", f"{SECRET}", '["a"]', '{"a": {"b": 1}}', '{"a": 5}'])
def test_wrong_accounts_name_their_variable_and_quote_nothing(monkeypatch, value):
    message = refused(monkeypatch, API_KEYS=value)
    assert message.startswith("LONGHAUL_API_KEYS")
    assert "LONGHAUL_API_KEYS_" not in message
    assert SECRET not in message


def test_every_wrong_value_is_named_at_once(monkeypatch):
    assert refused(monkeypatch, POLL_FIRST="0", LEASE="x").splitlines() == [
        "LONGHAUL_POLL_FIRST: Input should be greater than 0",
        "LONGHAUL_LEASE: Input should be a valid number, unable to parse string as a number",
    ]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"HTTP_TIMEOUT": "90"}, "LONGHAUL_HTTP_TIMEOUT (90) must be below LONGHAUL_BATCH_TIMEOUT (90)"),
        ({"BATCH_TIMEOUT": "120"}, "LONGHAUL_BATCH_TIMEOUT (120) must be below LONGHAUL_LEASE (120)"),
        ({"LEASE": "300"}, "LONGHAUL_LEASE (300) must be below LONGHAUL_VISIBILITY_TIMEOUT (300)"),
        (
            {"VISIBILITY_TIMEOUT": "3000", "KEEP_ENDED": "3000"},
            "LONGHAUL_VISIBILITY_TIMEOUT (3000) must be below LONGHAUL_KEEP_ENDED (3000)",
        ),
        ({"VISIBILITY_TIMEOUT": "100"}, "LONGHAUL_LEASE (120) must be below LONGHAUL_VISIBILITY_TIMEOUT (100)"),
    ],
)
def test_each_bound_ends_before_the_next(monkeypatch, variables, words):
    assert refused(monkeypatch, **variables) == words


def test_a_receiver_without_a_secret_is_refused(monkeypatch):
    message = refused(monkeypatch, PUBLIC_URL="https://us.test")
    assert message == "LONGHAUL_PUBLIC_URL is set, so LONGHAUL_WEBHOOK_SECRET must be: a long random string of your own"


def test_two_keys_for_one_account_are_refused(monkeypatch):
    message = refused(monkeypatch, API_KEY="a", API_KEYS='{"default": "b"}')
    assert message == "LONGHAUL_API_KEYS names `default`, which is LONGHAUL_API_KEY's account"


def test_a_limit_for_an_account_without_a_key_is_refused(monkeypatch):
    message = refused(
        monkeypatch, API_KEY="a", API_KEYS='{"second": "b"}', ACCOUNT_LIMITS='{"secnod": {"per_second": 20}}'
    )
    assert message == "LONGHAUL_ACCOUNT_LIMITS names `secnod`, which has no key here: is it one of default, second?"


def test_a_process_without_keys_may_know_the_limits(monkeypatch):
    monkeypatch.setenv("LONGHAUL_ACCOUNT_LIMITS", '{"default": {"per_second": 20}}')
    assert load().account_limits["default"].per_second == 20


def test_no_secret_stands_in_the_settings_text():
    settings = Settings(
        api_key=SecretStr(SECRET),
        api_keys={"a": SecretStr(SECRET)},
        webhook_secret=SecretStr(SECRET),
        service_api_keys=[SecretStr(SECRET)],
        redis_url=f"redis://:{SECRET}@h/0",
        broker_url=f"amqp://me:{SECRET}@h",
    )
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)
    assert settings.account_keys() == {"a": SECRET, "default": SECRET}


def test_settings_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        load().lease = 5


def test_an_empty_variable_is_an_unset_one(monkeypatch):
    monkeypatch.setenv("LONGHAUL_PUBLIC_URL", "")
    monkeypatch.setenv("LONGHAUL_REDIS_URL", "")
    assert (load().public_url, load().redis_url) == (None, "redis://127.0.0.1:6379/0")


def test_a_misspelt_variable_is_named_with_the_one_that_is_meant(monkeypatch):
    monkeypatch.setenv("LONGHAUL_POLL_FRIST", "3")
    with pytest.raises(SettingsError, match=r"LONGHAUL_POLL_FRIST: is no setting; is LONGHAUL_POLL_FIRST meant\?"):
        load()


@pytest.mark.parametrize("url", ["redis://b/2", "rediss://b/2", "amqp://me:pass@b//", "amqps://b"])
def test_brokers_of_four_kinds_are_taken(monkeypatch, url):
    monkeypatch.setenv("LONGHAUL_BROKER_URL", url)
    assert load().broker == url


@pytest.mark.parametrize(
    "name", ["longhaul_lease_", "LONGHAUL_API_KEYZ", "LONGHAUL_WEBHOOK_SECRETS", "LONGHAUL_SERVICE_PUBLIC_ULR"]
)
def test_any_name_close_to_a_setting_is_taken_for_it(monkeypatch, name):
    monkeypatch.setenv(name, "3")
    with pytest.raises(SettingsError, match=f"{name}: is no setting; is LONGHAUL_"):
        load()


@pytest.mark.parametrize(
    "service",
    ["LONGHAUL", "LONGHAUL_REDIS", "LONGHAUL_SERVICE", "LONGHAUL_WEBHOOK", "LONGHAUL_BROKER", "LONGHAUL_ASYNC"],
)
def test_what_kubernetes_says_of_its_services_is_no_misspelling(monkeypatch, service):
    for end in (
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTP",
        "PORT",
        "PORT_80_TCP",
        "PORT_80_TCP_PROTO",
        "PORT_80_TCP_ADDR",
    ):
        monkeypatch.setenv(f"{service}_{end}", "10.0.0.1")
    assert load() == Settings()


def test_a_name_like_none_is_somebody_elses(monkeypatch):
    monkeypatch.setenv("LONGHAUL_COLOUR_OF_THE_TRUCKS", "red")
    assert load() == Settings()
