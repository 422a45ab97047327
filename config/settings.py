"""Every setting of Longhaul: environment variables `LONGHAUL_*`, or files of the same names in lower case under
`LONGHAUL_SECRETS_DIR`.

Times are in seconds, sizes in bytes. A wrong value stops the process with the variable's name: see `load`.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from config.addresses import broker_url, http_base, redis_url

HOUR = 3600.0
SHORTEST_SECRET = 16
ALIKE = 0.85
"""Similarity, from 0 to 1 as difflib measures it, from which an unknown name is taken for a misspelt setting."""
# Kubernetes gives every pod some for each of its services, after the service's name: LONGHAUL_REDIS_PORT is close to
# LONGHAUL_REDIS_URL.
INJECTED = re.compile(r"_SERVICE_HOST$|_PORT(_|$)")


class SettingsError(Exception):
    """A setting is wrong. The message names the variable, what is wrong with its value, and the remedy."""


def _long(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < SHORTEST_SECRET:
        raise ValueError(
            f"must be at least {SHORTEST_SECRET} characters long: a random string of your own (openssl rand -hex 24)"
        )
    return secret


HttpBase = Annotated[str, AfterValidator(http_base)]
RedisUrl = Annotated[str, AfterValidator(redis_url)]
BrokerUrl = Annotated[str, AfterValidator(broker_url)]
LongSecret = Annotated[SecretStr, AfterValidator(_long)]
Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


class AccountLimitSetting(BaseModel):
    """What one account may ask of the remote, in all workers together; None: as much as there is to ask."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    per_second: float | None = Field(None, gt=0)
    """Requests a second, all steps of its jobs together; a burst has one second's worth."""
    open: int | None = Field(None, gt=0)
    """Most requests of one step under way at once."""


class Settings(BaseSettings):
    """One instance a process, read once."""

    model_config = SettingsConfigDict(
        env_prefix="LONGHAUL_", env_ignore_empty=True, secrets_dir=os.environ.get("LONGHAUL_SECRETS_DIR"), frozen=True
    )

    redis_url: RedisUrl = Field("redis://127.0.0.1:6379/0", repr=False)
    """The ledger and the results queues: `redis://[user:password@]host:port/db`, or `rediss://` for TLS, whose
    certificate is verified: `?ssl_ca_certs=/path` names its CA, `?ssl_cert_reqs=none` turns verification off. See
    `docs/reference/servers.md`.
    """
    broker_url: BrokerUrl | None = Field(None, repr=False)
    """Celery's broker, spelled likewise, or `amqp://` for RabbitMQ; default: `redis_url`."""
    async_url: HttpBase = "https://async.scraperapi.com"
    """The remote's Async API, or this repository's own service."""
    crawler_url: HttpBase = "https://crawler.scraperapi.com"
    """The remote's Crawler API, or this repository's own service."""
    public_url: HttpBase | None = None
    """Where the remote can reach the webhook receiver; unset: poll only."""
    webhook_secret: LongSecret | None = None
    """Makes the receiver's paths and password unguessable; needed where `public_url` is set."""
    api_key: SecretStr | None = None
    """The key of account `default`."""
    api_keys: dict[str, SecretStr] = {}
    """Further accounts: a JSON object of name and key."""
    account_limits: dict[str, AccountLimitSetting] = {}
    """What accounts may ask of the remote: a JSON object such as `{"default": {"per_second": 20, "open": 100}}`. An
    account that is not named may ask whatever there is to ask."""

    # Polling: the pause before the next poll is `first + (growth - 1) * age`: 2, 3.2, 5.1, 8.2 ... up to the ceiling.
    poll_first: Seconds = 2.0
    """The pause before the first poll. With the defaults the pauses are 2, 3.2, 5.1, 8.2 ... up to the ceiling."""
    poll_growth: float = Field(1.6, gt=1, le=10)
    """How much longer each pause is than the one before."""
    poll_ceiling: float = Field(600.0, gt=0, le=2 * HOUR)
    """The longest pause: at most two hours, a small part of the 24 hours for which the remote guarantees a result."""
    poll_jitter: float = Field(0.2, ge=0, le=0.5)
    """Each pause is lengthened or shortened by up to this share, so that the jobs of one batch spread out."""
    deadline: float = Field(72 * HOUR, gt=0, le=72 * HOUR)
    """Age at which a job is polled for the last time."""
    not_found_grace: float = Field(60.0, ge=0, le=HOUR)
    """Age up to which a 404 counts as replication lag of the remote and not as a loss."""
    max_body_bytes: Count = 50 * 1024 * 1024
    """Longest answer that is read from the remote."""

    # One call, one batch, one lease: each must end well before the next one does, or work is done twice.
    http_timeout: Seconds = 60.0
    """Longest call to the remote, and longest attempt of the self-hosted service at a target."""
    batch_timeout: Seconds = 90.0
    """Longest batch, all its calls together; must be above `http_timeout`."""
    lease: Seconds = 120.0
    """How long claimed work belongs to its claimant; then it is due again. Must be above `batch_timeout`."""
    visibility_timeout: Seconds = 300.0
    """On a Redis broker: what a dead worker held is handed out again after this. Must be above `lease`."""

    batch_size: Count = 200
    """Most jobs in one batch."""
    max_batches: Count = 32
    """Most batches of one step at once, in all workers together."""
    worker_threads: Count = 8
    """Threads of one worker process; two of them are always left for submissions and ticks, the others run batches."""

    # Crawls. The remote keeps its results for seven days.
    crawl_deadline: float = Field(7 * 24 * HOUR, gt=0, le=7 * 24 * HOUR)
    """Age at which a crawl ends with what is known."""
    crawl_grace: float = Field(600.0, ge=0, le=24 * HOUR)
    """How long to wait for events after the remote says that nothing is active, or after the summary."""
    crawl_max_depth: Count = 100
    """Greatest `max_depth` of a crawl, for what we submit and for what our own service takes."""
    crawl_max_budget: Count = 1_000_000
    """Most credits for one crawl, for what we submit and for what our own service takes."""

    results_high_entries: Count = 100_000
    """A results queue with this many envelopes is full: polls of its jobs wait."""
    results_high_bytes: Count = 1024**3
    """A results queue of this size is full: polls of its jobs wait."""
    keep_ended: float = Field(24 * HOUR, ge=600)
    """How long the record of an ended job or crawl is kept, so that a message delivered again changes nothing."""
    result_expires: float = Field(96 * HOUR, ge=72 * HOUR)
    """How long `AsyncResult(id)` knows how a job ended."""

    schedules_file: Path | None = None
    """The user's own recurring work: see `docs/how-to/schedules.md`."""
    heartbeat_file: Path | None = None
    """A file that a worker touches every two seconds while it makes progress, for its health check; unset: none."""
    log_format: str = Field("text", pattern="^(text|json)$")
    """Lines for people, or one JSON object a line for machines."""
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """INFO has one line for each batch, DEBUG one line for each job and step."""

    # The self-hosted service.
    service_api_keys: list[SecretStr] = []
    """Keys that the service accepts; empty: any key."""
    service_public_url: HttpBase = "http://127.0.0.1:8080"
    """The address that the service writes into `statusUrl`."""
    service_read_grace: float = Field(0.0, ge=0, le=72 * HOUR)
    """For how long a retrieved result can be read again; 0: it is gone at once."""
    service_retention: float = Field(72 * HOUR, gt=0, le=72 * HOUR)
    """For how long an ended job of the service is kept."""
    service_retry_for: float = Field(24 * HOUR, gt=0, le=24 * HOUR)
    """For how long a job of the service is tried again on 429, 5xx and connection trouble."""
    service_max_body_bytes: Count = 50 * 1024 * 1024
    """Longest body of a target, decompressed."""
    service_private_targets: bool = False
    """Whether targets and callbacks may be private or loopback addresses."""
    service_faults: bool = False
    """The fault dial, for tests only: see `docs/reference/faults.md`."""
    service_free_keys: list[SecretStr] = []
    """Accepted keys that are on the free plan: crawls of depth 1 at most, and no recurring ones."""
    service_per_host: Count = 8
    """Pages of crawls that are fetched from one host at once, in all workers together."""
    service_page_retry_for: float = Field(180.0, gt=0, le=HOUR)
    """For how long a page of a crawl is tried again on 429, 5xx and connection trouble; its level waits for it."""
    service_crawl_retention: float = Field(7 * 24 * HOUR, gt=0, le=7 * 24 * HOUR)
    """For how long an ended crawl of the service is kept."""

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        bounds = [
            ("http_timeout", self.http_timeout),
            ("batch_timeout", self.batch_timeout),
            ("lease", self.lease),
            ("visibility_timeout", self.visibility_timeout),
            # A message that is delivered again must find its job, even if that has ended meanwhile.
            ("keep_ended", self.keep_ended),
        ]
        for (shorter, low), (longer, high) in pairwise(bounds):
            if low >= high:
                raise ValueError(
                    f"LONGHAUL_{shorter.upper()} ({low:g}) must be below LONGHAUL_{longer.upper()} ({high:g})"
                )
        if self.public_url and not self.webhook_secret:
            raise ValueError(
                "LONGHAUL_PUBLIC_URL is set, so LONGHAUL_WEBHOOK_SECRET must be: a long random string of your own"
            )
        if self.api_key and "default" in self.api_keys:
            raise ValueError("LONGHAUL_API_KEYS names `default`, which is LONGHAUL_API_KEY's account")
        # A process without any key, such as a receiver, may share the settings of those with keys.
        if (keys := self.account_keys()) and (strangers := sorted(set(self.account_limits) - set(keys))):
            named = ", ".join(f"`{name}`" for name in strangers)
            raise ValueError(
                f"LONGHAUL_ACCOUNT_LIMITS names {named}, which has no key here: is it one of {', '.join(sorted(keys))}?"
            )
        return self

    @property
    def broker(self) -> str:
        """The broker's address."""
        return self.broker_url or self.redis_url

    def account_keys(self) -> dict[str, str]:
        """Key of each account by its name. Keys stay in this process: tasks carry names."""
        keys = {name: key.get_secret_value() for name, key in self.api_keys.items()}
        if self.api_key:
            keys["default"] = self.api_key.get_secret_value()
        return keys


def load() -> Settings:
    """The settings of this process; `SettingsError` names each variable that is wrong, or whose name is nearly that of
    a setting.
    """
    known = {f"LONGHAUL_{name.upper()}" for name in Settings.model_fields} | {"LONGHAUL_SECRETS_DIR"}
    for name in sorted(os.environ):
        upper = name.upper()
        if not upper.startswith("LONGHAUL_") or upper in known or INJECTED.search(upper):
            continue
        if near := get_close_matches(upper, known, 1, ALIKE):
            raise SettingsError(f"{name}: is no setting; is {near[0]} meant?")
    try:
        return Settings()
    except SourceError as error:
        # Its own words name the field only; the value, which may hold keys, is not in them.
        name = str(error).partition('"')[2].partition('"')[0]
        raise SettingsError(f"LONGHAUL_{name.upper()}: must be JSON") from None
    except ValidationError as error:
        raise SettingsError(
            "\n".join(_sentence(fault) for fault in error.errors(include_url=False, include_context=False))
        ) from None


def _sentence(fault: ErrorDetails) -> str:
    words = str(fault["msg"]).removeprefix("Value error, ")
    if not fault["loc"]:
        return words
    name, *inner = fault["loc"]
    return f"LONGHAUL_{str(name).upper()}{''.join(f'[{part}]' for part in inner)}: {words}"
