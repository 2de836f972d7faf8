"""The objects of a project, and how it was left; small files of JSON."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

from spvos_cli.annotate.masks import MOST_ID
from spvos_cli.annotate.worker import Refused
from spvos_cli.files import atomic_path

LONGEST_NAME = 100  # characters


@dataclasses.dataclass(frozen=True)
class ObjectFacts:
    """What is kept of an object beside its masks.

    Attributes:
        locked: its pixels are not taken by others, and it is not changed.
        visible: whether the page shows it.
    """

    name: str = ""
    locked: bool = False
    visible: bool = True

    @classmethod
    def of_record(cls, record: Any) -> ObjectFacts:
        """From JSON that somebody sent.

        Raises:
            Refused: it is something else.
        """
        if not isinstance(record, dict):
            raise Refused("an object has a name, and is locked and visible or not")
        name, locked, visible = (record.get(field.name, field.default) for field in dataclasses.fields(cls))
        if not isinstance(name, str) or not isinstance(locked, bool) or not isinstance(visible, bool):
            raise Refused("an object has a name, and is locked and visible or not")
        return cls("".join(c for c in name if c.isprintable())[:LONGEST_NAME], locked, visible)


@dataclasses.dataclass(frozen=True)
class PageView:
    """How a project was left.

    Attributes:
        frame: that was looked at.
        start, end: the frames that are segmented: from start, before end; None: all.
        backward: whether objects are followed to the start of the video, too.
    """

    frame: int = 0
    start: int | None = None
    end: int | None = None
    backward: bool = False

    @classmethod
    def of_record(cls, record: Any, length: int) -> PageView:
        """From JSON that somebody sent, of a video of some length.

        Raises:
            Refused: it is something else, or chooses no frames.
        """
        if not isinstance(record, dict):
            raise Refused("a view has a frame, start and end")
        frame, start, end, backward = (
            record.get(field.name, field.default) for field in dataclasses.fields(cls)
        )
        for number in (frame, *(n for n in (start, end) if n is not None)):
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= length:
                raise Refused(f"no frame {number!r}; expected a number up to {length - 1}")
        start, end = start or None, None if end == length else end
        if end is not None and end <= (start or 0):
            raise Refused("Out lies before In: no frame is left")
        return cls(min(frame, length - 1), start, end, backward is True)


def load_objects(path: Path) -> dict[int, ObjectFacts]:
    """By id; nothing where there is no such file."""
    found = {}
    for i, facts in load_record(path).items():
        if i.isdecimal() and 1 <= int(i) <= MOST_ID:
            with contextlib.suppress(Refused):  # somebody has edited the file
                found[int(i)] = ObjectFacts.of_record(facts)
    return found


def load_record(path: Path) -> dict[str, Any]:
    """A file of JSON; nothing where there is none, or one that is damaged."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def save_record(path: Path, record: Any) -> None:
    """Replaces a file of JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part:
        part.write_text(json.dumps(record, indent=1) + "\n")
