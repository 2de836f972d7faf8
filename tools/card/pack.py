"""Here, beforehand: makes the ignored folder `data/` that travels with the tree to a machine with a card.

`python -m tools.card.pack SOURCE [ARCHIVE ...]`: DAVIS-2016 train in small from the folder of our data, and
archives of stills by name, as far as they fit.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from PIL import Image

DATA = Path(__file__).parents[2] / "data"
HEIGHT = 384
ROOM = 40 << 20  # bytes beside the tree, which has 21 of 64 MiB
STILLS = ("duts_train_1", "cats")


def shrink(source: Path, target: Path, codec: str, pixels: str, options: dict[str, str], how: int) -> None:
    """A video at another height."""
    import av  # there is none where the run is

    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        stream = None
        for frame in before.decode(video=0):
            width = round(frame.width * HEIGHT / frame.height / 2) * 2
            image = Image.fromarray(frame.to_ndarray(format="gray" if pixels == "gray" else "rgb24"))
            if stream is None:
                stream = after.add_stream(codec, rate=24, options=options)
                stream.width, stream.height, stream.pix_fmt = width, HEIGHT, pixels
            small = av.VideoFrame.from_image(image.resize((width, HEIGHT), how))
            after.mux(stream.encode(small.reformat(format=pixels)))
        if stream is not None:
            after.mux(stream.encode(None))


def pack(source: Path, archives: list[str]) -> int:
    """Returns bytes."""
    davis = DATA / "davis2016"
    for folder in (davis / "frames", davis / "masks", DATA / "stills"):
        folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(source / "unpack.py", DATA)
    names = (source / "davis2016/train.txt").read_text().split()
    (davis / "train.txt").write_text("\n".join(names))
    (davis / "val.txt").write_text("")
    for name in names:
        frames, masks = (Path("davis2016") / kind / f"{name}.mkv" for kind in ("frames", "masks"))
        shrink(source / frames, DATA / frames, "libx264", "yuv420p", {"crf": "25"}, Image.Resampling.LANCZOS)
        shrink(source / masks, DATA / masks, "ffv1", "gray", {}, Image.Resampling.NEAREST)
    for name in archives:
        shutil.copy(source / f"stills/{name}.zip", DATA / "stills")
    return sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file())


if __name__ == "__main__":
    size = pack(Path(sys.argv[1]), sys.argv[2:] or list(STILLS))
    print(f"{size / 2**20:.1f} MiB in {DATA}")
    sys.exit(size > ROOM)
