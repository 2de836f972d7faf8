"""Small parts of a mask that appear far from where the object was are dropped, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from spvos_cli.inference.distractors import REACH, drop_distractors
from spvos_cli.inference.previous_frame import PreviousFrame
from spvos_cli.inference.region import CELL, Window, Windows
from spvos_cli.inference.stream import Stream
from spvos_cli.model.encoders import Query
from spvos_cli.model.lite import LiteVOS

HEIGHT, WIDTH = 20 * CELL, 30 * CELL
WHOLE: Windows = (Window.whole(HEIGHT, WIDTH),)
NONE = torch.zeros(0)


def masks_of(*boxes: tuple[int, int, int, int]) -> Tensor:
    """(1, H, W), 0.9 in boxes: first row of cells, one past the last, and columns likewise."""
    masks = torch.zeros(1, HEIGHT, WIDTH)
    for top, bottom, left, right in boxes:
        masks[:, CELL * top : CELL * bottom, CELL * left : CELL * right] = 0.9
    return masks


def frame_before(masks: Tensor, windows: Windows = WHOLE) -> PreviousFrame:
    query = Query(NONE, NONE, NONE, NONE, NONE)
    return PreviousFrame(NONE, query, masks, False, False, windows, (HEIGHT, WIDTH))


def without(masks: Tensor, windows: Windows, before: PreviousFrame) -> Tensor:
    left = masks.clone()
    drop_distractors(left, windows, before)
    return left


OBJECT = (2, 8, 2, 8)  # 36 cells
BEYOND = 8 + REACH  # the first column that is too far


@pytest.mark.parametrize(
    ("part", "kept"),
    [
        ((2, 4, BEYOND, BEYOND + 1), False),
        ((2, 5, BEYOND, BEYOND + 1), False),  # 3 of 39
        ((2, 6, BEYOND, BEYOND + 1), True),  # 4 of 40 are no small part
        ((2, 4, BEYOND - 1, BEYOND), True),  # within reach
        ((8 + REACH, 9 + REACH, 4, 5), False),
    ],
)
def test_small_parts_far_away_are_dropped(part: tuple[int, int, int, int], kept: bool) -> None:
    masks = masks_of(OBJECT, part)
    found = without(masks, WHOLE, frame_before(masks_of(OBJECT)))
    assert torch.equal(found, masks if kept else masks_of(OBJECT))


def test_what_was_not_to_be_seen_may_come_back_anywhere() -> None:
    masks = masks_of((15, 16, 25, 26))
    assert torch.equal(without(masks, WHOLE, frame_before(masks_of())), masks)


def test_each_object_for_itself() -> None:
    far = (2, 3, 25, 26)
    masks = torch.cat([masks_of(OBJECT, far), masks_of(far)])
    before = frame_before(torch.cat([masks_of(OBJECT), masks_of(far)]))
    found = without(masks, WHOLE, before)
    assert torch.equal(found, torch.cat([masks_of(OBJECT), masks_of(far)]))


def test_windows_are_parts_of_one_frame() -> None:
    """The same frame through two windows side by side, after one that was seen through one."""
    left, right = Window(0, 0, HEIGHT, 10 * CELL), Window(0, 20 * CELL, HEIGHT, 10 * CELL)

    def seen(masks: Tensor, windows: Windows) -> Tensor:
        return torch.cat([masks[:, :, w.left : w.left + w.width] for w in windows], dim=2)

    before = frame_before(seen(masks_of(OBJECT), (left,)), (left,))
    masks = seen(masks_of(OBJECT, (2, 4, 21, 22)), (left, right))
    assert torch.equal(without(masks, (left, right), before), seen(masks_of(OBJECT), (left, right)))
    before = frame_before(seen(masks_of((2, 8, 21, 27)), (left, right)), (left, right))
    masks = masks_of((2, 8, 21, 27))
    assert torch.equal(without(masks, WHOLE, before), masks)


def test_a_stream_drops_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its network says so, in frames that have the size of the one before."""
    shown = [masks_of(OBJECT), masks_of(OBJECT, (2, 4, 20, 21))]
    monkeypatch.setattr(Stream, "_decode", lambda self, *_, **__: shown.pop(0))
    for drops in (True, False):
        shown[:] = [masks_of(OBJECT), masks_of(OBJECT, (2, 4, 20, 21))]
        network = LiteVOS().eval()
        network.drops_distractors = drops
        stream = Stream(network, mem_every=3, top_k=20, max_memory=4)
        image = torch.rand(3, HEIGHT, WIDTH)
        stream.step(image, {1: masks_of(OBJECT)[0]})
        stream.step(image)
        found = stream.step(image)[1] > 0.5
        assert found[:, 20 * CELL :].any() != drops
        assert found[: 8 * CELL, : 8 * CELL].any()
