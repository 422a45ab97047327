"""The compose file as the tests read it."""

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docker-compose.yml"


def interpolated(text: str) -> str:
    """What Compose makes of `${NAME:-default}` and `$$` where no such variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text).replace("$$", "$")


def read() -> dict[str, Any]:
    return dict(YAML(typ="safe").load(interpolated(FILE.read_text())))
