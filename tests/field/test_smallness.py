"""Small and thin things: said at once, with the size that would do; many losses are one line."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from spvos_cli.segment.events import EventDetector
from spvos_cli.segment.smallness import SizeAdviser, extent_of, objects_named
from spvos_cli.video.frames import Frame


def drawn(height: int = 1080, width: int = 1920) -> np.ndarray:
    """A box (1), a rope of 3 pixels (2) and a ball of 9 (3)."""
    mask = np.zeros((height, width), np.uint8)
    cv2.rectangle(mask, (600, 500), (900, 800), (1,), -1)
    cv2.line(mask, (950, 500), (1300, 100), (2,), 3)
    cv2.circle(mask, (300, 300), 4, (3,), -1)
    return mask


def said(size: int, *masks: np.ndarray, lines: int = 0) -> list[str]:
    notes: list[str] = []
    adviser = SizeAdviser(size, notes.append)
    for frame, mask in enumerate(masks):
        adviser.look(frame, mask, lines or size)
    return notes


def test_what_the_network_can_hardly_see_is_said_once_with_the_size_that_would_do() -> None:
    notes = said(480, drawn(), drawn())
    assert len(notes) == 1
    assert "frame 0: objects 2, 3 are small for the network" in notes[0]
    assert notes[0].endswith("would do")
    advised = int(notes[0].split("--size ")[-1].split()[0])
    assert 480 < advised <= 1080
    assert said(advised, drawn()) == []


@pytest.mark.parametrize("size", [480, 1080])
def test_large_things_need_no_word(size: int) -> None:
    assert said(size, np.where(drawn() == 1, 1, 0).astype(np.uint8)) == []


def test_what_no_size_helps() -> None:
    dot = np.zeros((480, 640), np.uint8)
    dot[100, 100:103] = 1
    assert "that is all there is" in said(480, dot)[0]
    assert "--size 480 is the most" in said(240, dot)[0]


def test_that_frames_are_enlarged_is_said_once_and_counts() -> None:
    ball = np.where(drawn() == 3, 3, 0).astype(np.uint8)
    assert len(said(480, ball)) == 1
    notes = said(480, ball, ball, lines=1080)
    seen = "1080 lines of 1080 instead of 480"
    assert notes == [f"frame 0: what is followed is small, so the network sees {seen}"]


def test_extents() -> None:
    mask = drawn()
    assert extent_of(mask == 1) == (301 * 301, 301)
    assert extent_of(mask == 2).thickness == pytest.approx(4, abs=1)
    whole = extent_of(np.ones((20, 30), bool))
    assert whole == (600, pytest.approx(20, abs=1))


def test_many_losses_in_a_frame_are_one_line() -> None:
    notes: list[str] = []
    detector, areas = EventDetector(notes.append), np.zeros(256, int)
    areas[1:121] = 50
    image = np.zeros((36, 64, 3), np.uint8)
    detector.events(Frame(0, image, "", 0), tuple(range(1, 121)), areas)
    marks = detector.events(Frame(1, image, "", 1), tuple(range(1, 121)), areas * 0)
    assert len(marks) == 120
    assert notes == ["frame 1: objects 1, 2, 3, 4, 5, 6, 7, 8, ... (120 of them) are lost"]
    assert (objects_named([4]), objects_named([4, 9])) == ("object 4", "objects 4, 9")


def test_a_mask_that_says_who_is_away_is_no_loss_to_be_told() -> None:
    notes: list[str] = []
    detector, areas = EventDetector(notes.append), np.zeros(256, int)
    areas[1] = 50
    image = np.zeros((36, 64, 3), np.uint8)
    detector.events(Frame(0, image, "", 0), (1,), areas)
    assert detector.events(Frame(1, image, "", 1), (1,), areas * 0, told=True) == ("lost:1",)
    assert notes == []
