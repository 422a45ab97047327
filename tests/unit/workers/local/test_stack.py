from dataclasses import replace
from pathlib import Path

from workers.local.stack import Ports, Stack, free_ports, is_self_hosted, kept_secret
from workers.local.up import addresses

SECRET = "0123456789abcdef" * 3


def local(redis_url="redis://127.0.0.1:6379/0"):
    return Stack(Ports(), redis_url, self_hosted=True, workers=2, secret=SECRET)


def test_flowers_password_is_lasting_and_tells_nothing_of_the_secret():
    password = local().password
    assert password == local().password
    assert len(password) >= 16
    assert not any(password[at : at + 4] in SECRET for at in range(len(password) - 3))


def test_the_secret_is_made_once_and_is_for_its_owner_only(tmp_path: Path):
    first = kept_secret(tmp_path / "new")
    assert len(first) >= 16
    assert kept_secret(tmp_path / "new") == first
    assert (tmp_path / "new" / "secret").stat().st_mode & 0o077 == 0


def test_no_two_parts_share_a_port():
    ports = free_ports()
    assert len({ports.redis, ports.service, ports.receiver, ports.flower}) == 4


def test_an_account_or_another_remote_is_the_users_wish():
    assert is_self_hosted({"LONGHAUL_LOG_LEVEL": "DEBUG"})
    assert not is_self_hosted({"LONGHAUL_API_KEY": "k"})
    assert not is_self_hosted({"LONGHAUL_ASYNC_URL": "https://a.test"})


def test_addresses_are_shown_without_their_passwords():
    said = addresses(local("redis://me:pass-word@h:6379/0"))
    assert "ledger and broker  redis://me:**@h:6379/0" in said
    assert "pass-word" not in said


def test_a_broker_of_its_own_has_its_own_line():
    said = addresses(replace(local(), broker_url="amqp://me:pass-word@b//"))
    assert "  ledger             redis://127.0.0.1:6379/0\n  broker             amqp://me:**@b//\n" in said
    assert "pass-word" not in said


def test_the_parts_of_an_embedded_server_do_not_take_the_shells_broker():
    assert local().env["LONGHAUL_BROKER_URL"] == ""


def test_servers_let_go_of_slow_callers_before_they_are_killed():
    servers = [part for part in (*local().remote(), *local().own()) if "uvicorn" in part.command]
    assert len(servers) == 2
    for part in servers:
        assert float(part.command[part.command.index("--timeout-graceful-shutdown") + 1]) < part.grace
