"""Label maps as image files: ids of objects, frame by frame, of which one may be empty."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spvos_cli.video.masks import MaskReader
from spvos_cli.video.palettes import indexed_image, voc_palette
from spvos_cli.video.pngs import save_png


def read_label_map(path: Path) -> np.ndarray:
    """Ids (H, W) uint8: indices and grey values as they are, colours by DAVIS's palette; white is 255.

    Raises:
        InputError: it is no image, or has values that are no ids.
    """
    return MaskReader(strict=True).read(path).ids


def save_label_map(path: Path, labels: np.ndarray) -> None:
    """An indexed PNG in DAVIS's colours, written beside and renamed.

    Args:
        labels: ids (H, W) uint8.
    """
    save_png(indexed_image(labels, voc_palette()), path)
