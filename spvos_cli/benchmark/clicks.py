"""`eval --clicks`: how good masks of boxes are, and how many clicks good masks take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from spvos_cli.benchmark.datasets import chosen_names
from spvos_cli.data.folders import VideoSequence, davis_sequences, own_sequences, still_sequences
from spvos_cli.data.training_sets import dataset_root
from spvos_cli.errors import InputError
from spvos_cli.evaluation.clicking import next_click
from spvos_cli.evaluation.measures import region_similarity
from spvos_cli.evaluation.report.table import WIDE
from spvos_cli.video.boxes import Box
from spvos_cli.video.mask_images import VOID
from spvos_cli.video.suggest import Prompts, Suggest, suggest_or_box

MOST_CLICKS = 20
TARGETS = (0.85, 0.90)
AFTER = (1, 3, 5)  # clicks
AFTER_BOX = (0, 1, 3, 5)  # clicks


class ClickedObject(NamedTuple):
    """An object that was clicked on.

    Attributes:
        clicks: the IoU after each click: until `TARGETS` and the last of `AFTER` are reached, at most
            `MOST_CLICKS`.
        box: the IoU of the mask that the true box gives, and after each click on that.
    """

    name: str
    clicks: list[float]
    box: list[float]


def click_sequences(
    dataset: str, root: Path | None, year: int, split: str | None, only: str | None
) -> list[VideoSequence]:
    """What is clicked on: stills, or videos, of which the first annotated frame counts.

    Raises:
        InputError: it is not there or not whole, or `only` names what is not in it.
    """
    root = dataset_root(dataset, root)
    if dataset == "davis":
        sequences = davis_sequences(root, year, split or "val")
    else:
        sequences = still_sequences(root) if dataset == "stills" else own_sequences(root)
    names = chosen_names(only, {sequence.name for sequence in sequences})
    return [sequence for sequence in sequences if sequence.name in names]


def click_on(
    sequences: Iterable[VideoSequence], suggest: Suggest, *, merge_objects: bool = False, frame: int = 0
) -> Iterator[ClickedObject]:
    """Clicks on each object of a frame of each sequence.

    Args:
        frame: its number, from the end where it is negative.
        merge_objects: all objects of a frame are one.
    """
    for sequence in sequences:
        image, ids = sequence.read_frame(frame), sequence.read_mask(frame)
        ids = np.where(ids == VOID, 0, np.minimum(ids, 1) if merge_objects else ids)
        for number in np.unique(ids[ids > 0]):
            truth = ids == number
            box = Prompts(Box(*cv2.boundingRect(truth.view(np.uint8))))
            start = suggest_or_box(suggest, image, box, np.zeros_like(truth))
            yield ClickedObject(
                f"{sequence.name} {number}",
                [iou for iou, _ in clicked(suggest, image, truth, Prompts(), np.zeros_like(truth))],
                [region_similarity(start, truth)]
                + [iou for iou, _ in clicked(suggest, image, truth, box, start, most=AFTER_BOX[-1])],
            )


def clicked(
    suggest: Suggest,
    image: np.ndarray,
    truth: np.ndarray,
    prompts: Prompts,
    mask: np.ndarray,
    most: int = MOST_CLICKS,
) -> Iterator[tuple[float, np.ndarray]]:
    """The mask and its IoU after each click."""
    for count in range(1, most + 1):
        click = next_click(truth, mask, prompts.clicks)
        if click:  # else all is right
            prompts = prompts.with_click(click)
            mask = suggest_or_box(suggest, image, prompts, mask)
        iou = region_similarity(mask, truth)
        yield iou, mask
        if iou >= max(TARGETS) and count >= max(AFTER):
            return


def click_columns(objects: list[ClickedObject]) -> dict[str, float]:
    """Over all objects: the mean number of clicks until an IoU is reached, and how often it never is (a
    fraction); the mean IoU (a fraction) after some clicks, and from a box and some clicks on its mask.

    Raises:
        InputError: there is no object.
    """
    if not objects:
        raise InputError(
            "--data", found="no object in any mask", expected="masks with objects", fix="--data DIR"
        )
    columns: dict[str, float] = {"objects": len(objects)}
    for target in TARGETS:
        needed = [_needed(each.clicks, target) for each in objects]
        columns[f"NoC@{100 * target:.0f}"] = float(np.mean([n or MOST_CLICKS for n in needed]))
        columns[f"never@{100 * target:.0f}"] = float(np.mean([n is None for n in needed]))
    for count in AFTER:
        columns[f"mIoU@{count}"] = float(np.mean([each.clicks[count - 1] for each in objects]))
    for count in AFTER_BOX:
        name = "box" + (f"+{count}" if count else "")
        columns[name] = float(
            np.mean([each.box[count] if count < len(each.box) else each.box[-1] for each in objects])
        )
    return columns


def _needed(ious: list[float], target: float) -> int | None:
    return next((count for count, iou in enumerate(ious, 1) if iou >= target), None)


def print_columns(columns: dict[str, float]) -> None:
    """A table on stdout: clicks as numbers, IoU and shares in percent."""
    table = Table(box=None, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right")
    cells = []
    for name, value in columns.items():
        number = f"{value:.2f}" if name.startswith("NoC") else f"{100 * value:.1f}"
        cells.append(f"{value:.0f}" if name == "objects" else number)
    table.add_row(*cells)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    console.print(table)
