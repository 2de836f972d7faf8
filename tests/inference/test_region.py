"""The window about the objects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spvos_cli.inference.region import CELL, LEAST, Box, Region, Window, Windows, area_of
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.inference.stream import Stream
from spvos_cli.inference.views import ArrayView, Placed, TensorView, padded_size, placed, seen_through
from spvos_cli.model.checkpoint import load_checkpoint
from spvos_cli.model.network import VOSNetwork
from spvos_cli.resources import shipped_weights

HEIGHT, WIDTH = 480, 800


@pytest.fixture(scope="module")
def network() -> VOSNetwork:
    path = shipped_weights("lite", "dense")
    return load_checkpoint(path).for_inference(torch.device("cpu"), torch.float32)


def scene(t: int, scale: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A square that moves to the right over stripes: (H, W, 3), (H, W)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image = np.stack([x // 4, 100 + 50 * np.sin(y / 9), y // 2], axis=2).astype(np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[150:214, 40 + 12 * t : 104 + 12 * t] = 1
    image[mask > 0] = (240, 200, 40)
    image, mask = (a.repeat(scale, axis=0).repeat(scale, axis=1) for a in (image, mask))
    return image, mask


def corners(t: int) -> tuple[np.ndarray, np.ndarray]:
    """Two squares that move in opposite corners of a scene."""
    image, mask = scene(t)
    image[mask > 0] = image[300, 300]
    mask[:] = 0
    for number, (top, left) in enumerate(((20 + 3 * t, 30 + 4 * t), (HEIGHT - 90 - 2 * t, WIDTH - 110))):
        mask[top : top + 64, left : left + 64] = 1 + number
        image[mask == 1 + number] = ((240, 200, 40), (60, 20, 220))[number]
    return image, mask


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Windows]:
    """The windows that went through the network."""
    seen, look = [], Stream._look

    def watched(self: Stream, view: object, windows: Windows, *args: object, **kinds: object) -> object:
        seen.append(windows)
        return look(self, view, windows, *args, **kinds)  # type: ignore[arg-type]

    monkeypatch.setattr(Stream, "_look", watched)
    return seen


numbers = st.integers(0, 39)
cells = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=5)


@settings(deadline=None, max_examples=200)
@given(cells, st.integers(12, 40), st.integers(12, 40), st.integers(1, 4))
def test_windows_hold_all_objects(cells: list[tuple[int, int]], rows: int, columns: int, most: int) -> None:
    """Each wholly in one, as few and as small as one window would be at most, none over another."""
    cells = [(y % rows, x % columns) for y, x in cells]
    size = CELL * rows, CELL * columns
    boxes = [Box(y, y + 1, x, x + 1) for y, x in cells]
    region = Region(boxes, (Window.whole(*size),), *size)
    windows = region.next_windows(most)
    assert 1 <= len(windows) <= most
    assert area_of(windows) <= area_of(region.next_windows(1))
    seen = np.zeros((rows, columns), int)
    for window in windows:
        top, left, height, width = (n // CELL for n in window)
        assert (CELL * top, CELL * left, CELL * height, CELL * width) == window
        assert 0 <= top <= top + height <= rows
        assert 0 <= left <= left + width <= columns
        assert height >= min(LEAST, rows)
        seen[top : top + height, left : left + width] += 1
    assert len({window.height for window in windows}) == 1
    assert seen.max() == 1
    assert all(seen[cell] for cell in cells)
    assert region._replace(windows=windows).is_enough()
    assert region._replace(windows=windows).next_windows(most) == windows


def test_windows_part_where_that_is_cheaper() -> None:
    """And not where one about both is as small, or where there may be one alone."""
    size = CELL * 30, CELL * 80
    far, near = ([Box(3, 6, 4, 7), Box(20, 24, left, left + 4)] for left in (70, 20))
    whole = (Window.whole(*size),)
    one, other = Region(far, whole, *size).next_windows(4)
    assert (one.height, one.width, other.width) == (CELL * LEAST,) * 3
    assert (one.left, other.left) == (0, CELL * 60)
    (joined,) = Region(near, whole, *size).next_windows(4)
    assert joined.width <= 2 * CELL * LEAST
    assert len(Region(far, whole, *size).next_windows(1)) == 1
    # an object that is seen in both windows needs one about all of it
    spread = Region([Box(3, 24, 4, 74), far[1]], (one, other), *size)
    assert not spread.is_enough()


def test_an_object_out_of_sight_is_looked_for_everywhere() -> None:
    masks = torch.zeros(2, 160, 160)
    masks[0, 70:90, 70:90] = 1
    region = Region.of(masks, (Window(160, 160, 160, 160),), 480, 864)
    assert region.next_windows(4) == (Window.whole(480, 864),)
    assert not region.is_enough()


@pytest.mark.parametrize(
    ("column", "enough"), [(0, False), (15, False), (16, True), (143, True), (150, False)]
)
def test_an_object_at_the_windows_edge_is_cut_off(column: int, enough: bool) -> None:
    masks = torch.zeros(1, 160, 160)
    masks[0, 70:90, column] = 1
    assert Region.of(masks, (Window(160, 160, 160, 160),), 480, 864).is_enough() == enough
    assert Region.of(masks, (Window(160, 0, 160, 160),), 480, 864).is_enough() == (enough or column < 16)


@pytest.mark.parametrize(("height", "width"), [(96, 128), (90, 121)])
def test_a_window_shows_the_same_as_the_whole(height: int, width: int) -> None:
    """Also where padding is missing at the frame's edges; and what is found lies where it was seen."""
    view = TensorView(torch.rand(3, height, width))
    whole, padding = seen_through(view, Window.whole(*padded_size(view)))
    padded = torch.nn.functional.pad(whole, padding)
    for window in (Window(0, 0, 48, 64), Window(32, 64, 64, 64), Window(16, 16, 32, 32)):
        part, missing = seen_through(view, window)
        rows, columns = (slice(at, at + n) for at, n in zip(window[:2], window[2:], strict=True))
        shown = torch.nn.functional.pad(part, missing)
        assert torch.equal(shown, padded[:, rows, columns])
        back = placed(view, (window,), shown)
        found = back.whole()[:, back.top : back.top + part.shape[1], back.left : back.left + part.shape[2]]
        expected = view.image[:, back.top : back.top + part.shape[1], back.left : back.left + part.shape[2]]
        assert torch.equal(found, expected)


def test_what_lies_in_two_windows_is_put_together() -> None:
    view = TensorView(torch.rand(3, 90, 121))
    left, right = Window(0, 0, 48, 32), Window(48, 80, 48, 48)
    shown = [torch.nn.functional.pad(*seen_through(view, window)) for window in (left, right)]
    found = placed(view, (left, right), torch.cat(shown, dim=2)).whole()
    expected = torch.zeros(3, 90, 121)
    expected[0] = 1
    for window, part in ((left, shown[0]), (right, shown[1])):
        alone = placed(view, (window,), part)
        bottom, right_end = alone.top + alone.prob.shape[1], alone.left + alone.prob.shape[2]
        expected[:, alone.top : bottom, alone.left : right_end] = alone.prob
    assert torch.equal(found, expected)


def test_a_part_of_a_large_frame_is_scaled_as_the_whole() -> None:
    image = np.random.default_rng(0).integers(0, 256, (240, 360, 3), np.uint8)
    view = ArrayView(image, 80, 120, torch.device("cpu"))
    assert torch.equal(view.crop(16, 32, 48, 80), view.crop(0, 0, 80, 120)[:, 16:48, 32:80])


def test_outside_is_background() -> None:
    whole = Placed(torch.full((2, 2, 3), 0.5), 1, 2, 4, 6).whole()
    assert torch.equal(whole.sum(dim=0), torch.ones(4, 6))
    assert whole[1].sum() == 3


def test_followed_as_in_whole_frames(network: VOSNetwork, looks: list[Windows]) -> None:
    """With a quarter of the pixels, and the same in a frame of nine times as many."""
    follow, whole, large = (VideoSegmenter(network, size=HEIGHT, region=r) for r in (True, False, True))
    for t in range(12):
        image, truth = scene(t)
        mask = truth if t == 0 else None
        found, expected = follow.step(image, mask), whole.step(image, mask)
        assert (found & truth).sum() > 0.9 * (found | truth).sum(), t
        assert (found & expected).sum() > 0.9 * (found | expected).sum(), t
        if t < 4:
            image, truth = scene(t, scale=3)
            assert (large.step(image, truth if t == 0 else None) & truth).sum() > 0.9 * truth.sum()
    areas = [area for windows in looks if (area := area_of(windows)) < HEIGHT * WIDTH]
    assert len(areas) >= 13
    assert max(areas) < 0.3 * HEIGHT * WIDTH


def test_two_windows_show_as_much_as_the_whole(network: VOSNetwork, looks: list[Windows]) -> None:
    """Far apart, objects are followed in two windows, and a resumed stream goes on in them."""
    follow, again = (VideoSegmenter(network, size=HEIGHT, mem_every=2) for _ in range(2))
    for t in range(8):
        image, truth = corners(t)
        if t == 4:
            assert follow.can_resume()
            again.restore(follow.state())
        found = follow.step(image, truth if t == 0 else None)
        for number in (1, 2):
            held, wanted = found == number, truth == number
            assert (held & wanted).sum() > 0.9 * (held | wanted).sum(), (t, number)
        if t == 4:
            assert np.array_equal(found, again.step(image))
    assert {len(windows) for windows in looks[1:]} == {2}
    assert max(map(area_of, looks[1:])) < 0.6 * HEIGHT * WIDTH


def test_after_a_cut_the_object_is_found_again(network: VOSNetwork, looks: list[Windows]) -> None:
    """In the same frame: where it was there is nothing, and all is looked at."""
    segmenter = VideoSegmenter(network, size=HEIGHT)
    for t in (0, 1, 2, 3, 28, 29):
        image, truth = scene(t)
        found = segmenter.step(image, truth if t == 0 else None)
        assert (found & truth).sum() > 0.5 * (found | truth).sum(), t
    whole = (Window.whole(HEIGHT, WIDTH),)
    assert [windows == whole for windows in looks] == [True, False, False, False, False, True, False]


def test_a_resumed_stream_goes_on_in_the_same_window(network: VOSNetwork) -> None:
    segmenter, again = (VideoSegmenter(network, size=HEIGHT, mem_every=2) for _ in range(2))
    for t in range(4):
        image, truth = scene(t)
        segmenter.step(image, truth if t == 0 else None)
    assert segmenter.can_resume()
    again.restore(segmenter.state())
    for t in range(4, 7):
        image, _ = scene(t)
        assert np.array_equal(segmenter.step(image), again.step(image))
