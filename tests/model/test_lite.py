"""The lite network's own parts."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.config import LITE, ModelConfig, Trunk
from spvos_cli.model.efficientnet import EfficientNetLite, SameConv2d, scaled_stages
from spvos_cli.model.lite import squared_distances
from spvos_cli.model.matching import as_rows
from spvos_cli.model.network import LastFrame, Memory


def test_shapes() -> None:
    network = build_model(LITE)
    image, masks = torch.rand(2, 3, 64, 96), torch.rand(2, 3, 64, 96)
    query = network.encode_query(network.normalize(image))
    value = network.encode_memory(image, query, masks)
    assert value.shape == (2, 3, LITE.value_channels + 2, 4, 6)
    key, value = as_rows(query.key), as_rows(value)
    logits = network.decode(network.match(query, Memory(key, value, LastFrame(key, value))), query)
    assert logits.shape == (2, 3, 64, 96)


def test_objects_do_not_depend_on_each_others_place_in_the_batch() -> None:
    network = build_model(LITE)
    torch.nn.init.normal_(network.decoder.predict.weight)
    image, masks = torch.rand(1, 3, 64, 64), torch.rand(1, 2, 64, 64)
    query = network.encode_query(network.normalize(image))

    def logits(masks: torch.Tensor) -> torch.Tensor:
        memory = as_rows(query.key), as_rows(network.encode_memory(image, query, masks))
        return network.decode(network.match(query, Memory(*memory, LastFrame(*memory))), query)

    torch.testing.assert_close(logits(masks), logits(masks.flip(1)).flip(1), atol=1e-4, rtol=1e-4)


def test_strided_convolutions_are_centred() -> None:
    """With TensorFlow's padding a 3x3 window of stride 2 starts at the even pixel, not one before it."""
    conv = SameConv2d(1, 1, 3, 2)
    torch.nn.init.zeros_(conv.bias)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0, 0]]))
    x = torch.arange(36.0).view(1, 1, 6, 6)
    assert torch.equal(conv(x), x[:, :, ::2, ::2])


def test_distances() -> None:
    assert squared_distances(3, torch.zeros(1)).tolist() == [[0, 1, 4], [1, 0, 1], [4, 1, 0]]


def test_objects_that_were_hidden_are_looked_for_everywhere() -> None:
    """The second object was not in the previous frame."""
    network = build_model(LITE)
    image, masks = torch.rand(1, 3, 64, 64), torch.rand(1, 2, 64, 64)
    query = network.encode_query(network.normalize(image))
    key = as_rows(query.key)
    masks, hidden = (masks > 0.5).float(), masks * torch.tensor([1.0, 0.0])[:, None, None]
    memory, last = (as_rows(network.encode_memory(image, query, m)) for m in (masks, hidden))
    far, near = network.match(query, Memory(key, memory, LastFrame(key, last))).chunk(2, dim=2)
    assert not torch.equal(far[:, 0], near[:, 0])
    assert torch.equal(far[:, 1], near[:, 1])


@pytest.mark.parametrize(
    ("variant", "channels", "blocks"),
    [
        ("lite0", [16, 24, 40, 80, 112], [1, 2, 2, 3, 3]),
        ("lite1", [16, 24, 40, 80, 112], [1, 3, 3, 4, 4]),
        ("lite2", [16, 24, 48, 88, 120], [1, 3, 3, 4, 4]),
    ],
)
def test_trunks_are_scaled_as_published(variant: Trunk, channels: list[int], blocks: list[int]) -> None:
    """As in the weight files of ImageNet."""
    stages = scaled_stages(variant)
    assert [stage.channels for stage in stages] == channels
    assert [stage.blocks for stage in stages] == blocks
    f4, f8, f16 = EfficientNetLite(variant)(torch.zeros(1, 3, 32, 32))
    assert [f4.shape[1], f8.shape[1], f16.shape[1]] == [channels[1], channels[2], channels[4]]


def test_weights_of_before_there_was_a_choice_have_the_smallest_trunk() -> None:
    config = dataclasses.replace(LITE, trunk="lite0", value_channels=16, decoder_channels=(16, 16, 16))
    fields = {name: value for name, value in json.loads(config.to_json()).items() if name != "trunk"}
    assert ModelConfig.from_json(json.dumps(fields)) == config
