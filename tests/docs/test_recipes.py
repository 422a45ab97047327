"""The backup recipe works as it stands on its page, without a `redis-cli`."""

from __future__ import annotations

import re
from pathlib import Path

from redis import Redis

from tests.docs.conftest import Up
from tests.docs.reader import blocks
from tests.installation import ROOT

PAGE = (ROOT / "docs" / "how-to" / "backups-and-upgrades.md").read_text()


def test_the_recipe_copies_the_ledger_and_leaves_its_settings_as_they_were(up: Up, tmp_path: Path) -> None:
    (recipe,) = [text for _, text in blocks(PAGE) if text.startswith("cli=redis-cli\n")]
    found = re.search(r'`(cli="[^"`]*redis_cli\.py")`', PAGE)
    assert found
    redis = Redis.from_url(f"redis://127.0.0.1:{up.ports.redis}/0", decode_responses=True)
    redis.config_set("auto-aof-rewrite-percentage", 77)
    redis.set("of-the-test", "x" * 50)
    with up.reader(tmp_path) as reader:
        (tmp_path / ".longhaul").symlink_to(up.data)
        reader.run(recipe.replace("cli=redis-cli", found[1]))
    (copy,) = tmp_path.glob("backup-*")
    assert any(b"of-the-test" in file.read_bytes() for file in copy.rglob("*.aof"))
    assert redis.config_get("auto-aof-rewrite-percentage")["auto-aof-rewrite-percentage"] == "77"
    redis.close()
