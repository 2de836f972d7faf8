"""Which frame a number or a file's name means, where frames or masks are files that other tools named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from spvos_cli.errors import InputError
from spvos_cli.video.frames import Note, Source

BY_NAME = "masks named as the frames are, or by number"
LABEL_STUDIO = re.compile(r"task-(\d+)-annotation-\d+-by-\S*?-tag-(.+)-(\d+)")
OBJECT = re.compile(r"(?i)^(.*\d)[ _.-]+(?:obj|object|id|inst|instance)[ _.-]*(\d+)$")
LOSSY = {".jpg", ".jpeg", ".jfif", ".webp", ".heic", ".heif", ".avif"}
_WORD = r"(?:mask|masks|matte|alpha|label|labels|seg|segmentation|gt|roto)"
WITH_WORD = re.compile(rf"(?i)(.+?)[ _.-]*{_WORD}|{_WORD}[ _.-]*(.+)")
WORD_ALONE = re.compile(rf"(?i)(?:first[ _.-]*)?{_WORD}(?:[ _.-]*first)?|first")


def numbers_of(names: Sequence[str]) -> list[int] | None:
    """The numbers that tell names (without suffix) apart: the last group of digits that differs in all of
    them; None where there is none."""
    groups = [re.findall(r"\d+", name) for name in names]
    for place in range(1, min(map(len, groups), default=0) + 1):
        found = [int(group[-place]) for group in groups]
        if len(set(found)) == len(found):
            return found
    return None


def number_in(name: str) -> int | None:
    """The last number in a name."""
    found = re.findall(r"\d+", name)
    return int(found[-1]) if found else None


def frames_of(files: Sequence[Path], source: Source, folder: Path, note: Note) -> list[int]:
    """The frame that each mask belongs to: by its whole name, else by a name that it begins with, else by its
    number.

    Masks numbered from 1 where frames are numbered from 0 are taken in their order, and that is said.

    Raises:
        InputError: a mask belongs to no frame.
    """
    names = [file.stem for file in files]
    found = [source.index_of(name) for name in names]
    if None in found:
        found = [source.index_of(_frame_in(name, source)) for name in names]
    if None in found:
        numbers = _numbers(names)
        found = _in_order(numbers, source, folder, note) or [
            None if number is None else source.index_of_number(number) for number in numbers
        ]
    for file, index in zip(files, found, strict=True):
        if index is None:
            raise InputError(
                folder, found=f"{file.name} belongs to no frame", expected=BY_NAME, fix="--mask FRAME:MASK"
            )
    return [index for index in found if index is not None]


def label_in(name: str, source: Source) -> str | None:
    """What a name says about the object in it: as Label Studio writes it, as in 00012_obj3, or as in 00012_3
    where a frame is called 00012."""
    if match := LABEL_STUDIO.fullmatch(name):
        return f"{match[2]}-{match[3]}"
    if match := OBJECT.fullmatch(name):
        return match[2]
    rest = name.removeprefix(_frame_in(name, source)).lstrip(" _.-")
    return rest if rest != name and rest.isdecimal() else None


def split_frames(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """Frames and the masks among them: the same names with another suffix, with "mask" or an object's number
    at an end; or "mask" alone beside others.

    Where all names of one suffix come with another, too, the frames are those of the lossy format, as
    photographs are.

    Raises:
        InputError: two kinds of images have the same names, and either could be the frames.
    """
    stems = {file.stem for file in files}
    masks = [file for file in files if _is_mask(file.stem, stems)]
    if len(masks) == len(files):
        return files, []
    files = [file for file in files if file not in masks]
    kinds: dict[str, list[Path]] = {}
    for file in files:
        kinds.setdefault(file.suffix.lower(), []).append(file)
    if len(kinds) != 2:
        return files, masks
    photos, others = sorted(kinds, key=lambda suffix: suffix not in LOSSY)
    twins = {file.stem for file in kinds[photos]}
    if not all(file.stem in twins for file in kinds[others]):
        return files, masks
    if photos not in LOSSY or others in LOSSY:
        raise InputError(
            files[0].parent,
            found=f"images of the same names with the suffixes {', '.join(sorted(kinds))}",
            expected="frames alone",
            fix=f"a glob in quotes, such as '{files[0].parent}/*{min(kinds)}'",
        )
    return kinds[photos], sorted(masks + kinds[others])


def _frame_in(name: str, source: Source) -> str:
    """The longest part at the beginning of a mask's name that a frame bears; the name itself where none
    does."""
    ends = [match.start() for match in re.finditer(r"[\W_]+", name)]
    starts = [name[:end] for end in reversed(ends) if source.index_of(name[:end]) is not None]
    return starts[0] if starts else name


def _is_mask(stem: str, stems: set[str]) -> bool:
    """Whether a name among others is that of one of them, with what a mask's has more."""
    for pattern in (WITH_WORD, OBJECT):
        if (match := pattern.fullmatch(stem)) and stems & set(match.groups()):
            return True
    return WORD_ALONE.fullmatch(stem) is not None


def _numbers(names: Sequence[str]) -> Sequence[int | None]:
    """Of Label Studio's names the task; else as `numbers_of`, else each name's last number; without those of
    objects."""
    tasks = [LABEL_STUDIO.fullmatch(name) for name in names]
    if all(tasks):
        return [int(task[1]) for task in tasks if task]
    objects = [OBJECT.fullmatch(name) for name in names]
    names = [match[1] if match else name for match, name in zip(objects, names, strict=True)]
    return numbers_of(names) or [number_in(name) for name in names]


def _in_order(
    numbers: Sequence[int | None], source: Source, folder: Path, note: Note
) -> list[int | None] | None:
    """Frames for masks whose numbers begin elsewhere than the frames' do; None where they do not.

    There is a mask for each frame, or masks count from 1 where frames count from 0 and the last lies behind
    the end.
    """
    known = sorted({number for number in numbers if number is not None})
    first = source.number(0)
    if None in numbers or len(known) < 2 or known[0] == first:
        return None
    count = source.count()
    if known[0] == 0:
        note(f"{folder}: masks count from 0, frames from {first}: masks are taken by their place")
        return [n if n is not None and n < (count or n + 1) else None for n in numbers]
    each = count == len(known) == known[-1] - known[0] + 1
    one_late = known[0] > first and count is not None and known[-1] == source.number(count - 1) + 1
    if not each and not one_late:
        return None
    shift = known[0] - first if each else 1
    frames = [None if number is None else source.index_of_number(number - shift) for number in numbers]
    if None in frames:
        return None
    last = source.number((count or 1) - 1)
    numbered = f"masks are numbered {known[0]} to {known[-1]}, frames {first} to {last}: off by {abs(shift)}"
    note(f"{folder}: {numbered}, and taken for the frames in their order")
    return frames
