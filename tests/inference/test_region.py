"""The window about the objects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spvos_cli.inference.region import CELL, LEAST, Region, Window
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


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Window]:
    """The windows that went through the network."""
    seen, look = [], Stream._look

    def watched(self: Stream, view: object, window: Window, *args: object, **kinds: object) -> object:
        seen.append(window)
        return look(self, view, window, *args, **kinds)  # type: ignore[arg-type]

    monkeypatch.setattr(Stream, "_look", watched)
    return seen


numbers = st.integers(0, 39)


@settings(deadline=None, max_examples=200)
@given(st.tuples(numbers, numbers), st.tuples(numbers, numbers), st.integers(12, 40), st.integers(12, 40))
def test_windows_hold_all_objects(a: tuple[int, int], b: tuple[int, int], rows: int, columns: int) -> None:
    visible = np.zeros((2, rows, columns), bool)
    cells = [(y % rows, x % columns) for y, x in (a, b)]
    for number, cell in enumerate(cells):
        visible[(number, *cell)] = True
    region = Region(visible, Window.whole(CELL * rows, CELL * columns), CELL * rows, CELL * columns)
    top, left, height, width = (n // CELL for n in region.next_window())
    assert all(n % CELL == 0 for n in region.next_window())
    assert 0 <= top <= top + height <= rows
    assert 0 <= left <= left + width <= columns
    assert height >= min(LEAST, rows)
    assert all(top <= y < top + height and left <= x < left + width for y, x in cells)


def test_an_object_out_of_sight_is_looked_for_everywhere() -> None:
    masks = torch.zeros(2, 160, 160)
    masks[0, 70:90, 70:90] = 1
    region = Region.of(masks, Window(160, 160, 160, 160), 480, 864)
    assert region.next_window() == Window.whole(480, 864)
    assert not region.is_enough()


@pytest.mark.parametrize(
    ("column", "enough"), [(0, False), (15, False), (16, True), (143, True), (150, False)]
)
def test_an_object_at_the_windows_edge_is_cut_off(column: int, enough: bool) -> None:
    masks = torch.zeros(1, 160, 160)
    masks[0, 70:90, column] = 1
    assert Region.of(masks, Window(160, 160, 160, 160), 480, 864).is_enough() == enough
    assert Region.of(masks, Window(160, 0, 160, 160), 480, 864).is_enough() == (enough or column < 16)


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
        back = placed(view, window, shown)
        found = back.whole()[:, back.top : back.top + part.shape[1], back.left : back.left + part.shape[2]]
        expected = view.image[:, back.top : back.top + part.shape[1], back.left : back.left + part.shape[2]]
        assert torch.equal(found, expected)


def test_a_part_of_a_large_frame_is_scaled_as_the_whole() -> None:
    image = np.random.default_rng(0).integers(0, 256, (240, 360, 3), np.uint8)
    view = ArrayView(image, 80, 120, torch.device("cpu"))
    assert torch.equal(view.crop(16, 32, 48, 80), view.crop(0, 0, 80, 120)[:, 16:48, 32:80])


def test_outside_is_background() -> None:
    whole = Placed(torch.full((2, 2, 3), 0.5), 1, 2, 4, 6).whole()
    assert torch.equal(whole.sum(dim=0), torch.ones(4, 6))
    assert whole[1].sum() == 3


def test_followed_as_in_whole_frames(network: VOSNetwork, looks: list[Window]) -> None:
    """With a quarter of the pixels, and the same in a frame with nine times as many, one of which is seen."""
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
    areas = [window.area for window in looks if window != Window.whole(HEIGHT, WIDTH)]
    assert len(areas) >= 13
    assert max(areas) < 0.3 * HEIGHT * WIDTH


def test_after_a_cut_the_object_is_found_again(network: VOSNetwork, looks: list[Window]) -> None:
    """In the same frame: where it was there is nothing, and all is looked at."""
    segmenter = VideoSegmenter(network, size=HEIGHT)
    for t in (0, 1, 2, 3, 28, 29):
        image, truth = scene(t)
        found = segmenter.step(image, truth if t == 0 else None)
        assert (found & truth).sum() > 0.5 * (found | truth).sum(), t
    whole = Window.whole(HEIGHT, WIDTH)
    assert [window == whole for window in looks] == [True, False, False, False, False, True, False]


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
