"""Objects that go or come are looked for everywhere."""

from __future__ import annotations

import torch
from torch import Tensor

from spvos_cli.inference.sight import Sight


def masks_of(*areas: float) -> Tensor:
    """An object of certain pixels for each area, in frames of 20x20."""
    masks = torch.zeros(len(areas), 400)
    for mask, area in zip(masks, areas, strict=True):
        mask[: int(area)] = 1.0
    return masks.view(-1, 20, 20)


def lost_over_time(*areas: float) -> list[bool]:
    """Of one object, from its second frame on."""
    sight = Sight()
    sight.follow([1])
    return [bool(sight.lost(masks_of(area))[0]) for area in areas][1:]


def test_objects_that_go_or_come_are_lost() -> None:
    assert lost_over_time(100, 100, 90, 70) == [False] * 3
    assert lost_over_time(100, 80, 50, 0) == [False, True, True]
    assert lost_over_time(0, 0, 50, 60, 90, 100) == [True, True, False, True, False]
    assert lost_over_time(200, 280, 290, 300) == [False, False, False]


def test_unsure_objects_are_lost() -> None:
    sight = Sight()
    sight.follow([1, 2])
    sight.lost(masks_of(100, 100))
    assert sight.lost(masks_of(100, 100) * torch.tensor([1.0, 0.5]).view(2, 1, 1)).tolist() == [False, True]


def test_areas_of_long_ago_fade() -> None:
    assert lost_over_time(100, *[50] * 3)[-1]
    assert not lost_over_time(100, *[50] * 30)[-1]


def test_a_frame_that_is_looked_at_again_counts_once() -> None:
    sight = Sight()
    sight.follow([1])
    sight.lost(masks_of(100))
    coming = masks_of(180)
    assert sight.lost(coming).tolist() == sight.lost(coming).tolist() == [True]


def test_each_object_keeps_its_areas() -> None:
    sight = Sight()
    sight.follow([4, 7])
    sight.lost(masks_of(100, 30))
    place = sight.areas.data_ptr()
    sight.follow([4, 7])
    assert sight.areas.data_ptr() == place
    sight.follow([7, 4, 9])
    assert sight.areas.tolist() == [[30, 100, 0], [30, 100, torch.inf]]
    sight.remove([4])
    assert (sight.ids, sight.areas.tolist()) == ([7, 9], [[30, 0], [30, torch.inf]])
    assert sight.lost(masks_of(10, 10)).tolist() == [True, False]
    sight.follow([])
    assert sight.areas.shape == (2, 0)


def test_small_objects() -> None:
    sight = Sight()
    sight.follow([1, 2])
    masks = torch.zeros(2, 96, 96)
    masks[0, :60, :60], masks[1, :70, :70] = 1, 1
    sight.lost(masks)
    assert sight.small.tolist() == [True, False]
