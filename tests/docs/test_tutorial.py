"""The tutorial does what it says: its programs and commands, in their order, end with 1,000 products in a database."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from redis import Redis

from tests.conftest import free_port
from tests.docs.conftest import Up
from tests.docs.reader import Reader, blocks
from tests.installation import ROOT, until

PAGE = (ROOT / "docs" / "tutorial.md").read_text()
# Terminals of their own: the first is what `up` has started.
STACK, SHOP = "make up\n", ".venv/bin/python examples/shop.py\n"


def saved_all(reader: Reader, commands: str) -> str:
    """What the program that saves products says, once it has all of them."""
    output = reader.run(commands)
    return output if output.endswith("1000 products in shop.db\n") else ""


@pytest.mark.timeout(240)
def test_the_commands_of_the_tutorial_bring_1000_products_into_a_database(up: Up, tmp_path: Path) -> None:
    port = free_port()
    reader = up.reader(tmp_path)
    reader.addresses = {**reader.addresses, "127.0.0.1:8000": f"127.0.0.1:{port}"}
    said: list[str] = []
    with reader:
        for language, text in blocks(PAGE):
            match language, text:
                case "sh", command if command == STACK:
                    pass
                case "sh", command if command == SHOP:
                    shop = reader.keep_running(f"{command.strip()} {port}")
                    assert shop.stdout
                    assert "The shop is open" in shop.stdout.readline()
                case "sh", commands if "save_products" in commands:
                    # On a machine with other work the pages may pause for longer than the reader waits: it goes on.
                    said.append(until(partial(saved_all, reader, commands), "1,000 products", 90))
                case "sh", commands:
                    said.append(reader.run(commands))
                case "python", program:
                    reader.save(program)
                case _:
                    assert language == "text"
    submitted, first, enqueued, saved, proof = said
    assert json.loads(submitted.splitlines()[0])["url"].endswith("/product/7")
    assert "<h1>Lamp 7</h1>" in first
    assert enqueued.startswith("1000 jobs submitted")
    assert saved == "1000 products in shop.db\n"
    assert len(proof.splitlines()) == 3 + 2, proof
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        rows = database.execute("SELECT number, name, price FROM product ORDER BY number").fetchall()
    assert [number for number, _, _ in rows] == list(range(1, 1001))
    assert rows[6] == (7, "Lamp 7", 64.99)


@pytest.mark.timeout(180)
def test_a_reader_that_was_stopped_goes_on_where_it_was(up: Up, tmp_path: Path) -> None:
    """Step 6 of the tutorial: what a reader has read and not acknowledged comes again."""
    programs = {text.split("\n", 1)[0]: text for language, text in blocks(PAGE) if language == "python"}
    redis = Redis.from_url(f"redis://127.0.0.1:{up.ports.redis}/0", decode_responses=True, protocol=2)
    stream = "longhaul:results:again"
    for number in range(1, 201):
        document = {"id": f"job.{number}", "status": "finished", "statusCode": 200, "meta": {"product": number}}
        document["body"] = f'<h1>Rug {number}</h1><p class="price">{number}.00 EUR</p>'
        redis.xadd(stream, {"envelope": json.dumps(document)})
    redis.xgroup_create(stream, "shop-database", id="0")
    redis.xreadgroup("shop-database", "reader-1", {stream: ">"}, count=150)
    with up.reader(tmp_path) as reader:
        program = reader.save(programs["# save_products.py"].replace("results:shop", "results:again"))
        assert reader.run(f".venv/bin/python {program.name}").splitlines()[-1] == "200 products in shop.db"
    until(lambda: redis.xlen(stream) == 0, "an empty queue", 5)
    redis.close()
