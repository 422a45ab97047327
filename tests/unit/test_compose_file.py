import re
import subprocess
import sys
import tomllib

import pytest

from config.settings import Settings
from tests.compose import FILE, ROOT, read

SERVICES = read()["services"]
each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())
SECRET_VALUE = re.compile(r"(KEYS?|SECRET|PASSWORD|AUTH|TOKEN)$")


def seconds(text):
    return int(text.removesuffix("s"))


@pytest.mark.process
def test_the_file_is_what_the_compose_specification_says():
    line = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    checked = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_parts_are_all_there():
    assert set(SERVICES) == {"redis", "service", "service-worker", "worker", "beat", "flower", "webhook"}


@each_service
def test_a_service_proves_its_progress_and_comes_back(service):
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert seconds(service["stop_grace_period"]) >= 10


@each_service
def test_a_service_can_do_little_harm(service):
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert service.get("user") == "redis" or service["build"] == "."


@each_service
def test_an_image_has_a_tag(service):
    name, _, tag = service["image"].partition(":")
    assert name
    assert re.search(r"\d", tag)


@each_service
def test_a_port_is_published_on_loopback_only(service):
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@each_service
def test_a_service_waits_for_health_and_not_for_a_process(service):
    assert {given["condition"] for given in service.get("depends_on", {}).values()} <= {"service_healthy"}


@each_service
def test_secrets_are_files(service):
    assert not [name for name in service.get("environment", {}) if SECRET_VALUE.search(name)]
    assert set(service.get("secrets", ())) <= set(read()["secrets"])
    if any(
        name in Settings.model_fields
        for name in (secret.removeprefix("longhaul_") for secret in service.get("secrets", ()))
    ):
        assert service["environment"]["LONGHAUL_SECRETS_DIR"] == "/run/secrets"


def test_secrets_are_outside_the_repository():
    assert all(given["file"].startswith("./secrets/") for given in read()["secrets"].values())
    assert "secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_a_secret_is_named_like_its_setting(tmp_path):
    (tmp_path / "longhaul_api_key").write_text("from a file\n")
    (tmp_path / "longhaul_service_api_keys").write_text('["one", "two"]\n')
    (tmp_path / "longhaul_webhook_secret").write_text("long and quite random\n")
    settings = Settings(_secrets_dir=tmp_path)
    assert settings.account_keys() == {"default": "from a file"}
    assert [key.get_secret_value() for key in settings.service_api_keys] == ["one", "two"]
    assert settings.webhook_secret.get_secret_value() == "long and quite random"


def test_a_worker_can_be_scaled():
    for name in ("worker", "service-worker"):
        assert not {"container_name", "ports", "hostname"} & set(SERVICES[name])


def test_what_is_in_flight_is_finished():
    assert seconds(SERVICES["worker"]["stop_grace_period"]) > Settings.model_fields["batch_timeout"].default
    assert seconds(SERVICES["service-worker"]["stop_grace_period"]) > Settings.model_fields["http_timeout"].default


def test_redis_keeps_what_it_is_given():
    command = SERVICES["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert SERVICES["redis"]["volumes"] == [f"redis-data:{command[command.index('--dir') + 1]}"]


def test_the_image_runs_without_root():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    user = lines[-1].partition("USER ")[2]
    assert int(user.partition(":")[0]) > 0
    assert all(":" in line for line in lines if line.startswith("FROM "))


def test_the_image_is_built_from_every_package():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    let_in = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{package.removesuffix('*')}/**" for package in setuptools["packages"]["find"]["include"]} <= set(let_in)
    assert setuptools["package-data"] == {"*": ["scripts/*.lua"]}


def test_jobs_and_crawls_go_to_the_same_remote_unless_somebody_says_otherwise():
    for name in ("worker", "webhook"):
        environment = SERVICES[name]["environment"]
        assert environment["LONGHAUL_CRAWLER_URL"] == environment["LONGHAUL_ASYNC_URL"] == "http://service:8080"
