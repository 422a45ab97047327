"""Read the compose file."""

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docker-compose.yml"


def interpolated(text: str) -> str:
    """Replace `${NAME:-default}` and `$$` as Compose does when no such variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text).replace("$$", "$")


def read() -> dict[str, Any]:
    return dict(YAML(typ="safe").load(interpolated(FILE.read_text())))
