"""Weights from some minutes on a card: unpacks what `pack` packed, tries the command for less than a minute,
then trains until its time is up; the averaged weights, the log and the score come back. A machine that is
still warm keeps what it unpacked: a second call may bring other archives.

$MINUTES (7): of the training itself; $BATCH (64): clips a step; $INIT: weights to start from, instead of
those that ship; $OPTIONS: further ones of `spvos train`.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from spvos_cli.data.demo_scene import scene
from spvos_cli.video.palettes import indexed_image, voc_palette
from tools.card.pace import init_weights, pace
from tools.card.pack import DATA
from tools.card.steps import Step, emit, main

PLACE = Path(tempfile.gettempdir()) / "spvos-card"
IN_MEMORY = (sys.executable, "-m", "tools.card.in_memory")
DAVIS, STILLS = PLACE / "davis", PLACE / "stills"
TRIAL = 0.75  # minutes
MINUTES = float(os.environ.get("MINUTES", "7"))


def unpack(rehearse: bool) -> None:
    """Into the machine's own folder for what is temporary."""
    started = time.monotonic()
    if rehearse:
        return unpack_a_scene()
    archives = [path.stem for path in (DATA / "stills").glob("*.zip")]
    program = [sys.executable, str(DATA / "unpack.py")]
    if (DATA / "davis2016").is_dir():  # what a call before this one brought stays
        subprocess.run([*program, str(DAVIS), "--shrink", "384"], check=True)
    if archives:
        subprocess.run([*program, str(STILLS), "--stills", *archives], check=True)
    subprocess.run([*IN_MEMORY, "decode", str(DAVIS), str(STILLS)], check=True)
    emit(
        frames=len(list(DAVIS.rglob("*.jpg"))),
        stills=len(list(STILLS.rglob("*.jpg"))),
        seconds=time.monotonic() - started,
    )
    return None


def unpack_a_scene() -> None:
    """Stills of the demo clip."""
    for folder in ("images", "masks"):
        (STILLS / folder).mkdir(parents=True, exist_ok=True)
    for t, (image, ids) in enumerate(itertools.islice(scene(), 4)):
        Image.fromarray(image).save(STILLS / f"images/{t}.jpg")
        indexed_image(ids, voc_palette()).save(STILLS / f"masks/{t}.png")
    emit(frames=0, stills=4)


def train(minutes: float, out: Path, rehearse: bool) -> None:
    """The command, what it reached, and at which pace."""
    if not STILLS.is_dir():
        unpack(rehearse)
    if rehearse:
        options = ["--dataset", "stills", "--data", str(STILLS), "--device", "cpu", "--dtype", "fp32"]
        options += [
            "--batch-size",
            "2",
            "--side",
            "64",
            "--iterations",
            "2",
            "--workers",
            "0",
            "--held-out",
            "",
        ]
    else:
        workers = max(1, len(os.sched_getaffinity(0)) - 2)
        options = ["--dataset", "davis:3,stills:3", "--data", str(DAVIS), "--data", str(STILLS)]
        options += ["--device", "cuda", "--dtype", "bf16", "--workers", str(workers), "--year", "2016"]
        options += ["--held-out", "none", "--iterations", "100000"]
    batch = 2 if rehearse else int(os.environ.get("BATCH", "64"))
    options += [
        "--batch-size",
        str(batch),
        "--init",
        str(init_weights()),
        "--max-minutes",
        str(minutes),
    ]
    options += shlex.split(os.environ.get("OPTIONS", ""))
    shutil.rmtree(out, ignore_errors=True)
    command = [*IN_MEMORY, "train", *options, "--out", str(out)]
    print(shlex.join(command), flush=True)
    started = time.monotonic()
    status = subprocess.run(command).returncode
    seconds = time.monotonic() - started
    card = "none: a rehearsal" if rehearse else torch.cuda.get_device_name()
    emit(card=card, wall_s=seconds, status=status, **figures(out / "metrics.jsonl", batch))
    results = Path(os.environ.get("OUT", "card"))
    for file in (out / "metrics.jsonl", *out.glob("*.safetensors")):
        if file.is_file():
            shutil.copy(file, results / f"{out.name}-{file.name}")
    sys.exit(status)


def figures(metrics: Path, batch: int) -> dict[str, Any]:
    """The last ones of each kind, and clips a second."""
    if not metrics.is_file():
        return {}
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    last = {name: value for row in rows for name, value in row.items() if isinstance(value, int | float)}
    seconds = [row["seconds"] for row in rows if row.get("seconds")]
    return last | ({"clips_per_s": batch / statistics.median(seconds)} if seconds else {})


STEPS = {
    "pace": Step(60, pace),
    "unpack": Step(90, unpack),
    "trial": Step(60 * TRIAL + 60, lambda rehearse: train(TRIAL, PLACE / "trial", rehearse)),
    "train": Step(60 * MINUTES + 90, lambda rehearse: train(MINUTES, PLACE / "trained", rehearse)),
}

if __name__ == "__main__":
    main("tools.card.train", STEPS)
