import pytest
from celery import Celery

from config.celery_settings import (
    BATCHES,
    HINT_EXPIRES,
    INTAKE,
    QUEUE_TYPE,
    ROUTES,
    SERVICE,
    TICK,
    UPKEEP,
    WORKER_QUEUES,
    beat_settings,
    celery_settings,
    celery_url,
)
from config.settings import Settings

SETTINGS = Settings()


def test_celery_knows_every_setting():
    app = Celery("x", set_as_current=False)
    known = set(app.conf.keys())
    # Read by the Redis backend, documented, and missing from the list.
    known.add("redis_backend_health_check_interval")
    assert set(celery_settings(SETTINGS)) | set(celery_settings(Settings(broker_url="amqp://h"))) <= known


def test_a_message_is_acknowledged_late_and_taken_one_at_a_time_and_its_visibility_outlasts_the_lease():
    conf = celery_settings(SETTINGS)
    assert (conf["task_acks_late"], conf["worker_prefetch_multiplier"]) == (True, 1)
    assert conf["broker_transport_options"]["visibility_timeout"] == SETTINGS.visibility_timeout > SETTINGS.lease


def test_only_json_is_taken():
    conf = celery_settings(SETTINGS)
    assert (conf["accept_content"], conf["task_serializer"], conf["result_serializer"]) == (["json"], "json", "json")


def test_results_outlive_the_longest_job():
    assert celery_settings(SETTINGS)["result_expires"] >= 72 * 3600


def test_rabbitmq_confirms_what_is_sent_keeps_it_on_a_majoritys_disks_and_gets_none_of_redis_options():
    conf = celery_settings(Settings(broker_url="amqp://h"))
    assert conf["broker_transport_options"] == {"confirm_publish": True, "read_timeout": 10, "write_timeout": 10}
    assert conf["task_default_queue_type"] == QUEUE_TYPE == "quorum"
    assert conf["broker_heartbeat"] == 10
    # What goes unsaid on Redis, where queues have no types.
    assert "task_default_queue_type" not in celery_settings(SETTINGS)


def test_a_redis_that_refuses_for_a_moment_does_not_end_a_worker():
    assert celery_settings(SETTINGS)["broker_channel_error_retry"] is True


def test_nothing_hangs_for_good_on_a_half_open_connection():
    conf = celery_settings(SETTINGS)
    assert (
        conf["broker_transport_options"].items()
        >= {"socket_timeout": 10, "socket_connect_timeout": 5, "socket_keepalive": True}.items()
    )
    assert (conf["redis_socket_timeout"], conf["redis_socket_connect_timeout"]) == (10, 5)


def test_submitting_batches_and_upkeep_wait_in_queues_of_their_own():
    assert {name: route["queue"] for name, route in ROUTES.items()} == {
        "jobs.send": BATCHES,
        "jobs.poll": BATCHES,
        "jobs.cancel_batch": BATCHES,
        "crawls.create_batch": BATCHES,
        "crawls.poll": BATCHES,
        "crawls.cancel_batch": BATCHES,
        "jobs.dispatch": UPKEEP,
        "jobs.sweep": UPKEEP,
    }
    assert set(WORKER_QUEUES) == {INTAKE, BATCHES, UPKEEP}
    assert SERVICE not in WORKER_QUEUES


def test_beats_ticks_expire_so_that_stopped_workers_find_no_pile():
    conf = beat_settings(SETTINGS)
    entries = conf["beat_schedule"].values()
    assert {entry["task"] for entry in entries} == {"jobs.dispatch", "jobs.sweep"}
    assert all(entry["options"]["expires"] == HINT_EXPIRES for entry in entries)
    assert TICK == 1
    assert conf["beat_scheduler"] == "redbeat.RedBeatScheduler"
    assert conf["redbeat_key_prefix"].startswith("longhaul:")


@pytest.mark.parametrize(
    ("url", "translated"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("amqps://h//", "amqps://h//"),
        ("rediss://u:p%40@h/0", "rediss://u:p%40@h/0?ssl_cert_reqs=required"),
        ("rediss://h/0?ssl_ca_certs=/ca.pem", "rediss://h/0?ssl_ca_certs=/ca.pem&ssl_cert_reqs=required"),
        ("rediss://h/0?ssl_cert_reqs=none", "rediss://h/0?ssl_cert_reqs=none"),
    ],
)
def test_celery_is_told_in_so_many_words_to_verify(url, translated):
    assert celery_url(url) == translated


def test_every_address_of_celery_is_translated():
    settings = Settings(redis_url="rediss://l/0", broker_url="rediss://b/0")
    conf = celery_settings(settings) | beat_settings(settings)
    assert conf["broker_url"] == "rediss://b/0?ssl_cert_reqs=required"
    assert conf["result_backend"] == conf["redbeat_redis_url"] == "rediss://l/0?ssl_cert_reqs=required"
