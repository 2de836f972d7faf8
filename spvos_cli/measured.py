"""What was measured on this user's cards, for later runs: a file for each kind, with a table for each
card."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from spvos_cli.files import atomic_path

Tables = Mapping[str, Mapping[str, float]]

log = logging.getLogger(__name__)


def measured_file(kind: str) -> Path:
    """Where it is kept."""
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "spvos" / f"{kind}.json"


def read_measured(kind: str, card: str) -> Tables:
    """What was measured on a card of this name; nothing where nothing was, or the file cannot be used."""
    path = measured_file(kind)
    try:
        tables = json.loads(path.read_text())[card]
        return {name: {key: float(x) for key, x in tables[name].items()} for name in tables}
    except (FileNotFoundError, KeyError):
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("%s cannot be used (%s); remove it and run spvos profile --tune", path, error)
        return {}


def keep_measured(kind: str, card: str, tables: Tables) -> Path:
    """Keeps what was measured on a card, beside that of other cards; returns the file."""
    path = measured_file(kind)
    try:
        cards = json.loads(path.read_text())
    except (OSError, ValueError):
        cards = {}
    cards = {**(cards if isinstance(cards, dict) else {}), card: tables}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path, shared=True) as part:
        part.write_text(json.dumps(cards, indent=1))
    return path
