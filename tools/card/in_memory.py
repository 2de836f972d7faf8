"""`spvos` with all training pictures decoded beforehand, for a machine with much memory and little time:
`python -m tools.card.in_memory decode FOLDER ...`, then `python -m tools.card.in_memory train ...`.

Decoding takes most of what a clip costs. Each picture gets an array beside it, which processes share.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from spvos_cli.__main__ import main
from spvos_cli.data import folders
from spvos_cli.files import images_in

ARRAY = ".npy"
SOME = 200  # stills that a process takes at a time
_read_frame, _read_mask = folders.read_frame, folders.VideoSequence.read_mask


def array_of(path: Path) -> Path:
    """Where a picture's array lies: beside it."""
    return path.with_suffix(ARRAY)


def decode(paths: list[Path]) -> int:
    """Arrays of frames, or of masks, of one sequence or of stills; their number."""
    frames = {"images", "JPEGImages"} & set(paths[0].parts[-4:])
    masks = folders.VideoSequence("", (), tuple(paths))
    for index, path in enumerate(paths):
        np.save(array_of(path), _read_frame(path) if frames else _read_mask(masks, index))
    return len(paths)


def decode_all(roots: list[Path]) -> int:
    """Of all that has no array yet, stills some at a time; returns how many there were."""
    holding = [d for root in roots for d in sorted(root.rglob("*")) if d.is_dir()]
    parts = []
    for folder in holding:
        paths = [path for path in images_in(folder) if not array_of(path).exists()]
        size = SOME if folder.name in ("images", "masks") else len(paths)
        parts += [paths[i : i + size] for i in range(0, len(paths), size or 1)]
    with ProcessPoolExecutor() as pool:
        return sum(pool.map(decode, parts))


def read_frame(path: Path) -> np.ndarray:
    """As `folders.read_frame`, from its array where there is one."""
    array = array_of(path)
    return np.load(array, mmap_mode="r") if array.exists() else _read_frame(path)


def read_mask(sequence: folders.VideoSequence, index: int) -> np.ndarray:
    """As `VideoSequence.read_mask`, likewise."""
    array = array_of(sequence.masks[index])
    return np.load(array, mmap_mode="r") if array.exists() else _read_mask(sequence, index)


if __name__ == "__main__":
    if sys.argv[1:2] == ["decode"]:
        print(decode_all([Path(root) for root in sys.argv[2:]]), "pictures")
    else:
        folders.read_frame = read_frame
        folders.VideoSequence.read_mask = read_mask  # type: ignore[method-assign]
        main()
