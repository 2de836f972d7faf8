"""Soft edges of cut-outs, against the edges that things have."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from spvos_cli.video.matte import BAND, HALF, soft_alpha
from spvos_cli.video.paint import cut_out

FINE, SIDE = 8, 90  # samples along a pixel's side; pixels


def disk() -> tuple[np.ndarray, np.ndarray]:
    """How much of each pixel a disk covers, 0 to 1, and its label map."""
    y, x = np.mgrid[: SIDE * FINE, : SIDE * FINE]
    inside = ((y - 340) ** 2 + (x - 371) ** 2 < 210**2).astype(np.float32)
    true = cv2.resize(inside, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return true, (true >= 0.5).astype(np.uint8)


@pytest.mark.parametrize("scale", [1, 3])
def test_cut_at_half_it_is_the_label_map(scale: int) -> None:
    """Whatever probabilities say: thin things, specks, and edges of the picture."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, (60, 90), np.uint8) * (random.random((60, 90)) < 0.3)
    labels[20:40, :50] = 2
    soft = random.random((2, 60 // scale, 90 // scale)).astype(np.float32) / 2
    for known in (soft, soft * 0, None):
        assert np.array_equal(soft_alpha(labels, known) >= HALF, labels > 0)
    assert not soft_alpha(labels * 0, soft).any()
    assert (soft_alpha(labels * 0 + 1, soft) == 255).all()


@pytest.mark.parametrize("scale", [1, 3])
def test_only_in_a_band_it_is_neither(scale: int) -> None:
    _, labels = disk()
    soft = np.full((1, SIDE // scale, SIDE // scale), 0.6, np.float32)
    alpha = soft_alpha(labels, soft)
    edge = cv2.distanceTransform(labels, cv2.DIST_L2, 5) + cv2.distanceTransform(1 - labels, cv2.DIST_L2, 5)
    partly = (alpha > 0) & (alpha < 255)
    assert BAND * scale - 0.5 < edge[partly].max() <= BAND * scale + 1
    assert partly[edge < 1.1].all()
    assert alpha[(labels > 0) & partly].min() == 153  # what the network says, as far as it may


@pytest.mark.parametrize("known", [True, False])
def test_nearer_to_the_truth_than_a_hard_edge(known: bool) -> None:
    true, labels = disk()
    soft = cv2.GaussianBlur(true, (0, 0), 0.7)[None] if known else None
    error = ((soft_alpha(labels, soft) / 255 - true) ** 2).sum()
    assert error < 0.6 * ((labels - true) ** 2).sum()


def test_the_ground_does_not_shine_through() -> None:
    true, _ = disk()
    red, green = np.array([220, 40, 30]), np.array([20, 230, 60])
    image = (true[..., None] * red + (1 - true[..., None]) * green).round().astype(np.uint8)
    alpha = (255 * true).round().astype(np.uint8)
    partly = (alpha > 0) & (alpha < 255)
    made = cut_out(image, alpha)
    assert np.array_equal(made[..., 3], alpha)
    assert not made[alpha == 0].any()
    own, left = (np.abs(picture[partly].astype(float) - red).mean() for picture in (image, made[..., :3]))
    assert left < 0.35 * own
    assert np.array_equal(made[alpha == 255, :3], image[alpha == 255])
