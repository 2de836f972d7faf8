"""Image files of any format that Pillow, OpenCV or FFmpeg reads, with all the bits of their samples."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from spvos_cli.errors import InputError
from spvos_cli.video.frames import check_size, same_aspect
from spvos_cli.video.orientation import UPRIGHT, Orientation

STACKS = {".tif", ".tiff"}
ORIENTATION = 0x0112  # EXIF's tag
SUBFILE_TYPE, REDUCED = 254, 1  # TIFF's tag, and its bit of a thumbnail or a level of a pyramid
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
HEIF = {".heic", ".heif", ".hif"}  # in which FFmpeg takes a tile, or the thumbnail, for the picture
# Pillow reads none of these, or 8 bits; OpenCV takes blue for red in PAM
BY_FFMPEG = {".exr", ".dpx", ".cin", ".hdr", ".jxl", ".sgi", ".rgb", ".qoi", ".pam", ".jls"}


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
        if file.suffix.lower() not in HEIF:
            with contextlib.suppress(InputError):
                return _by_ffmpeg(file)
        raise no_image(file, error) from error


def pages_of(file: Path) -> list[int]:
    """The numbers of the images in a file: more than one in a TIFF stack, whose thumbnails and reduced copies
    are none."""
    if file.suffix.lower() not in STACKS:
        return [0]
    try:
        with open_image(file) as image:
            return whole_pages(image)
    except UNREADABLE:
        ok, pages = _opencv_pages(file)
        return [*range(len(pages))] if ok and pages else [0]


def whole_pages(image: Image.Image) -> list[int]:
    """Pages that are not said to be reduced, nor smaller than the first in its aspect."""
    first, pages = image.size, [0]
    for page in range(1, int(getattr(image, "n_frames", 1))):
        image.seek(page)
        said = dict(getattr(image, "tag_v2", {})).get(SUBFILE_TYPE, 0)
        smaller = image.width < first[0] and same_aspect(image.size[::-1], first[1], first[0])
        if not smaller and not int(said) & REDUCED:
            pages.append(page)
    image.seek(0)
    return pages


def open_image(file: Path, option: str = "INPUT") -> Image.Image:
    """A file in Pillow, not decoded yet; the option is for messages.

    Raises:
        InputError: it has too many pixels.
    """
    _register_heif()
    image = Image.open(file)
    check_size(image.width, image.height, file, option)
    return image


def orientation_of_image(file: Path) -> Orientation:
    """How it was turned by its EXIF."""
    try:
        with open_image(file) as image:
            return Orientation.of_exif(image.getexif().get(ORIENTATION, 1))
    except UNREADABLE:
        return UPRIGHT


def on_black_image(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8: what is clear is black, whatever colour lies under it."""
    image = _in_srgb(image)
    if "A" not in image.getbands() and "transparency" not in image.info:
        return np.array(image.convert("RGB"))
    rgba = image.convert("RGBA")
    black = Image.new("RGBA", rgba.size, "black")
    return np.array(Image.alpha_composite(black, rgba).convert("RGB"))


def _in_srgb(image: Image.Image) -> Image.Image:
    """The colours of an image with a profile of its own: phones' Display P3, Adobe RGB, printers' CMYK."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        found = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, ImportError, *UNREADABLE):  # damaged, or Pillow knows no profiles
        return image
    return image if found is None else found


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


def no_image(file: Path, error: Exception, expected: str = "an image", option: str = "INPUT") -> InputError:
    """What to say of a file that nothing reads."""
    if file.suffix.lower() in HEIF and ".heic" not in Image.registered_extensions():
        found = "HEIC, whose reader is not installed"
        return InputError(file, found=found, expected=expected, fix="pip install pillow-heif")
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return InputError(file, found=f"not readable as an image ({reason})", expected=expected, fix=option)
