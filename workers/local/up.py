"""`longhaul up`: all parts on one machine, kept running until the user stops them."""

from __future__ import annotations

import signal
import threading
from contextlib import nullcontext
from pathlib import Path

from longhaul.errors import PreflightFailed
from longhaul.process.terminal import say
from workers.lifecycle import safe
from workers.local.embedded_server import find_server, serving
from workers.local.processes import PartFailed, Processes, to_stderr
from workers.local.stack import FLOWER_USER, Stack

CHECK_SECONDS = 1.0


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
    if folder:
        server = find_server()
        say("\n".join([*server.passed_over, f"Starting {server} and everything else ..."]))
    else:
        say("Starting ...")
    ledger = serving(local.ports.redis, folder) if folder else nullcontext(local.redis_url)
    try:
        with ledger, processes:
            processes.start(local.remote())
            processes.start(local.own())
            say(addresses(local))
            while not stop.wait(CHECK_SECONDS):
                processes.keep()
            say("Shutting down: what is in flight is finished first ...")
    except PartFailed as error:
        raise PreflightFailed(str(error)) from None
    say("Stopped.")


def addresses(local: Stack) -> str:
    """Where everything is, for the user; passwords in addresses are not shown."""
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
