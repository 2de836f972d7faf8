"""A memory that keeps the pixels which are asked for, in a bounded number."""

from __future__ import annotations

import pytest
import torch

from spvos_cli.inference.long_memory import LongMemoryBank
from spvos_cli.inference.memory_bank import MemoryFrame
from spvos_cli.model.checkpoint import build_model
from spvos_cli.model.hosts import HOSTS
from spvos_cli.model.network import VOSNetwork
from tests.hosts import small

PIXELS, OBJECTS = 6, 2


@pytest.fixture(scope="module")
def network() -> VOSNetwork:
    return build_model(small("spvos"))


def frame(number: int) -> MemoryFrame:
    """Keys that only their own pixel finds; values are the pixels' numbers."""
    key = torch.zeros(1, PIXELS, 64)
    key[0, range(PIXELS), [PIXELS * (number % 8) + p for p in range(PIXELS)]] = 30.0
    numbers = torch.arange(PIXELS * number, PIXELS * (number + 1), dtype=torch.float32)
    return MemoryFrame(key, numbers.expand(1, OBJECTS, PIXELS).unsqueeze(3).contiguous())


def bank_with(network: VOSNetwork, frames: int, max_pixels: int = 4) -> LongMemoryBank:
    """After every frame its second pixel is asked for, and twice as much its third."""
    bank = LongMemoryBank(network, max_frames=3, max_pixels=max_pixels, prototypes=2)
    for number in range(frames):
        bank.add(frame(number), annotated=number == 0, memory_frame=True)
        usage = bank.read().usage
        assert usage is not None
        asked = [f.key.shape[1] for f in bank.frames()][: -1 if bank.long else None]
        for start in (sum(asked[:i]) for i in range(len(asked))):
            usage[start + 1] += 1
            usage[start + 2] += 2
    return bank


def test_what_was_asked_for_most_stays(network: VOSNetwork) -> None:
    """Of frames 1 and 2, which leave when 3 comes, the third pixels: the newer half stays."""
    bank = bank_with(network, 4)
    assert bank.long is not None
    torch.testing.assert_close(bank.long.value[0, 1, :, 0], torch.tensor([8.0, 14.0]))
    assert [f.value[0, 0, 0, 0] for f in (*bank.annotated, *bank.recent)] == [0, 18]


def test_the_memory_is_bounded(network: VOSNetwork) -> None:
    for max_pixels in (1, 4, 7):
        bank = bank_with(network, 30, max_pixels)
        assert bank.read().key.shape[1] <= 3 * PIXELS + max_pixels
        assert bank.long is not None
        assert bank.long.key.shape[1] in (max_pixels, max_pixels - 1)
    assert {2, 8} & set((bank.long.value[0, 0, :, 0] % PIXELS).tolist())


def test_prototypes_that_nobody_reads_go_first(network: VOSNetwork) -> None:
    bank = bank_with(network, 6)  # frames 1 to 4 left, two pixels at a time
    assert bank.long is not None
    before = bank.long.value[0, 0, :, 0].tolist()
    usage = bank.read().usage
    assert usage is not None
    usage[-4:] = torch.tensor([0.0, 9.0, 0.0, 9.0])
    for number in (6, 7):
        bank.add(frame(number), annotated=False, memory_frame=True)
        bank.read()
    assert bank.long.value[0, 0, :2, 0].tolist() == before[1::2]


def test_objects_leave_and_a_file_brings_all_back(network: VOSNetwork) -> None:
    bank = bank_with(network, 5)
    bank.keep_objects([1])
    again = LongMemoryBank(network, max_frames=3, max_pixels=4, prototypes=2)
    again.restore(dict(sorted(bank.tensors().items())))
    for number in (5, 6, 7):
        one = frame(number)._replace(value=frame(number).value[:, :1])
        for each in (bank, again):
            each.add(one, annotated=False, memory_frame=True)
        found, expected = again.read(), bank.read()
        assert torch.equal(found.key, expected.key)
        assert torch.equal(found.value, expected.value)


@pytest.mark.parametrize("host", HOSTS)
def test_every_host_counts_what_it_reads(host: str) -> None:
    """Each pixel of the query reads as much as it is: affinities sum to 1."""
    network = build_model(small(host, long_memory=4))
    query = network.encode_query(torch.rand(1, 3, 32, 48))
    value = network.encode_memory(torch.rand(1, 3, 32, 48), query, torch.rand(1, 2, 32, 48))
    rows = query.key.flatten(2).transpose(1, 2), value.flatten(3).transpose(2, 3)
    bank = LongMemoryBank(network, max_frames=2, max_pixels=4, prototypes=3)
    with torch.no_grad():
        for t in range(4):
            bank.add(MemoryFrame(*rows), annotated=t == 0, memory_frame=True)
            memory = bank.read()
            assert network.match(query, memory, top_k=5).shape[:2] == (1, 2)
            assert memory.usage is not None
            assert memory.usage.sum().item() == pytest.approx(6, rel=1e-4)
    assert bank.long is not None
    assert bank.long.key.shape == (1, 4, query.key.shape[1])
