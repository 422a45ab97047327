"""The `longhaul` command: the group that its commands belong to. What they have in common is said in `cli`."""

from __future__ import annotations

import click

from cli.books import books
from cli.cancel import cancel
from cli.crawl.command import crawl
from cli.doctor import doctor
from cli.results import results
from cli.retry import retry
from cli.status import status
from cli.submit import submit
from cli.up import up
from longhaul.process.logs import set_up


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="longhaul")
def main() -> None:
    """Bring scraping jobs and crawls home: submit them, wait for as long as it takes, read each result once."""
    set_up("WARNING")


for command in (up, submit, crawl, results, status, cancel, retry, books, doctor):
    main.add_command(command)

if __name__ == "__main__":
    main()
