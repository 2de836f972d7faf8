"""What objects are called: objects.json in a folder of masks, as `spvos annotate` leaves it."""

from __future__ import annotations

import json
from pathlib import Path

NAME = "objects.json"


def names_in(folder: Path) -> dict[int, str]:
    """By id; nothing where there is no such file, or another."""
    try:
        record = json.loads((folder / NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    facts = record.items() if isinstance(record, dict) else ()
    names = {i: each.get("name") for i, each in facts if i.isdecimal() and isinstance(each, dict)}
    return {int(i): name for i, name in names.items() if isinstance(name, str) and name}
