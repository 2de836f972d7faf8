"""Boxes and clicks among what users give: which object each is about, and the masks that come of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spvos_cli.errors import InputError
from spvos_cli.video.boxes import parse_box
from spvos_cli.video.frames import Note, Source
from spvos_cli.video.masks import Mask
from spvos_cli.video.moments import Moment, split_moment
from spvos_cli.video.small_ids import MOST_OBJECTS
from spvos_cli.video.suggest import Prompts, Suggest, parse_click, suggest_in_turn


@dataclasses.dataclass(eq=False)
class Annotation:
    """A mask, or a box and clicks.

    Attributes:
        moment: the frame that it is of.
        name: for messages.
        read: gives a mask; None for a box and clicks.
        prompts: a box and clicks; None for a mask.
        file: that a mask is in.
        label: what a mask's file name says about its object.
        one_of_many: whether its file or folder has masks of other frames, too.
        ids: the objects that it gives, none where it says that no object is there; renamed: a mask's own id
            -> the object.
    """

    moment: Moment
    name: str
    read: Callable[[], Mask] | None = None
    prompts: Prompts | None = None
    file: Path | None = None
    label: str | None = None
    one_of_many: bool = False
    ids: list[int] = dataclasses.field(default_factory=list)
    renamed: dict[int, int] = dataclasses.field(default_factory=dict)


def add_box(given: list[Annotation], text: str, source: Source, number: int) -> None:
    """A box is an object of its own.

    Raises:
        InputError: it is no box of a frame.
    """
    moment, box = split_moment(text)
    moment = moment.in_source(source, f"--box {text}")
    prompts = Prompts(parse_box(box)).within(source.width, source.height)
    name = f"--box {','.join(map(str, prompts.box or ()))}"
    given.append(Annotation(moment, name, prompts=prompts, ids=[number]))


def add_click(given: list[Annotation], text: str, source: Source, next_id: Callable[[], int]) -> None:
    """A click says more of the object that is given in its frame; where none is, it begins one.

    Raises:
        InputError: it is no click of a frame, or several objects may be meant.
    """
    number, moment, click = parse_click(text)
    moment = moment.in_source(source, f"--click {text}")
    Prompts(clicks=(click,)).within(source.width, source.height)
    there = sorted({i for each in given if each.moment == moment for i in each.ids})
    if number is None and len(there) > 1:
        found = f"{len(there)} objects in frame {moment}"
        expected, fix = "which of them is meant", f"--click {there[0]}={text}"
        raise InputError(f"--click {text}", found=found, expected=expected, fix=fix)
    if number is None:
        number = there[0] if there else next_id()
    if number > MOST_OBJECTS:
        expected = f"an id from 1 to {MOST_OBJECTS}"
        raise InputError(f"--click {text}", found=f"the id {number}", expected=expected, fix="--click")
    for each in given:
        if each.prompts is not None and each.moment == moment and each.ids == [number]:
            each.prompts = each.prompts.with_click(click)
            return
    given.append(Annotation(moment, f"--click {text}", prompts=Prompts(clicks=(click,)), ids=[number]))


def check_clicks(given: list[Annotation]) -> None:
    """Where there is no box and no mask, a click has to say where the object is.

    Raises:
        InputError: none does.
    """
    for each in given:
        prompts = each.prompts
        if prompts is None or prompts.box is not None or any(click.positive for click in prompts.clicks):
            continue
        masks = [mask for mask in given if mask.prompts is None and mask.moment == each.moment]
        if not any(each.ids[0] in mask.ids for mask in masks):
            found, expected = "only what does not belong to it", "a click on the object, a box or a mask"
            raise InputError(each.name, found=found, expected=expected, fix="--click X,Y+")


def with_suggested(
    given: Annotation, prompts: Prompts, suggest: Suggest, image: np.ndarray, merged: np.ndarray, note: Note
) -> np.ndarray:
    """A label map (H, W) with the object of a box and clicks; other objects stay where they are.

    Args:
        image: of the frame, (H, W, 3) uint8.
        merged: the label map of what is given beside them.
    """
    prompts, number = prompts.within(image.shape[1], image.shape[0]), np.uint8(given.ids[0])
    found = suggest_in_turn(suggest, image, prompts, merged == number)
    if not found.any():
        note(f"{given.name}: no object is found there")
    elif prompts.box is not None and found.sum() == prompts.box.width * prompts.box.height:
        note(f"{given.name}: nothing tells an object from its surroundings; the whole box is taken")
    others = np.where(merged == number, np.uint8(0), merged)
    return np.where(found & (others == 0), number, others)
