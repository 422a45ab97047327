"""Logs on stderr, one line for each event: `key=value` for people or JSON for machines. Lines of Celery and uvicorn get
the same format.
"""

from __future__ import annotations

import logging
import sys

import structlog

LEAST = {
    # Celery's DEBUG lines quote whole messages, which may hold secrets: they stay off at every level.
    "celery": logging.INFO,
    "kombu": logging.WARNING,
    # A line for each message and one for each task would be two lines for each job.
    "celery.worker.strategy": logging.WARNING,
    "celery.app.trace": logging.WARNING,
    "celery.beat": logging.WARNING,
    "aiohttp": logging.WARNING,
    "urllib3": logging.INFO,
    "uvicorn.access": logging.WARNING,
}


def set_up(level: str = "INFO", style: str = "text") -> None:
    """Send every log line of this process to stderr; `style` is `text` or `json`."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], drop_missing=True)
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.processors.format_exc_info],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, least in LEAST.items():
        logging.getLogger(name).setLevel(max(least, root.level))
