"""Image files of any format that Pillow, OpenCV or FFmpeg reads, with all the bits of their samples."""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from spvos_cli.errors import InputError
from spvos_cli.video.frames import check_size

STACKS = {".tif", ".tiff"}
UNREADABLE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    ValueError,
    SyntaxError,
    IndexError,
    KeyError,
    TypeError,
    EOFError,
    MemoryError,
    OverflowError,
    NotImplementedError,
    struct.error,
    zlib.error,
)  # what Pillow's plugins raise for damaged files
BY_FFMPEG = {".exr", ".dpx", ".cin", ".hdr", ".jxl", ".sgi", ".rgb", ".qoi"}  # Pillow reads none, or 8 bits


def read_samples(file: Path, page: int = 0) -> np.ndarray:
    """(H, W, 3) uint8, RGB, upright, clear pixels black; or (H, W) or (H, W, 3) uint16 or float32 where the
    file has more than 8 bits.

    Args:
        page: of a TIFF with several.

    Raises:
        InputError: it is no image, or too large.
    """
    if file.suffix.lower() in BY_FFMPEG:
        with contextlib.suppress(InputError):
            return _by_ffmpeg(file)
    try:
        return _by_pillow(file, page)
    except UNREADABLE as error:
        with contextlib.suppress(InputError, cv2.error):
            return _by_opencv(file, page)
        with contextlib.suppress(InputError):
            return _by_ffmpeg(file)
        raise no_image(file, error) from error


def page_count(file: Path) -> int:
    """How many images a file holds: more than one in a TIFF stack."""
    if file.suffix.lower() not in STACKS:
        return 1
    try:
        with open_image(file) as image:
            return int(getattr(image, "n_frames", 1))
    except UNREADABLE:
        ok, pages = _opencv_pages(file)
        return len(pages) if ok else 1


def open_image(file: Path, option: str = "INPUT") -> Image.Image:
    """A file in Pillow, not decoded yet; the option is for messages.

    Raises:
        InputError: it has too many pixels.
    """
    _register_heif()
    image = Image.open(file)
    check_size(image.width, image.height, file, option)
    return image


def on_black_image(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8: what is clear is black, whatever colour lies under it."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return np.array(image.convert("RGB"))
    rgba = image.convert("RGBA")
    black = Image.new("RGBA", rgba.size, "black")
    return np.array(Image.alpha_composite(black, rgba).convert("RGB"))


def _by_pillow(file: Path, page: int) -> np.ndarray:
    with open_image(file) as image:
        if page:
            image.seek(page)
        if (
            ";16" in str(getattr(image, "tile", "")) and len(image.getbands()) > 1
        ):  # Pillow would keep 8 bits of them
            found = _by_opencv(file, page)
            if found.dtype != np.uint8:
                return found
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            values = np.array(_upright(image))
            return values.astype(np.uint16) if image.mode.startswith("I;16") else _narrow(values)
        return on_black_image(_upright(image))


def _narrow(values: np.ndarray) -> np.ndarray:
    """Integers of 32 bits in 16, where they fit."""
    fits = values.dtype.kind == "i" and values.min() >= 0 and values.max() < 2**16
    return values.astype(np.uint16) if fits else values.astype(np.float32)


def _by_opencv(file: Path, page: int) -> np.ndarray:
    """Of what Pillow cannot read, or not with all its bits.

    Raises:
        InputError: OpenCV cannot read it, either.
    """
    if page:
        ok, pages = _opencv_pages(file)
        image = pages[page] if ok and page < len(pages) else None
    else:
        image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim not in (2, 3):
        raise InputError(file, found="not readable as an image", expected="an image", fix="INPUT")
    check_size(image.shape[1], image.shape[0], file, "INPUT")
    if image.ndim == 3 and image.shape[2] == 4:
        alpha = image[..., 3:] / (np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1)
        image = (image[..., :3] * alpha).astype(image.dtype)
    if image.ndim == 2 and image.dtype == np.uint8:
        return np.dstack([image] * 3)
    image = image.astype(np.float32) if image.dtype.kind in "if" else image
    return np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else np.asarray(image)


def _opencv_pages(file: Path) -> tuple[bool, tuple[np.ndarray, ...]]:
    with contextlib.suppress(cv2.error):
        ok, pages = cv2.imreadmulti(str(file), flags=cv2.IMREAD_UNCHANGED)
        return ok, tuple(np.asarray(page) for page in pages)
    return False, ()


def _by_ffmpeg(file: Path) -> np.ndarray:
    """The first picture that FFmpeg finds in a file.

    Raises:
        InputError: there is none.
    """
    from spvos_cli.video.decoder import still_picture

    return still_picture(file)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except UNREADABLE:  # damaged EXIF data: the pixels are what counts
        return image


def _register_heif() -> None:
    """HEIC is read where its reader is installed."""
    if ".heic" in Image.registered_extensions():
        return
    with contextlib.suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()


def no_image(file: Path, error: Exception) -> InputError:
    """What to say of a file that nothing reads."""
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return InputError(file, found=f"not readable as an image ({reason})", expected="an image", fix="INPUT")
