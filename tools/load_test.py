"""`python -m tools.load_test`: many short clips, some of them broken, with workers killed at random moments.

Says how many came out right, byte for byte as from a process of their own; how many of the broken were told;
what was left behind; and how memory and open files went.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
from PIL import Image

from spvos_cli import load_model, segment_video
from tests.conftest import make_frame, write_mask, write_video

KINDS = 7  # of whole clips, of so many frames and two more
SHORTEST = 4


class Sample(NamedTuple):
    """Attributes: mib, resident, and files, open, of the process that hands out, and the most of a worker."""

    mib: float
    files: int
    worker_mib: float
    worker_files: int


def make_clips(folder: Path, count: int) -> tuple[list[dict[str, str]], set[str], dict[str, int]]:
    """Clips in a folder; their rows, the names of those that are broken, and the kinds of the others."""
    kinds = []
    for kind in range(KINDS):
        frames, masks = zip(*(make_frame(kind + t) for t in range(SHORTEST + kind % 3)), strict=True)
        video = write_video(folder / f"kind{kind}.mp4", list(frames))
        kinds.append((video, write_mask(folder / f"kind{kind}.png", masks[0])))
    rows, of_kind = [], {}
    for number in range(count):
        name = f"clip{number:04d}"
        video, mask = kinds[number % KINDS]
        shutil.copy(video, folder / f"{name}.mp4")
        shutil.copy(mask, folder / f"{name}.png")
        rows.append({"input": f"{name}.mp4", "mask": f"{name}.png"})
        of_kind[name] = number % KINDS
    broken = random.Random(3).sample(range(count), len(BREAKS))
    for number, break_clip in zip(broken, BREAKS, strict=True):
        break_clip(folder, rows[number])
    names = {f"clip{number:04d}" for number in broken}
    return rows, names, {name: kind for name, kind in of_kind.items() if name not in names}


def _gone(folder: Path, row: dict[str, str]) -> None:
    (folder / row["input"]).unlink()


def _empty(folder: Path, row: dict[str, str]) -> None:
    (folder / row["input"]).write_bytes(b"")


def _text(folder: Path, row: dict[str, str]) -> None:
    (folder / row["input"]).write_text("no video")


def _cut_off(folder: Path, row: dict[str, str]) -> None:
    content = (folder / row["input"]).read_bytes()
    (folder / row["input"]).write_bytes(content[: len(content) // 2])


def _no_mask(folder: Path, row: dict[str, str]) -> None:
    row["mask"] = ""


def _mask_gone(folder: Path, row: dict[str, str]) -> None:
    (folder / row["mask"]).unlink()


def _mask_empty(folder: Path, row: dict[str, str]) -> None:
    write_mask(folder / row["mask"], np.zeros((96, 128), np.uint8))


def _mask_of_another_size(folder: Path, row: dict[str, str]) -> None:
    write_mask(folder / row["mask"], np.ones((96, 96), np.uint8))


def _mask_beyond_the_end(folder: Path, row: dict[str, str]) -> None:
    row["mask"] = f"99:{row['mask']}"


def _broken_in_the_middle(folder: Path, row: dict[str, str]) -> None:
    """Images of which the fourth is none: it fails while it runs, the others before."""
    row["input"] = row["input"].removesuffix(".mp4")
    (folder / row["input"]).mkdir()
    for t in range(6):
        Image.fromarray(make_frame(t)[0]).save(folder / row["input"] / f"{t}.png")
    (folder / row["input"] / "3.png").write_bytes(b"no picture")


BREAKS = (
    *(_gone, _empty, _text, _cut_off, _no_mask, _mask_gone, _mask_empty, _mask_of_another_size),
    *(_mask_beyond_the_end, _broken_in_the_middle),
)


def workers_of(process: int) -> list[int]:
    """Processes that a process has started to work for it."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [int(child) for child in children if b"spawn_main" in _read(f"/proc/{child}/cmdline")]


def sample(process: int) -> Sample:
    """What a process and its workers hold now."""
    workers = [_held(worker) for worker in workers_of(process)] or [(0.0, 0)]
    return Sample(*_held(process), *map(max, zip(*workers, strict=True)))


def _held(process: int) -> tuple[float, int]:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir(f"/proc/{process}/fd"))
    except OSError:  # it has ended
        return 0.0, 0


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def run(folder: Path, workers: int, kills: int, count: int) -> tuple[dict, list[Sample], int]:
    """The command, with workers killed: what it says, what it held every half second, how many were."""
    command = [sys.executable, "-m", "spvos_cli", "segment", "--jobs", "jobs.jsonl", "--json", "--quiet"]
    command += ["-o", "out/{name}", "--dtype", "fp32", "--engine", "torch", "--workers", str(workers)]
    rng, samples, killed = random.Random(5), list[Sample](), 0
    moments = sorted(rng.sample(range(count // 20, count * 9 // 10), kills))
    environment = os.environ | {"TMPDIR": str(folder / "tmp")}
    with (folder / "out.json").open("w") as out, (folder / "errors.txt").open("w") as errors:
        process = subprocess.Popen(
            [*command, "--threads", str(workers)], cwd=folder, env=environment, stdout=out, stderr=errors
        )
        while process.poll() is None:
            time.sleep(0.5 + 0.2 * rng.random())
            done = len(list((folder / "out").glob("*.done")))
            samples.append(sample(process.pid))
            if killed < kills and done >= moments[killed] and (there := workers_of(process.pid)):
                os.kill(rng.choice(there), signal.SIGKILL)
                killed += 1
    return json.loads((folder / "out.json").read_text()), samples, killed


def read_outputs(folder: Path) -> dict[str, bytes]:
    """Files by name; empty where there is no such folder."""
    return {file.name: file.read_bytes() for file in folder.iterdir()} if folder.is_dir() else {}


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tmp").mkdir()
        rows, broken, kinds = make_clips(folder, options.clips)
        (folder / "jobs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        network = load_model(dtype="fp32", engine="torch", device="cpu")
        for kind in range(KINDS):
            video, mask = folder / f"kind{kind}.mp4", folder / f"kind{kind}.png"
            segment_video(video, mask, folder / f"right{kind}", network=network, threads=1)
        right = [read_outputs(folder / f"right{kind}") for kind in range(KINDS)]
        start = time.perf_counter()
        found, samples, killed = run(folder, options.workers, options.kills, options.clips)
        seconds = time.perf_counter() - start
        good = sum(read_outputs(folder / "out" / name) == right[kind] for name, kind in kinds.items())
        told = {Path(v["where"]).name for v in found["videos"] if v["status"] == "failed"}
        lines = {f"jobs.jsonl:{number + 1}" for number in range(len(rows)) if f"clip{number:04d}" in broken}
        expected = {*kinds, *(f"{name}.done" for name in kinds)}
        left = {path.name for path in (folder / "out").iterdir()} - expected
        left |= {path.name for path in (folder / "tmp").iterdir()}
        left |= {path.name for path in (folder / "out").glob("*/.*")}
        tries = [video["tries"] for video in found["videos"]]
        processes = Path("/proc").glob("[0-9]*")
        alive = [path.name for path in processes if name.encode() in _read(f"{path}/environ")]
    print(f"{good} of {len(kinds)} right, {len(told & lines)} of {len(broken)} broken told", end=", ")
    print(f"{len(told - lines)} others failed")
    print(f"{killed} workers killed, {sum(n > 1 for n in tries)} clips tried twice, {seconds:.0f} s")
    print(f"left behind: files {sorted(left) or 'none'}, processes {alive or 'none'}")
    quarter = len(samples) // 4
    for title, part in (("early", samples[quarter : 2 * quarter]), ("late", samples[-quarter:-2])):
        figures = [median(values) for values in zip(*part, strict=True)]
        print("{}: {:.0f} MiB and {:.0f} files; a worker {:.0f} MiB and {:.0f} files".format(title, *figures))


if __name__ == "__main__":
    _main()
