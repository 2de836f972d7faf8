"""The schedule of memory frames, and objects that join, leave and are corrected."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.inference.stream import Stream
from spvos_cli.model.checkpoint import build_model, load_checkpoint
from spvos_cli.model.hosts import HOSTS
from spvos_cli.model.network import VOSNetwork
from spvos_cli.resources import shipped_weights
from tests.hosts import small

Clip = tuple[list[np.ndarray], list[np.ndarray]]


def tensors_of(clip: Clip) -> tuple[list[Tensor], list[Tensor]]:
    """Images (3, H, W) in [0, 1] and label maps."""
    images = [torch.from_numpy(image).permute(2, 0, 1) / 255 for image in clip[0]]
    return images, [torch.from_numpy(mask) for mask in clip[1]]


@pytest.fixture(scope="module")
def network() -> VOSNetwork:
    return load_checkpoint(shipped_weights("lite")).for_inference(torch.device("cpu"), torch.float32)


def test_objects_are_followed(network: VOSNetwork, clip: Clip) -> None:
    segmenter = VideoSegmenter(network)
    labels = [segmenter.step(image, clip[1][0] if t == 0 else None) for t, image in enumerate(clip[0])]
    assert np.array_equal(labels[0], clip[1][0])
    for found, truth in zip(labels[1:], clip[1][1:], strict=True):
        for i in (1, 2):
            overlap = ((found == i) & (truth == i)).sum() / ((found == i) | (truth == i)).sum()
            assert overlap > 0.6


def test_frames_before_the_first_mask_are_background(network: VOSNetwork, clip: Clip) -> None:
    segmenter = VideoSegmenter(network)
    assert not segmenter.step(clip[0][0]).any()
    assert segmenter.step(clip[0][1], clip[1][1]).any()


def test_an_object_joins_and_another_leaves(network: VOSNetwork, clip: Clip) -> None:
    images, masks = clip
    segmenter = VideoSegmenter(network)
    segmenter.step(images[0], np.where(masks[0] == 2, 7, 0).astype(np.uint8))
    segmenter.step(images[1])
    joined = segmenter.step(images[2], np.where(masks[2] == 1, 3, 0).astype(np.uint8))
    assert np.array_equal(joined == 3, masks[2] == 1)
    assert set(np.unique(joined)) == {0, 3, 7}
    assert set(np.unique(segmenter.step(images[3]))) == {0, 3, 7}
    segmenter.remove_object(7)
    assert set(np.unique(segmenter.step(images[4]))) == {0, 3}
    assert segmenter.objects == [3]


def test_a_second_mask_corrects(network: VOSNetwork, clip: Clip) -> None:
    images, masks = clip
    segmenter = VideoSegmenter(network)
    segmenter.step(images[0], np.roll(masks[0], 30, axis=0))
    corrected = segmenter.step(images[1], masks[1])
    assert np.array_equal(corrected, masks[1])


@pytest.mark.parametrize("joins", [False, True])
def test_a_new_object_does_not_change_what_others_had(network: VOSNetwork, clip: Clip, joins: bool) -> None:
    """Objects that joined later have a memory of their own. The mask of the other is of no pixel, so that
    nothing but the object itself can change what the first one has."""
    images, masks = tensors_of(clip)
    given, other = {1: (masks[0] == 1).float()}, torch.zeros(masks[0].shape)
    alone, joined = Stream(network, 1, 50, 4), Stream(network, 1, 50, 4)
    for t, image in enumerate(images[:4]):
        expected = alone.step(image, given if t == 0 else None)[1].clone()
        late = {2: other} if t == (1 if joins else 0) else {}
        found = joined.step(image, ({} if t else given) | late)[1]
        torch.testing.assert_close(found, expected, atol=2e-3 if t else 1e-6, rtol=0)
    assert joined.ids == [1, 2]
    assert len(joined.groups) == 1 + joins


@pytest.mark.parametrize("host", HOSTS)
def test_two_segmenters_do_not_disturb_each_other(host: str, clip: Clip) -> None:
    images, masks = clip[0][:4], clip[1]
    gates = {"method": "triple", "structure": "QDM", "strategy": "fully"}
    network = build_model(small(host, **gates)).for_inference(torch.device("cpu"), torch.float32)
    one, other = (VideoSegmenter(network, mem_every=1, max_memory=1, long_memory=9) for _ in range(2))
    alone = [one.step(image, masks[0] if t == 0 else None) for t, image in enumerate(images)]
    last = one.prob
    one.reset()
    for t, image in enumerate(images):
        other.step(image[:, ::-1].copy(), masks[0][:, ::-1].copy() if t == 0 else None)
        assert np.array_equal(one.step(image, masks[0] if t == 0 else None), alone[t])
    assert torch.equal(one.prob, last)


@pytest.mark.parametrize("host", HOSTS)
def test_memory_frames_and_the_lazy_last_one(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_model(small(host, long_memory=0)).eval()
    encoded = []
    encode = network.encode_memory_step
    monkeypatch.setattr(network, "encode_memory_step", lambda *args: encoded.append(1) or encode(*args))
    stream = Stream(network, mem_every=3, top_k=5, max_memory=2)
    counts = []
    for t in range(8):
        stream.step(torch.rand(3, 32, 32), {1: torch.ones(32, 32)} if t == 0 else None)
        counts.append(len(encoded))
    if network.reads_last_frame:
        assert counts == [0, 1, 2, 3, 4, 5, 6, 7]
    else:
        assert counts == [0, 1, 1, 1, 2, 2, 2, 3]  # frames 0, 3 and 6, each when the next one comes
    (group,) = stream.groups
    assert len(group.bank.annotated) == 1
    assert len(group.bank.recent) == 2


def test_what_leaves_the_memory_can_leave_something_behind(network: VOSNetwork, clip: Clip) -> None:
    images, masks = clip
    probs, pixels = [], []
    for long_memory in (0, 9):
        segmenter = VideoSegmenter(network, mem_every=1, max_memory=1, long_memory=long_memory)
        for t, image in enumerate(images):
            segmenter.step(image, masks[0] if t == 0 else None)
        (group,) = segmenter._stream.groups
        probs.append(segmenter.prob)
        pixels.append(group.bank.read().key.shape[1])
    assert not torch.equal(*probs)
    assert pixels[1] == pixels[0] + 9


def test_large_frames_are_scaled_and_labels_are_not(network: VOSNetwork, clip: Clip) -> None:
    images, masks = ([x.repeat(3, axis=0).repeat(3, axis=1) for x in part] for part in clip)
    segmenter = VideoSegmenter(network, size=96, region=False)
    labels = [segmenter.step(image, masks[0] if t == 0 else None) for t, image in enumerate(images[:3])]
    assert segmenter.prob.shape == (3, 96, 128)
    assert labels[2].shape == masks[2].shape
    assert ((labels[2] == 1) & (masks[2] == 1)).sum() / ((labels[2] == 1) | (masks[2] == 1)).sum() > 0.6


def test_frames_may_change_their_size(network: VOSNetwork, clip: Clip) -> None:
    images, masks = clip
    segmenter = VideoSegmenter(network)
    segmenter.step(images[0], masks[0])
    for image in (images[1], images[2][:64], images[3].transpose(1, 0, 2), images[4], images[5]):
        labels = segmenter.step(np.ascontiguousarray(image))
        assert labels.shape == image.shape[:2]


@pytest.mark.parametrize("gates", [{}, {"method": "triple", "gate": "module"}], ids=["dense", "module"])
@pytest.mark.parametrize("host", HOSTS)
def test_a_stream_goes_on_from_its_state(host: str, gates: dict[str, str]) -> None:
    """With memory that is left behind, and what the host or a gate carries of each object."""
    torch.manual_seed(0)
    network = build_model(small(host, long_memory=3, prototypes=2, **gates))
    whole, broken, again = (Stream(network, mem_every=2, top_k=5, max_memory=2) for _ in range(3))
    for t in range(10):
        image = torch.rand(3, 32, 48)
        given = {1: torch.ones(32, 48)} if t == 0 else {2: torch.ones(32, 48)} if t == 4 else None
        expected = whole.step(image, given).clone()
        if t == 8:
            assert broken.can_resume()
            again.restore(broken.state())
        goes_on = broken if t < 8 else again
        found = goes_on.step(image, given)
        assert torch.equal(found, expected)
        if whole.module_run:
            assert torch.equal(goes_on.module_run.sight.areas, whole.module_run.sight.areas)
