"""Where frames come from: a video file, standard input, a network stream, or a folder of images."""

from __future__ import annotations

import glob
import sys
from pathlib import Path

from spvos_cli.errors import InputError
from spvos_cli.files import images_in, natural_order
from spvos_cli.video.containers import VideoSource
from spvos_cli.video.frames import A_VIDEO, Note, Source
from spvos_cli.video.images import AnimationSource, ImageSource, is_animation
from spvos_cli.video.numbers import split_frames


def open_source(text: str, *, allow_network: bool = False, note: Note = lambda text: None) -> Source:
    """The source that INPUT names: a video file, a folder of images, a glob of images, an address, or `-` for
    standard input.

    Args:
        allow_network: whether an address may be opened.
        note: takes remarks about frames that had to be passed over.

    Raises:
        InputError: there is nothing, or nothing that can be read as frames.
    """
    if text == "-":
        # unbuffered: a thread that waits for more must hold no lock when the process ends
        return VideoSource(getattr(sys.stdin.buffer, "raw", sys.stdin.buffer), "standard input", note)
    path = Path(text)
    if "://" in text and not path.exists():
        if not allow_network:
            raise InputError(
                text, found="a network address", expected=A_VIDEO, fix="--allow-network opens it"
            )
        return VideoSource(text, text, note)
    if path.is_dir():
        return _folder(path, note)
    if path.is_file():
        return AnimationSource(path, note) if is_animation(path) else VideoSource(path, text, note)
    if files := [Path(file) for file in glob.glob(text)]:
        return ImageSource(sorted(files, key=natural_order), files[0].resolve().parent.name, note)
    raise InputError(text, found="no such file", expected=A_VIDEO, fix="INPUT")


def _folder(path: Path, note: Note) -> ImageSource:
    files, masks = split_frames(sorted(images_in(path), key=natural_order))
    if not files:
        raise InputError(path, found="a folder without images", expected=A_VIDEO, fix="INPUT")
    if masks:
        note(f"{path}: {len(masks)} images are taken for masks, not for frames ({masks[0].name} ...)")
    return ImageSource(files, path.resolve().name, note)
