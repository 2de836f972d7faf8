"""What `profile`'s options say, from text: sizes, pairs of methods, densities, lists of videos."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from spvos_cli.errors import InputError
from spvos_cli.profiling.cost import Video

# The 30 sequences of DAVIS-2017 val, over which the paper's Table IV averages: facts from its own lists.
DAVIS_2017_VAL = Path(__file__).with_name("davis2017_val.csv")
VARIANTS = ("dense", "static", "residual", "triple", "eager")
VARIED = ("objects", "dtype", "engine", "region")
LEAST_SIDE = 16  # pixels: one cell of the coarsest map
COLUMNS = "a CSV file with the columns frames, objects, width, height, whole numbers in each row"


def parse_comparison(text: str | None) -> tuple[str, ...]:
    """ "dense,triple" -> names; none of nothing.

    Raises:
        InputError: not two different known names.
    """
    names = tuple(text.split(",")) if text else ()
    if names and (len(set(names)) != 2 or len(names) != 2 or not set(names) <= set(VARIANTS)):
        raise InputError(
            f"--compare {text}",
            found="no such pair",
            expected=f"two of {', '.join(VARIANTS)}",
            fix="--compare dense,triple",
        )
    return names


def parse_vary(text: str | None) -> tuple[str, ...]:
    """ "dtype,region" -> names; none of nothing.

    Raises:
        InputError: not different known names.
    """
    names = tuple(text.split(",")) if text else ()
    if len(set(names)) != len(names) or not set(names) <= set(VARIED):
        expected = f"some of {', '.join(VARIED)}"
        raise InputError(f"--vary {text}", found="no such choice", expected=expected, fix="--vary dtype")
    return names


def parse_density(text: str | None) -> dict[str, float]:
    """ "D=0.0285,Q=0.348" -> by letter.

    Raises:
        InputError: not of that form, not shares, or a letter twice.
    """
    density: dict[str, float] = {}
    for part in text.split(",") if text else ():
        letter, _, value = part.partition("=")
        try:
            share = float(value)
        except ValueError:
            share = -1.0
        if letter not in ("Q", "D", "M") or letter in density or not 0 <= share <= 1:
            raise InputError(
                f"--density {text}",
                found=repr(part),
                expected="shares in [0, 1], one by module",
                fix="--density D=0.03,Q=0.35",
            )
        density[letter] = share
    return density


def parse_frame(text: str) -> tuple[int, int]:
    """ "854x480" -> width, height.

    Raises:
        InputError: not of that form, or a side below 16.
    """
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= LEAST_SIDE):
        raise InputError(
            f"--frame {text}",
            found="no frame size",
            expected=f"WIDTHxHEIGHT in pixels, {LEAST_SIDE} at least",
            fix="--frame 854x480",
        )
    return int(width), int(height)


def read_video_list(path: Path) -> list[Video]:
    """A CSV with the columns frames, objects, width, height; other columns are left alone.

    Raises:
        InputError: it is missing, no text, empty, lacks a column, or a row has something else there.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise InputError(path, found=found, expected=COLUMNS, fix="--video-list CSV")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in Video._fields if name not in (reader.fieldnames or ())]
            rows = [] if missing else [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        found = f"not readable as CSV ({error})"
        raise InputError(path, found=found, expected=COLUMNS, fix="--video-list CSV") from error
    if missing or not rows:
        found = f"no column {missing[0]}" if missing else "no video in it"
        raise InputError(path, found=found, expected=COLUMNS, fix="--video-list CSV")
    return [_video(path, line, row) for line, row in rows]


def _video(path: Path, line: int, row: Mapping[str, str | None]) -> Video:
    values = {}
    for name in Video._fields:
        text, least = (row[name] or "").strip(), LEAST_SIDE if name in ("width", "height") else 1
        if not (text.isascii() and text.isdecimal() and int(text) >= least):
            found, expected = f"line {line} has {text!r} for {name}", f"a whole number from {least} on"
            raise InputError(path, found=found, expected=expected, fix="--video-list CSV")
        values[name] = int(text)
    return Video(**values)
