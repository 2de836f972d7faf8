"""Small whole files of many formats, and seeded damage to them."""

from __future__ import annotations

import random
from pathlib import Path

import av
import numpy as np
from PIL import Image

from tests.conftest import make_frame, write_mask, write_video

VIDEOS = ("mp4", "mkv", "webm", "gif")
IMAGES = ("png", "jpg")
EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff\xff\xff\x7f")


def write_bases(folder: Path) -> dict[str, Path]:
    """A whole file of each format, by suffix; `mask` is the mask of their first frame."""
    frames, masks = zip(*(make_frame(t) for t in range(6)), strict=True)
    bases = {
        "mask": write_mask(folder / "mask.png", masks[0]),
        "mp4": write_video(folder / "base.mp4", list(frames), sound=True),
        "mkv": write_video(folder / "base.mkv", list(frames), sound=True),
        "webm": folder / "base.webm",
        "gif": folder / "base.gif",
        "png": write_mask(folder / "base.png", masks[0]),
        "jpg": folder / "base.jpg",
    }
    with av.open(str(bases["webm"]), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=25, options={"deadline": "realtime"})
        stream.height, stream.width = frames[0].shape[:2]
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    first, *others = map(Image.fromarray, frames)
    first.save(bases["gif"], save_all=True, append_images=others, duration=40)
    first.save(bases["jpg"], exif=first.getexif())
    return bases


def payload(data: bytes, path: Path) -> list[range]:
    """Where the coded pictures and sounds lie; the rest is headers and indices."""
    if path.suffix[1:] in VIDEOS[:3]:
        with av.open(str(path)) as container:
            packets = [(p.pos, p.size) for p in container.demux() if p.pos and p.size]
        return [range(position, position + size) for position, size in packets]
    start = {".gif": data.find(b"\x2c"), ".png": data.find(b"IDAT"), ".jpg": data.rfind(b"\xff\xda")}
    return [range(start[path.suffix] + 8, len(data) - 12)]


def damaged(path: Path, rng: random.Random, *, in_payload: bool) -> bytes:
    """The file with one to four faults, in the coded data or in headers and indices."""
    data = path.read_bytes()
    coded = np.zeros(len(data), bool)
    for part in payload(data, path):
        coded[part.start : part.stop] = True
    places = np.flatnonzero(coded == in_payload).tolist()
    result = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = min(rng.choice(places), len(result) - 1)
        _damage(result, at, rng)
        if not result:
            break
    return bytes(result)


def _damage(data: bytearray, at: int, rng: random.Random) -> None:
    kind, length = rng.randrange(7), rng.choice((1, 2, 4, 16, 64, 512))
    if kind == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at : at + length] = rng.randbytes(min(length, len(data) - at))
    elif kind == 2:
        data[at : at + 4] = rng.choice(EXTREMES)
    elif kind == 3:
        del data[at : at + length]
    elif kind == 4:
        data[at:at] = data[at : at + length]
    elif kind == 5:
        data[at:at] = rng.randbytes(length)
    else:
        del data[at:]
