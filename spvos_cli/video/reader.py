"""Where frames come from: a video file, standard input, a network stream, or a folder of images."""

from __future__ import annotations

import contextlib
import glob
import re
import sys
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from spvos_cli.errors import InputError
from spvos_cli.files import IMAGE_SUFFIXES, images_in, natural_order
from spvos_cli.video.containers import VideoSource
from spvos_cli.video.frames import A_VIDEO, Note, Source, no_note
from spvos_cli.video.image_files import UNREADABLE, open_image
from spvos_cli.video.images import AnimationSource, ImageSource, is_animation
from spvos_cli.video.numbers import split_frames
from spvos_cli.video.samples import SampleRange, check_range_is_of_use

Input = str | tuple[str, ...]  # what INPUT names, or the images that are one video's frames, one by one
PRINTF = re.compile(r"%0?\d*d|##+")  # what FFmpeg, and what compositors call a sequence by
_READABLE = f"frames: {' '.join(sorted(IMAGE_SUFFIXES))}"


def open_source(
    input: Input,
    *,
    allow_network: bool = False,
    note: Note = no_note,
    track: int | None = None,
    sample_range: SampleRange | None = None,
    masks: Collection[Path] = (),
) -> Source:
    """The source that INPUT names: a video file, a folder of images, a glob of images, images one by one, an
    address, or `-` for standard input.

    Args:
        allow_network: whether an address may be opened.
        note: takes remarks about frames that had to be passed over.
        track: the video track of a container, counted from 0; None for the one that players show.
        sample_range: of samples of more than 8 bits; None to measure it.
        masks: files that are no frames, wherever they lie.

    Raises:
        InputError: there is nothing, or nothing that can be read as frames.
    """
    if not isinstance(input, str):
        _refuse_track(track)
        return _listed(input, note, sample_range, masks)
    text = input
    if text == "-":
        # unbuffered: a thread that waits for more must hold no lock when the process ends
        stream = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
        return VideoSource(stream, "standard input", note, track=track, sample_range=sample_range)
    path = Path(text)
    if "://" in text and not path.exists():
        if not allow_network:
            raise InputError(
                text, found="a network address", expected=A_VIDEO, fix="--allow-network opens it"
            )
        return VideoSource(text, text, note, track=track, sample_range=sample_range)
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES or not path.is_file():
        _refuse_track(track)
    if path.is_dir():
        return _folder(path, note, sample_range, masks)
    if path.is_file():
        if is_animation(path):
            check_range_is_of_use(sample_range, deep=False)
            return AnimationSource(path, note)
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return ImageSource([path], path.stem, note, sample_range)
        return VideoSource(path, text, note, track=track, sample_range=sample_range)
    return _glob(text, note, sample_range, masks)


def _folder(path: Path, note: Note, sample_range: SampleRange | None, given: Collection[Path]) -> ImageSource:
    files, masks = split_frames(_without(given, sorted(images_in(path), key=natural_order)))
    if not files:
        raise InputError(path, found=_what_is_in(path), expected=_READABLE, fix="INPUT")
    if masks:
        note(f"{path}: {len(masks)} images are taken for masks, not for frames ({masks[0].name} ...)")
    kinds = Counter(re.sub(r"\d+", "#", file.name) for file in files)
    several = [f"{name} {count}" for name, count in kinds.items() if count > 1]
    if len(several) > 1:
        found = f"images of {len(several)} names ({', '.join(several[:4])}) follow one another"
        note(f"{path}: {found}; a glob in quotes takes some of them")
    return ImageSource(files, path.resolve().name, note, sample_range)


def _glob(text: str, note: Note, sample_range: SampleRange | None, given: Collection[Path]) -> ImageSource:
    pattern = PRINTF.sub("*", text)
    files = _without(given, [Path(file) for file in glob.glob(pattern) if Path(file).is_file()])
    if not files:
        raise InputError(text, found="no such file", expected=A_VIDEO, fix="INPUT")
    return ImageSource(sorted(files, key=natural_order), files[0].resolve().parent.name, note, sample_range)


def _listed(
    names: tuple[str, ...], note: Note, sample_range: SampleRange | None, given: Collection[Path]
) -> ImageSource:
    """Images one by one: in natural order where they came in that of the alphabet, as shells give them."""
    files = _without(given, [Path(name) for name in names])
    for file in files:
        if not file.is_file() or file.suffix.lower() not in IMAGE_SUFFIXES:
            found = "no image by its name" if file.is_file() else "no such file"
            raise InputError(
                file, found=found, expected="an image, as all that are given with it", fix="INPUT"
            )
    if not files:
        found, expected = "no image that is no mask", "the frames, one by one"
        raise InputError(title_of(names), found=found, expected=expected, fix="INPUT")
    plain = [file.as_posix() for file in files]
    as_shells = any(plain == sorted(plain, key=key) for key in (None, str.lower, _letters))
    ordered = sorted(files, key=lambda file: (file.parent, natural_order(file))) if as_shells else files
    _check_alike(ordered)
    order = "in natural order" if as_shells else "in the order given"
    note(f"{len(files)} images are the frames of one video, {order}: {title_of(tuple(map(str, ordered)))}")
    return ImageSource(ordered, ordered[0].resolve().parent.name, note, sample_range)


def _check_alike(files: list[Path]) -> None:
    """Images of several sizes that nobody put into a folder are hardly frames of one video."""
    sizes: dict[tuple[int, int], Path] = {}
    for file in files:
        with contextlib.suppress(*UNREADABLE, InputError), open_image(file) as image:
            sizes.setdefault(image.size, file)
    if len(sizes) > 1:
        (first, one), (other, another) = list(sizes.items())[:2]
        found, expected = "{}x{} pixels".format(*other), "{}x{} as {} has, as a frame of the same video"
        fix = "a folder, or a glob in quotes, takes images of several sizes"
        raise InputError(another, found=found, expected=expected.format(*first, one), fix=fix)


def title_of(input: Input) -> str:
    """What an INPUT is called in messages."""
    return input if isinstance(input, str) else " ... ".join(dict.fromkeys(input[:1] + input[-1:])) or "INPUT"


def _letters(name: str) -> str:
    """What most locales sort by."""
    return re.sub(r"[^\w/]|_", "", name).lower()


def _refuse_track(track: int | None) -> None:
    if track is not None:
        found = "images, which have no tracks"
        raise InputError(f"--track {track}", found=found, expected="a video file", fix="--track")


def _without(masks: Collection[Path], files: list[Path]) -> list[Path]:
    left_out = {path.resolve() for path in masks}
    return [file for file in files if file.resolve() not in left_out]


def _what_is_in(folder: Path) -> str:
    """Of a folder without images, for messages."""
    inner = [sub for sub in sorted(folder.iterdir()) if sub.is_dir() and images_in(sub)]
    if inner:
        return f"a folder without images; there are some in {inner[0]}"
    suffixes = sorted({file.suffix.lower() for file in folder.iterdir() if file.is_file()} - {""})
    return f"a folder without images, with {', '.join(suffixes)}" if suffixes else "a folder without images"
