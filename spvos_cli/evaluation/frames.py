"""Which predicted frame belongs to which true one: by name, by number or by place, or a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from spvos_cli.errors import InputError
from spvos_cli.evaluation.label_maps import LabelMaps
from spvos_cli.video.numbers import number_in, numbers_of

BY_NAME = "the names of the true masks' frames"


class FrameMatch(NamedTuple):
    """Attributes: predicted frames by true ones; a remark on what was not as it should be, if anything."""

    frames: dict[str, str]
    remark: str | None = None


def match_frames(truth: LabelMaps, predicted: LabelMaps) -> FrameMatch:
    """Frames of the same name; where no name is the same, as many frames of the one as of the other in their
    order, else those of the same number.

    As many frames whose numbers all differ by the same belong together in their order, and a remark says so.
    The frames of a label video have no names: it needs as many as there are true ones, or reaches to the last
    true number.

    Raises:
        InputError: nothing belongs together, or what does cannot be known.
    """
    true, found = truth.frames, predicted.frames
    offset, unnamed = _offset(true, found), truth.unnamed or predicted.unnamed
    if len(true) == len(found) and (offset or unnamed or not set(true) & set(found)):
        return FrameMatch(dict(zip(true, found, strict=True)), _offset_remark(true, found, offset))
    if unnamed:
        _check_length(truth, predicted)
    known = set(found)
    frames = {frame: frame for frame in true if frame in known} or _by_number(true, found)
    if not frames:
        listed = f"frames {_ends(found)}"
        raise InputError(
            predicted.name, found=listed, expected=f"{BY_NAME}, {_ends(true)}", fix="rename them"
        )
    return FrameMatch(frames)


def check_first_frame(truth: LabelMaps, predicted: LabelMaps, frames: dict[str, str]) -> None:
    """Looks for names that are shifted where that cannot be seen from the names: the first predicted mask,
    whose name is a later one, is the first true mask to the last pixel.

    Raises:
        InputError: it is.
    """
    first, other = truth.frames[0], predicted.frames[0]
    number, later = number_in(first), number_in(other)
    if first in frames or number is None or later is None or later <= number:
        return
    mask, copy = truth.read(first) > 0, predicted.read(other) > 0
    if mask.any() and mask.shape == copy.shape and (mask == copy).all():
        raise InputError(
            f"{predicted.name}, frame {other}",
            found=f"the true mask of frame {first}, so that names are shifted",
            expected=BY_NAME,
            fix="rename the masks",
        )


def _offset(true: Sequence[str], found: Sequence[str]) -> int | None:
    """By how much all predicted numbers are too high, in their order; None where they differ otherwise."""
    true_numbers, numbers = numbers_of(true), numbers_of(found)
    if len(true) != len(found) or true_numbers is None or numbers is None:
        return None
    offsets = {number - other for number, other in zip(numbers, true_numbers, strict=True)}
    return offsets.pop() if len(offsets) == 1 else None


def _offset_remark(true: Sequence[str], found: Sequence[str], offset: int | None) -> str | None:
    if not offset or not set(true) & set(found):
        return None
    side = "higher" if offset > 0 else "lower"
    return (
        f"predicted frames are numbered {abs(offset)} {side} than the true ones ({found[0]} for {true[0]}): "
        "matched in their order"
    )


def _check_length(truth: LabelMaps, predicted: LabelMaps) -> None:
    """A label video stands for frames 0, 1, 2, ... only where it reaches as far as the other side's names."""
    for video, other, whose in ((predicted, truth, "true"), (truth, predicted, "predicted")):
        if video.unnamed and len(video.frames) != len(other.frames):
            numbers = None if other.unnamed else numbers_of(other.frames)
            if numbers is None or max(numbers) >= len(video.frames):
                raise InputError(
                    video.name,
                    found=f"a label video of {len(video.frames)} frames, which have no names",
                    expected=f"{len(other.frames)}, as of {whose} masks, or all up to the last of these",
                    fix="a folder of masks, whose names tell their frames",
                )


def _by_number(true: Sequence[str], found: Sequence[str]) -> dict[str, str]:
    true_numbers, numbers = numbers_of(true), numbers_of(found)
    if true_numbers is None or numbers is None:
        return {}
    by_number = dict(zip(numbers, found, strict=True))
    pairs = zip(true, true_numbers, strict=True)
    return {frame: by_number[number] for frame, number in pairs if number in by_number}


def _ends(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]} ({len(names)} of them)"
