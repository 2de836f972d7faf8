"""Job files: a table of videos, CSV or JSON lines, whose columns are names of options."""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple, get_args, get_type_hints

from spvos_cli.errors import InputError
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.segment.options import SegmentOptions

SEVERAL = ("mask", "output", "box", "click")  # columns that may come several times, as the options may
TRUE, FALSE = {"true", "yes", "1"}, {"false", "no", "0"}
WITHOUT = {"threads"}  # options of a run, not of a video


class Row(NamedTuple):
    """A video to segment.

    Attributes:
        where: what a message calls it: FILE:LINE, or its input.
        values: of its options, by name.
    """

    where: str
    values: dict[str, Any]


class BadRow(NamedTuple):
    """Attributes: where it stands; reason, a line."""

    where: str
    reason: str


def read_job_file(path: Path) -> list[Row | BadRow]:
    """The rows of a job file, in order.

    Raises:
        InputError: there is no such file, it is no table, or a column is no option.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        found = getattr(error, "strerror", None) or "not a text in UTF-8"
        raise InputError(path, found=found, expected="a table .csv or .jsonl", fix="--jobs") from error
    readers = {".csv": _csv_lines, ".jsonl": _json_lines}
    if path.suffix.lower() not in readers:
        found = f"the suffix {path.suffix or 'none'}"
        raise InputError(path, found=found, expected=".csv or .jsonl", fix="--jobs")
    rows: list[Row | BadRow] = []
    for number, line in readers[path.suffix.lower()](path, text):
        where = f"{path}:{number}"
        try:
            if isinstance(line, str):
                raise ValueError(line)
            rows.append(Row(where, read_values(line)))
        except ValueError as error:
            rows.append(BadRow(where, str(error)))
    if not rows:
        raise InputError(path, found="no row", expected="a row for each video", fix="--jobs")
    return rows


def rows_of(jobs: Iterable[Mapping[str, Any]]) -> list[Row | BadRow]:
    """The same of dictionaries; each is called by its input."""
    rows: list[Row | BadRow] = []
    for number, given in enumerate(jobs, 1):
        where = str(given.get("input") or f"job {number}")
        try:
            rows.append(Row(where, read_values(given)))
        except ValueError as error:
            rows.append(BadRow(where, str(error)))
    return rows


def read_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options by name, from texts or JSON's types; what is empty is not given.

    Raises:
        ValueError: one is of another type, or there is no option of a name.
    """
    kinds = _kinds()
    values = {}
    for name, value in given.items():
        if name not in kinds:
            raise ValueError(f"{name}: no option of a video; expected {_names_like(name)}")
        if value is None or value in ("", []):
            continue
        if name in SEVERAL:
            parts = value if isinstance(value, list | tuple) else [value]
            values[name] = [_value(name, part, (str, Path)) for part in parts]
        else:
            values[name] = _value(name, value, kinds[name])
    return values


def _names_like(name: str) -> str:
    """What may have been meant by a name that is no option's."""
    close = difflib.get_close_matches(name, _kinds(), 1)
    return f"perhaps {close[0]}" if close else f"a name such as {', '.join(list(_kinds())[:9])}"


def _value(name: str, value: Any, kinds: tuple[type, ...]) -> Any:
    """As one of the kinds, which a text is read as where none of them is a text."""
    if isinstance(value, str) and str in kinds:
        return value.strip()
    if isinstance(value, str):
        word = value.strip().lower()
        if bool in kinds and word in TRUE | FALSE:
            return word in TRUE
        for kind in {int, float} & set(kinds):
            try:
                return kind(word)
            except ValueError:
                continue
    elif isinstance(value, bool):
        if bool in kinds:
            return value
    elif isinstance(value, int) and float in kinds:
        return float(value)
    elif isinstance(value, kinds):
        return value
    expected = "true or false" if bool in kinds else " or ".join(kind.__name__ for kind in kinds)
    raise ValueError(f"{name} {value!r}: expected {expected}")


@cache
def _kinds() -> dict[str, tuple[type, ...]]:
    """The types that each column may have, None left out."""
    hints = get_type_hints(SegmentOptions) | get_type_hints(EngineOptions)
    kinds = {name: tuple(get_args(hint) or (hint,)) for name, hint in hints.items() if name not in WITHOUT}
    own = dict.fromkeys(("input", "mask", "output", "box", "click"), (str, Path))
    return own | {
        name: tuple(kind for kind in each if kind is not NoneType)
        for name, each in kinds.items()
        if name not in own
    }


def _csv_lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Numbers of lines with their cells by column, or with what is wrong."""
    header = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), strict=True)
    try:
        columns = [_column(cell) for cell in next(reader, [])]
        _check_columns(path, columns)
        for cells in reader:
            if len(cells) > len(columns):
                yield reader.line_num, f"{len(cells)} cells; expected {len(columns)}, as the first line has"
            elif any(cell.strip() for cell in cells):
                yield reader.line_num, _by_column(columns, cells)
    except csv.Error as error:
        found = f"line {reader.line_num} is no CSV ({error})"
        raise InputError(path, found=found, expected="cells with commas between", fix="--jobs") from error


def _by_column(columns: list[str], cells: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for column, cell in zip(columns, cells, strict=False):
        if column in SEVERAL:
            values.setdefault(column, []).extend([cell] if cell.strip() else [])
        else:
            values[column] = cell
    return values


def _check_columns(path: Path, columns: list[str]) -> None:
    for column in columns:
        if column not in _kinds():
            found, expected = "no option of a video", _names_like(column)
            raise InputError(f"{path}, column {column!r}", found=found, expected=expected, fix="--jobs")
        if columns.count(column) > 1 and column not in SEVERAL:
            found, expected = "it comes twice", f"one column; {', '.join(SEVERAL)} may come several times"
            raise InputError(f"{path}, column {column}", found=found, expected=expected, fix="--jobs")
    if "input" not in columns:
        found, expected = f"columns {', '.join(columns) or 'none'}", "a column input"
        raise InputError(path, found=found, expected=expected, fix="the first line names the columns")


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Likewise, of JSON lines."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError as error:
            yield number, f"no JSON ({error})"
            continue
        if not isinstance(found, dict):
            yield number, "no object; expected {...} with the names of options"
        else:
            yield number, {_column(name): value for name, value in found.items()}


def _column(name: str) -> str:
    """The name of an option as Python has it."""
    return name.strip().lower().lstrip("-").replace("-", "_")
