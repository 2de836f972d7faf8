"""`python -m tests.measure.memory`: memory and time of long runs and of many objects, on a quiet machine.

The command line runs in a process of its own and reads frames from a pipe; its peak resident memory is read
from /proc when it has written so many records, and at its end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import av
import cv2
import numpy as np

from spvos_cli.data.demo_scene import scene
from tests.conftest import write_mask

BLOCK = 24  # frames of the demo clip that are shown forwards and backwards, again and again


class Measured(NamedTuple):
    """Attributes: early, late, peak MiB when so many frames were done and at the end; ms, median a frame."""

    early: float
    late: float
    ms: float


def clip(width: int, height: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Frames of the demo clip at a size."""
    frames = [image for _, (image, _) in zip(range(BLOCK), scene(), strict=False)]
    frames = [cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR) for image in frames]
    return frames + frames[::-1]


def grid_mask(width: int, height: int, objects: int) -> np.ndarray:
    """(H, W) uint8: objects side by side, with background between."""
    columns = int(np.ceil(np.sqrt(objects)))
    y, x = np.mgrid[:height, :width]
    cell_y, cell_x = y * columns // height, x * columns // width
    ids = cell_y * columns + cell_x + 1
    inside = ((y * columns % height) < 0.7 * height) & ((x * columns % width) < 0.7 * width)
    return np.where(inside & (ids <= objects), ids, 0).astype(np.uint8)


def feed(pipe: object, frames: list[np.ndarray], count: int) -> None:
    """Sends a stream of so many frames."""
    with av.open(pipe, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"q": "3"})
        stream.height, stream.width = frames[0].shape[:2]
        for t in range(count):
            image = frames[t % len(frames)]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    pipe.close()


def peak_mib(pid: int) -> float:
    """The most resident memory that a process ever held."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def measure(
    count: int, early: int, size: tuple[int, int], objects: int, more: list[str], folder: Path
) -> Measured:
    """Runs `spvos segment` on so many frames."""
    width, height = size
    mask = write_mask(folder / "mask.png", grid_mask(width, height, objects))
    records = folder / "records.jsonl"
    command = [
        sys.executable,
        "-m",
        "spvos_cli",
        "segment",
        "-",
        "--mask",
        str(mask),
        "--quiet",
        "--overwrite",
    ]
    command += [
        "-o",
        str(records),
        "-o",
        str(folder / "labels.mkv"),
        "-o",
        str(folder / "overlay.mp4"),
        *more,
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    feeder = threading.Thread(target=feed, args=(process.stdin, clip(width, height), count), daemon=True)
    feeder.start()
    peaks: dict[int, float] = {}
    while process.poll() is None:
        done = records.read_bytes().count(b"\n") if records.exists() else 0
        if done >= early and early not in peaks:
            peaks[early] = peak_mib(process.pid)
        if 0 < done < count:
            peaks[count] = peak_mib(process.pid)
        time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"spvos ended with {process.returncode}")
    ms = median(json.loads(line)["ms"] for line in records.read_text().splitlines())
    return Measured(peaks.get(early, peaks[count]), peaks[count], ms)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--early", type=int, default=500)
    parser.add_argument("--frame", default="854x480")
    parser.add_argument("--objects", default="1", help="numbers of objects, with commas between")
    parser.add_argument("more", nargs="*", help="options of spvos segment, after --")
    options = parser.parse_args()
    size = tuple(map(int, options.frame.split("x")))
    print("| objects | frames | peak MiB at", options.early, "| peak MiB at the end | growth | ms a frame |")
    print("|---|---|---|---|---|---|")
    for objects in map(int, options.objects.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            found = measure(options.frames, options.early, size, objects, options.more, Path(folder))
        growth = f"{100 * (found.late / found.early - 1):+.1f} %"
        row = [objects, options.frames, f"{found.early:.0f}", f"{found.late:.0f}", growth, f"{found.ms:.1f}"]
        print("|", " | ".join(map(str, row)), "|", flush=True)


if __name__ == "__main__":
    _main()
