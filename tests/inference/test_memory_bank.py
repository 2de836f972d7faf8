"""Which frames the memory bank keeps."""

from __future__ import annotations

import pytest
import torch

from spvos_cli.inference.memory_bank import MemoryBank, MemoryFrame


def frame(number: int, objects: int = 1) -> MemoryFrame:
    return MemoryFrame(torch.full((1, 2, 3), float(number)), torch.full((1, objects, 2, 4), float(number)))


def frames_in(bank: MemoryBank) -> list[float]:
    return bank.read().key[0, ::2, 0].tolist()


def test_the_first_and_the_newest_stay() -> None:
    bank = MemoryBank(max_frames=2)
    bank.add(frame(0), annotated=True, memory_frame=True)
    for number in range(1, 6):
        bank.add(frame(number), annotated=number == 3, memory_frame=True)
    assert frames_in(bank) == [0, 3, 4, 5]


@pytest.mark.parametrize("max_frames", [0, 1, 3])
def test_annotated_frames_are_bounded(max_frames: int) -> None:
    """A folder of masks with one on every frame: constant memory, the first and the newest stay."""
    bank = MemoryBank(max_frames)
    for number in range(50):
        bank.add(frame(number), annotated=number % 10 != 9, memory_frame=True)
        assert len(frames_in(bank)) <= 2 * max(1, max_frames) + 2
    bank.add(frame(50), annotated=True, memory_frame=True)
    assert frames_in(bank)[0] == 0
    assert 50 in frames_in(bank)


def test_a_file_may_order_its_tensors_as_it_likes() -> None:
    bank = MemoryBank(max_frames=12)
    for number in range(30):
        bank.add(frame(number), annotated=number % 2 == 0, memory_frame=True)
    tensors = dict(sorted(bank.tensors().items()))
    again = MemoryBank(max_frames=12)
    again.restore(tensors)
    for number in (30, 31):
        for each in (bank, again):
            each.add(frame(number), annotated=number == 30, memory_frame=True)
        assert frames_in(again) == frames_in(bank)


def test_the_previous_frame_is_there_for_one_frame() -> None:
    bank = MemoryBank(max_frames=2)
    bank.add(frame(0), annotated=True, memory_frame=True)
    bank.add(frame(1), annotated=False, memory_frame=False)
    assert frames_in(bank) == [0, 1]
    bank.add(frame(2), annotated=False, memory_frame=False)
    assert frames_in(bank) == [0, 2]
    assert bank.read().last[0].unique().tolist() == [2]


def test_no_memory_frames_but_the_annotated() -> None:
    bank = MemoryBank(max_frames=0)
    bank.add(frame(0), annotated=True, memory_frame=True)
    bank.add(frame(1), annotated=False, memory_frame=True)
    bank.add(frame(2), annotated=False, memory_frame=True)
    assert frames_in(bank) == [0, 2]


def test_objects_leave() -> None:
    bank = MemoryBank(max_frames=3)
    for number in range(3):
        bank.add(frame(number, objects=3), annotated=number == 0, memory_frame=number == 1)
    bank.keep_objects([0, 2])
    memory = bank.read()
    assert memory.value.shape == (1, 2, 6, 4)
    assert memory.last[1].shape == (1, 2, 2, 4)


def test_memory_frames_of_all_ages_stay() -> None:
    """Each twice as far back as the next; a bank that was kept on disk goes on as the other."""
    bank = MemoryBank(max_frames=8)
    bank.add(frame(0), annotated=True, memory_frame=True)
    for number in range(1, 201):
        bank.add(frame(number), annotated=False, memory_frame=True)
        if number == 100:
            again = MemoryBank(max_frames=8)
            again.restore(bank.tensors())
        if number > 100:
            again.add(frame(number), annotated=False, memory_frame=True)
    kept = frames_in(bank)
    assert frames_in(again) == kept
    assert kept == [0, 128, 160, 176, 192, 196, 198, 199, 200]
    assert [frame.time for frame in bank.recent] == kept[1:]
