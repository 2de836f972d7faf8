"""Masks as files and as pictures of a size: opening one, and bringing it to the frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from spvos_cli.errors import InputError
from spvos_cli.video.frames import Note, Source, no_note, same_aspect
from spvos_cli.video.image_files import BY_FFMPEG, UNREADABLE, no_image, open_image
from spvos_cli.video.small_ids import MOST_OBJECTS

A_MASK = "an indexed PNG, or an image with one colour an object"


def open_mask(path: Path) -> Image.Image:
    """An image, loaded.

    Raises:
        InputError: it is missing, or no image.
    """
    if not path.is_file():
        raise InputError(path, found="no such file", expected=A_MASK, fix="--mask MASK")
    try:
        if path.suffix.lower() in BY_FFMPEG:
            return _by_ffmpeg(path)
        image = open_image(path, "--mask MASK")
        with image:
            image.load()
        return _upright(image)  # its pixels outlive the file
    except UNREADABLE as error:
        raise no_image(path, error, A_MASK, "--mask MASK") from error


def no_object(what: str | Path) -> InputError:
    """What to say where every pixel is background."""
    return InputError(what, found="no object (every pixel is background)", expected=A_MASK, fix="--mask MASK")


def too_many(path: Path, count: int, kind: str) -> InputError:
    """What to say of more objects than there are ids."""
    return InputError(
        path,
        found=f"{count} {kind}",
        expected=f"at most {MOST_OBJECTS} objects, one colour each",
        fix="--mask MASK",
    )


def _by_ffmpeg(path: Path) -> Image.Image:
    """The first picture that FFmpeg finds, with its alpha: mattes in EXR and DPX."""
    from spvos_cli.video.label_videos import label_images  # needs PyAV

    return next(label_images(path))


def _upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says; the format it had is kept for who asks whether that loses anything."""
    if "exif" not in image.info:
        return image
    turned = ImageOps.exif_transpose(image)
    turned.format = image.format
    return turned


def fit_mask(ids: np.ndarray, source: Source, name: str | Path, note: Note = no_note) -> np.ndarray:
    """The mask at the size of the frames, which others are brought to, and that is said: rescaled, where the
    aspect is the frames' or, where pixels are not square, what players show; turned, where it was made for a
    video on its side.

    Raises:
        InputError: its aspect is another.
    """
    height, width, found = source.height, source.width, f"{ids.shape[1]}x{ids.shape[0]} pixels"
    if ids.shape == (height, width):
        return ids
    shown = round(width * source.pixel_aspect)
    if same_aspect(ids.shape, height, width):
        note(f"{name}: {found}, rescaled to the frames' {width}x{height}")
    elif source.pixel_aspect != 1 and same_aspect(ids.shape, height, shown):
        note(f"{name}: {found}, as the video is shown; rescaled to the frames' {width}x{height}")
    elif source.orientation.on_its_side and same_aspect(ids.shape, width, height):
        note(f"{name}: {found}; the video is {source.orientation}, and so the mask is turned, too")
        return fit_mask(source.orientation.apply(ids), source, name)
    else:
        expected = f"the frames' {width}x{height}"
        if source.pixel_aspect != 1:
            expected += f" (shown as {shown}x{height})"
        raise InputError(name, found=found, expected=expected, fix="--mask MASK of the video's size")
    return np.array(Image.fromarray(ids).resize((width, height), Image.Resampling.NEAREST))
