"""Everything that --mask takes, as masks of frames: images, folders, arrays, JSON, stacks, label videos."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from spvos_cli.errors import InputError
from spvos_cli.files import images_in, natural_order
from spvos_cli.video.frames import Note, Source
from spvos_cli.video.image_files import STACKS, UNREADABLE, whole_pages
from spvos_cli.video.images import ANIMATIONS
from spvos_cli.video.mask_arrays import ARRAYS, read_arrays
from spvos_cli.video.mask_json import is_mask_json, read_mask_json
from spvos_cli.video.mask_opening import A_MASK
from spvos_cli.video.masks import Mask, MaskReader
from spvos_cli.video.moments import FIRST, Moment, split_moment
from spvos_cli.video.numbers import frames_of, label_in, split_frames
from spvos_cli.video.small_ids import MOST_OBJECTS

VIDEOS = {".mkv", ".mp4", ".mov", ".avi", ".webm", ".m4v", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".m2v"}
VIDEOS |= {".wmv", ".flv", ".ogv", ".3gp", ".mxf", ".nut", ".y4m", ".vob"}
SAME_RATE = 0.1  # share by which a mask video's rate may differ from the frames'
EXPORTS = ("SegmentationObject", "SegmentationClass", "Annotations", "masks")  # folders in what tools export


class FrameMask(NamedTuple):
    """A mask and where it belongs.

    Attributes:
        moment: the frame that it is of.
        name: for messages.
        read: gives the mask, each time anew; it may be empty.
        file: that it is in.
        label: what its file's name says about the object in it.
        one_of_many: whether its file or folder has masks of other frames, too.
    """

    moment: Moment
    name: str
    read: Callable[[], Mask]
    file: Path
    label: str | None = None
    one_of_many: bool = False


def masks_of(text: str, source: Source, reader: MaskReader, note: Note) -> list[FrameMask]:
    """The masks that --mask [FRAME:]FILE names, in the order of its frames.

    Raises:
        InputError: it is missing, not readable, or belongs to no frame.
    """
    found = _masks_of(text, source, reader, note)
    return [mask._replace(one_of_many=True) for mask in found] if len(found) > 1 else found


def _masks_of(text: str, source: Source, reader: MaskReader, note: Note) -> list[FrameMask]:
    moment, name = split_moment(text)
    path, at = Path(name), moment.in_source(source, f"--mask {text}")
    if path.is_dir():
        if moment != FIRST:
            raise _many_frames(text)
        return _folder(path, source, reader, note)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise InputError(path, found="no such file", expected=A_MASK, fix="--mask MASK")
    if suffix in ARRAYS:
        return list(_arrays(path, at, source, reader))
    if suffix == ".json":
        return list(_json(path, None if moment == FIRST else at, source, note))
    if suffix in VIDEOS:
        return _video(path, at, source, reader, note)
    if suffix in STACKS | ANIMATIONS and (stack := list(_pages(path, at, reader))):
        return stack
    return [FrameMask(at, name, partial(reader.read, path), path)]


def _folder(path: Path, source: Source, reader: MaskReader, note: Note) -> list[FrameMask]:
    files = split_frames(sorted(images_in(path), key=natural_order))
    images = files[1] or files[0]
    jsons = [file for file in sorted(path.glob("*.json"), key=natural_order) if is_mask_json(file)]
    arrays = [file for file in sorted(path.iterdir(), key=natural_order) if file.suffix.lower() in ARRAYS]
    if not images and not jsons and arrays:
        places = zip(frames_of(arrays, source, path, note), arrays, strict=True)
        return [m for t, file in places for m in _arrays(file, _moment(t, source), source, reader)]
    if not images and not jsons:
        if inner := [path / name for name in EXPORTS if images_in(path / name)]:
            return _folder(inner[0], source, reader, note)
        if objects := [sub for sub in sorted(path.iterdir(), key=natural_order) if images_in(sub)]:
            return [mask for sub in objects for mask in _object_folder(sub, source, reader, note)]
        deep = next((sub for sub in sorted(path.rglob("*")) if images_in(sub)), None)
        found = "a folder without images" + (f"; there are some in {deep}" if deep else "")
        raise InputError(path, found=found, expected="masks named as the frames are", fix="--mask FOLDER")
    if not images:
        frames = frames_of(jsons, source, path, note)
        names: dict[object, int] = {}  # a label means the same object in all files
        return [
            _kept(_moment(t, source), str(file), part.mask(), file)
            for t, file in zip(frames, jsons, strict=True)
            for part in read_mask_json(file, source, names, note)
        ]
    frames = frames_of(images, source, path, note)
    return [
        FrameMask(
            _moment(index, source), str(file), partial(reader.read, file), file, label_in(file.stem, source)
        )
        for index, file in zip(frames, images, strict=True)
    ]


def _object_folder(path: Path, source: Source, reader: MaskReader, note: Note) -> Iterator[FrameMask]:
    """Black-and-white masks of one object, which the folder's name says: its id, or another word."""

    def read(file: Path) -> Mask:
        mask = reader.read(file)
        if mask.ids.max() > 1:
            expected = "black-and-white masks in a folder for each object"
            raise InputError(file, found="several objects", expected=expected, fix=f"--mask {path}")
        return mask._replace(ids=mask.ids * np.uint8(number), white=False) if number else mask

    number = int(path.name) if path.name.isdecimal() and 1 <= int(path.name) <= MOST_OBJECTS else None
    for mask in _folder(path, source, reader, note):
        label = None if number else path.name
        yield mask._replace(read=partial(read, mask.file), label=label)


def _arrays(path: Path, at: Moment, source: Source, reader: MaskReader) -> Iterator[FrameMask]:
    """Of a .npy or .npz file."""
    found = read_arrays(path, source)
    for index, values in found:
        image = values.ndim == 3
        mask = reader.of_image(Image.fromarray(values), path) if image else reader.of_values(values, path)
        name = f"{path}[{index}]" if len(found) > 1 else str(path)
        yield _kept(_later(at, index), name, mask, path)


def _json(path: Path, at: Moment | None, source: Source, note: Note) -> Iterator[FrameMask]:
    """At a frame that is given, else where the names of images say, else at the first."""
    parts = read_mask_json(path, source, note=note)
    if at and len(parts) > 1:
        raise _many_frames(f"{at}:{path}")
    for part in parts:
        named = None if part.frame is None else _moment(part.frame, source)
        name = f"{path} ({part.name})" if named and not at else f"{path}"
        yield _kept(at or named or FIRST.in_source(source, str(path)), name, part.mask(), path)


def _many_frames(text: str) -> InputError:
    found, expected = "masks of frames that their names tell", "no number before it"
    return InputError(f"--mask {text}", found=found, expected=expected, fix=f"--mask {split_moment(text)[1]}")


def _pages(path: Path, at: Moment, reader: MaskReader) -> Iterator[FrameMask]:
    """Of a file with several pages or images, one a frame; none of a file with one."""
    try:
        with Image.open(path) as image:
            pages = whole_pages(image)
            for index, page in enumerate(pages if len(pages) > 1 else ()):
                image.seek(page)
                mask = _read_one(image.copy(), path, reader, first=index == 0)
                yield _kept(_later(at, index), f"{path}[{index}]", mask, path)
    except UNREADABLE as error:
        found = "not readable as an image, or not to its end"
        raise InputError(path, found=found, expected=A_MASK, fix="--mask MASK") from error


def _video(path: Path, at: Moment, source: Source, reader: MaskReader, note: Note) -> list[FrameMask]:
    """Of a label video, one a frame; by their times where it has another rate than the frames."""
    from spvos_cli.video.label_videos import label_images  # needs PyAV

    masks: list[FrameMask] = []
    times: list[float] = []
    for index, image in enumerate(label_images(path)):
        mask = _read_one(image, path, reader, first=index == 0)
        masks.append(_kept(_later(at, index), f"{path}[{index}]", mask, path))
        times.append(float(image.info["seconds"]))
    between, step = (times[-1] - times[0]) / max(1, len(times) - 1) if times else 0.0, float(1 / source.rate)
    same_rate = abs(between / step - 1) < SAME_RATE
    if not source.timed or not between or same_rate or at != FIRST or len(masks) == source.count():
        return masks
    note(f"{path}: a mask every {between:.3g} s, a frame every {step:.3g} s: taken by times")
    half = step / 2  # containers round times
    moments = [Moment(seconds=max(0.0, time - times[0] - half)) for time in times]
    return [mask._replace(moment=moment) for mask, moment in zip(masks, moments, strict=True)]


def _read_one(image: Image.Image, path: Path, reader: MaskReader, *, first: bool) -> Mask:
    """One of many masks in a file, of which the first alone has remarks."""
    note = reader.note
    try:
        if not first:
            reader.note = lambda text: None
        return reader.of_image(image, path)
    finally:
        reader.note = note


def _moment(index: int, source: Source) -> Moment:
    return Moment(index, called=source.number(index))


def _later(moment: Moment, frames: int) -> Moment:
    """A mask's frame, `frames` after that of the first."""
    return Moment(moment.frame + frames) if moment.frame is not None else moment


def _kept(moment: Moment, name: str, mask: Mask, file: Path) -> FrameMask:
    """A mask that cannot be read again at its frame; it waits compressed, in some thousand bytes."""
    shape, packed = mask.ids.shape, zlib.compress(np.ascontiguousarray(mask.ids).tobytes(), 1)

    def read() -> Mask:
        ids = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape)
        return mask_of._replace(ids=ids)

    mask_of = mask._replace(ids=np.zeros((0, 0), np.uint8))
    return FrameMask(moment, name, read, file)
