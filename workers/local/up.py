"""`longhaul up`: the parts of one machine, kept running until they are told to stop."""

from __future__ import annotations

import signal
import threading
from contextlib import nullcontext
from pathlib import Path

from longhaul.errors import PreflightFailed
from longhaul.process.terminal import say
from workers.lifecycle import safe
from workers.local.embedded_server import serving
from workers.local.processes import PartFailed, Processes, to_stderr
from workers.local.stack import FLOWER_USER, Stack

LOOK_EVERY = 1.0


def run(local: Stack, folder: Path | None) -> None:
    """Run until SIGINT or SIGTERM, then finish what is in flight; at a second one, end quickly.

    With `folder`, the ledger is an embedded server that keeps its file there. Raises `PreflightFailed` where a part
    does not start.
    """
    stop = threading.Event()
    processes = Processes(to_stderr)

    def hear(*_: object) -> None:
        if stop.is_set():
            processes.abort_pending()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, hear)
    ledger = serving(local.ports.redis, folder) if folder else nullcontext(local.redis_url)
    say("Starting ...")
    try:
        with ledger, processes:
            processes.start(local.remote())
            processes.start(local.own())
            say(addresses(local))
            while not stop.wait(LOOK_EVERY):
                processes.keep()
            say("Stopping: what is in flight is finished first ...")
    except PartFailed as error:
        raise PreflightFailed(str(error)) from None
    say("Stopped.")


def addresses(local: Stack) -> str:
    """Where everything is; a password in an address is not shown."""
    broker = local.broker_url or local.redis_url
    if broker == local.redis_url:
        lines = ["", f"  ledger and broker  {safe(broker)}"]
    else:
        lines = ["", f"  ledger             {safe(local.redis_url)}", f"  broker             {safe(broker)}"]
    if local.self_hosted:
        lines.append(f"  service            {local.service_url}  (OpenAPI page: {local.service_url}/docs)")
    lines += [
        f"  webhook receiver   {local.receiver_url}",
        f"  Flower             {local.flower_url}  (user {FLOWER_USER}, password {local.password})",
        "",
        "  In another shell:  longhaul submit https://example.com/ && longhaul results --follow",
        "  Ctrl-C ends it all.",
        "",
    ]
    return "\n".join(lines)
