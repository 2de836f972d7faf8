"""Frames that are looked at mirrored as well."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spvos_cli.inference.mirrored import MirroredStream, MirroredView
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.inference.views import ArrayView, TensorView
from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.hosts import HOSTS
from spvos_cli.model.network import VOSNetwork
from tests.conftest import make_frame
from tests.hosts import small

CPU = torch.device("cpu")
GATES: list[dict[str, Any]] = [{}, {"method": "triple"}, {"method": "triple", "gate": "module"}]


def network_of(host: str, gates: dict[str, Any] | None = None) -> VOSNetwork:
    torch.manual_seed(0)
    fields = {"max_memory": 2, "mem_every": 3, "top_k": 9} | (gates or {})
    if host == "lite" and "method" in fields:
        fields["structure"] = "D"
    return build_model(small(host, **fields)).for_inference(CPU, torch.float32)


def clip(frames: range, *, mirrored: bool = False) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Objects join, are corrected and go."""
    found = []
    for t in frames:
        image, ids = make_frame(t)
        mask = {0: np.where(ids == 1, 1, 0), 4: ids, 7: np.where(ids == 2, 2, 0)}.get(t)
        if mirrored:
            image, mask = image[:, ::-1], None if mask is None else mask[:, ::-1]
        found.append((np.ascontiguousarray(image), None if mask is None else mask.astype(np.uint8)))
    return found


def follow(segmenter: VideoSegmenter, frames: list[tuple[np.ndarray, np.ndarray | None]]) -> list[Tensor]:
    found = []
    for image, mask in frames:
        segmenter.step(image, mask)
        found.append(segmenter.prob.clone())
    return found


def test_a_view_mirrored() -> None:
    """Any part, of arrays that are scaled too."""
    array = np.random.default_rng(0).integers(256, size=(40, 60, 3), dtype=np.uint8)
    view = ArrayView(array, 20, 30, CPU)
    mirrored = MirroredView(view)
    assert (mirrored.height, mirrored.width) == (20, 30)
    whole = view.crop(0, 0, 20, 30).flip(2)
    torch.testing.assert_close(mirrored.crop(3, 4, 17, 25), whole[:, 3:17, 4:25])
    image = torch.rand(3, 8, 9)
    assert torch.equal(MirroredView(TensorView(image)).crop(1, 0, 5, 4), image[:, 1:5, 5:].flip(2))


@pytest.mark.parametrize("region", [False, True])
def test_the_mean_is_found_and_remembered(region: bool) -> None:
    """Of the first frame that is decoded, of what each of two streams finds by itself; also where they look
    through windows, at any padding."""
    network, frames = (
        network_of("lite"),
        [(image[:90, :118], m if m is None else m[:90, :118]) for image, m in clip(range(2))],
    )
    both, one, other = (VideoSegmenter(network, region=region, flip=flip) for flip in (True, False, False))
    found = follow(both, frames)[1]
    apart = [(image[:, ::-1].copy(), m if m is None else m[:, ::-1].copy()) for image, m in frames]
    expected = (follow(one, frames)[1] + follow(other, apart)[1].flip(2)) / 2
    torch.testing.assert_close(found, expected)
    assert not torch.equal(found, follow(VideoSegmenter(network, region=region), frames)[1])
    stream = both._stream
    assert isinstance(stream, MirroredStream)
    for each, prob in ((stream.plain, found), (stream.mirror, found.flip(2))):
        rows, columns = prob.shape[1:]
        top, left = (-rows % 16) // 2, (-columns % 16) // 2
        canvas = torch.zeros(len(prob) - 1, rows + -rows % 16, columns + -columns % 16)
        canvas[:, top : top + rows, left : left + columns] = prob[1:]
        (window,) = each.previous.windows
        seen = canvas[:, window.top : window.top + window.height, window.left : window.left + window.width]
        assert torch.equal(each.previous.masks, seen)


@pytest.mark.parametrize("gates", GATES, ids=["dense", "conv", "module"])
@pytest.mark.parametrize("host", HOSTS)
def test_a_mirrored_video_has_mirrored_masks(host: str, gates: dict[str, Any]) -> None:
    network = network_of(host, gates)
    plain, mirrored = (
        follow(VideoSegmenter(network, region=False, flip=True), clip(range(10), mirrored=m))
        for m in (False, True)
    )
    for one, other in zip(plain, mirrored, strict=True):
        assert torch.equal(one, other.flip(2))


@pytest.mark.parametrize("host", HOSTS)
def test_it_goes_on_from_its_state(host: str) -> None:
    """With an object that left; without objects it is as new."""
    network, frames = network_of(host), clip(range(12))
    whole, broken, again = (VideoSegmenter(network, flip=True) for _ in range(3))
    follow(whole, frames[:9])
    follow(broken, frames[:9])
    for segmenter in (whole, broken):
        segmenter.remove_object(1)
    expected = [x for frame in frames[9:] for x in follow(whole, [frame])]
    t = 9
    while not broken.can_resume():
        follow(broken, [frames[t]])
        t += 1
    again.restore(broken.state())
    for found, each in zip(follow(again, frames[t:]), expected[t - 9 :], strict=True):
        assert torch.equal(found, each)
    assert again.objects == whole.objects == [2]
    again.remove_object(2)
    assert again.objects == []
    assert not again.step(frames[0][0]).any()
