"""Which of the given masks can be used at all: those of frames that come. What can be known of this is said
before anything is written."""

from __future__ import annotations

from collections.abc import Callable

from spvos_cli.errors import InputError
from spvos_cli.video.annotations import Annotations
from spvos_cli.video.frames import Source
from spvos_cli.video.moments import Moment, Range
from spvos_cli.video.prompted import Annotation


def check_reach(
    annotations: Annotations, chosen: Range, source: Source, again: Callable[[], Source] | None
) -> None:
    """Compares what is given with the frames that are chosen.

    Args:
        source: as far as it says how many frames it has.
        again: opens it once more, to count frames where it seems to have too few; None for a stream.

    Raises:
        InputError: a mask is of a frame that is passed over, or all are beyond the end.
    """
    for given in annotations.given:
        _check_passed_over(given, chosen)
    beyond = [given for given in annotations.given if _is_beyond(given.moment, chosen, source)]
    if len(beyond) < len(annotations.given):
        return
    moments = [given.moment for given in beyond if not _is_ended(given.moment, chosen)]
    if moments and (again is None or find_frames(moments, again)):
        return  # only the end of a stream shows what it holds, and what a file says of itself may be wrong
    raise beyond_the_end(beyond[0], source.frames)


def settle_times(annotations: Annotations, chosen: Range, again: Callable[[], Source]) -> Range:
    """Puts frame numbers in the place of times, for a pass that must know them before it begins.

    Returns:
        The range, with a number as its start.

    Raises:
        InputError: no frame is at or after the start, or after any mask.
    """
    moments = [chosen.start, *(given.moment for given in annotations.given)]
    times = [moment for moment in moments if moment.is_time]
    if not times:
        return chosen
    found = {moment: moment for moment in moments if not moment.is_time} | find_frames(times, again)
    if chosen.start not in found:
        expected = "an earlier one"
        raise InputError(
            f"--start {chosen.start}", found="after the last frame", expected=expected, fix="--start"
        )
    annotations.move(found)
    if all(given.moment.is_time for given in annotations.given):
        raise beyond_the_end(annotations.given[0])
    return chosen._replace(start=found[chosen.start])


def find_frames(moments: list[Moment], again: Callable[[], Source]) -> dict[Moment, Moment]:
    """The numbers of the frames at moments, as far as the source reaches; reads it up to there."""
    found: dict[Moment, Moment] = {}
    waiting, source = set(moments), again()
    try:
        for frame in source:
            found |= {moment: Moment(frame.index) for moment in waiting if moment.reached(frame)}
            waiting -= set(found)
            if not waiting:
                break
    finally:
        source.close()
    return found


def beyond_the_end(given: Annotation, frames: int | None = None) -> InputError:
    """The error where no mask is of a frame that comes, of as many as there are."""
    found = f"frame {given.moment} is beyond the end"
    expected = "a frame of the video" if frames is None else f"a frame of the video, which has {frames}"
    return InputError(given.name, found=found, expected=expected, fix="--mask FRAME:MASK")


def _is_beyond(moment: Moment, chosen: Range, source: Source) -> bool:
    """Whether a moment is after the end that was chosen, or that the source tells of."""
    if _is_ended(moment, chosen):
        return True
    if source.frames is None:
        return False
    if moment.frame is not None:
        return moment.frame >= source.frames
    return moment.order * source.rate >= source.frames


def _is_ended(moment: Moment, chosen: Range) -> bool:
    end = chosen.end
    return end is not None and end.is_time == moment.is_time and moment.order >= end.order


def _check_passed_over(given: Annotation, chosen: Range) -> None:
    number, start = given.moment.frame, chosen.start.frame
    if number is None or start is None or _is_ended(given.moment, chosen):
        return
    if number < start or (number - start) % chosen.stride:
        found, expected = (
            f"frame {given.moment} is passed over",
            "one of the frames that --start, --end and --stride choose",
        )
        raise InputError(given.name, found=found, expected=expected, fix="--mask FRAME:MASK")
