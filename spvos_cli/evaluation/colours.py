"""Masks whose ids are colours of no known order, as annotation tools export classes: one numbering for both
sides of a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from spvos_cli.evaluation.label_maps import LabelImages, LabelMaps
from spvos_cli.video.mask_opening import open_mask
from spvos_cli.video.palettes import pack, voc_palette


def number_colours(truth: LabelMaps, predicted: LabelMaps) -> None:
    """Has them read so that a colour is the same object on both sides, where either has colours that are not
    DAVIS's.

    Raises:
        InputError: an image cannot be read.
    """
    coloured = [
        maps
        for maps in (truth, predicted)
        if isinstance(maps, LabelImages) and has_own_colours(maps.files.values())
    ]
    files = [file for maps in coloured for file in maps.files.values()]
    for maps in coloured:
        maps.coloured = tuple(files)


def true_masks(name: str, files: Mapping[str, Path]) -> LabelImages:
    """A data set's masks by the names of their frames, whose colours count over all of them where they are
    not DAVIS's."""
    paths = tuple(files.values())
    return LabelImages(name, files, paths if has_own_colours(paths) else ())


def has_own_colours(files: Iterable[Path]) -> bool:
    """Whether the first image that is not blank has colours, and others than DAVIS's."""
    for file in files:
        image = open_mask(file)
        if image.mode in ("P", "1", "L", "I", "F") or image.mode.startswith("I;"):
            return False
        rgb = np.asarray(image.convert("RGB"))
        if rgb.any():
            grey = (rgb == rgb[..., :1]).all()
            return not grey and not np.isin(pack(rgb), pack(voc_palette())).all()
    return False
