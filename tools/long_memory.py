"""What a bounded memory should keep of a long video: ways of making room, compared on videos made long.

    python -m tools.long_memory DAVIS [--size 320] [--policies newest,usage,age,prototypes]

DAVIS is DAVIS-2016 in its standard layout, of which the five held-out sequences are used. `back` plays each
of them forth and back; in `away` an object of one, pasted into another, leaves for 200 frames and returns;
`cuts` shows shots of one and, between them, one shot of each other. A row for each policy and kind: J&F of
every fifth frame in which there is an object, the mean over the videos and of each; how many objects that
were away were found again (half of their pixels within half of the frames after their return); the memory's
pixels and MiB at most; milliseconds of the processor a frame.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spvos_cli.data.folders import davis_sequences
from spvos_cli.data.training_sets import DAVIS_HELD_OUT
from spvos_cli.evaluation.measures import similarity_and_accuracy
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.inference.long_memory import LongMemoryBank
from spvos_cli.inference.memory_bank import MemoryBank
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.network import VOSNetwork
from spvos_cli.ui import Reporter

BACK, SHOWN, AWAY, AFTER, SHOT = 300, 20, 200, 40, 20  # frames
SCORED = 5  # every how many frames are scored
LONG, PROTOTYPES = 1000, 128  # pixels of the long memory, and how many come at a time

Frame = tuple[np.ndarray, np.ndarray]  # (H, W, 3) and ids (H, W)


class LeastUsedBank(MemoryBank):
    """The frame goes that is read least for as long as it is there; the newest stays."""

    counts_use = True

    def make_room(self) -> None:
        while len(self.recent) > self.max_frames:
            shares = [float(f.used[0].sum() / f.used[1].max().clamp(min=1)) for f in self.recent[:-1]]
            del self.recent[int(np.argmin(shares))]


class SpreadBank(MemoryBank):
    """The frame goes whose neighbours are closest for how old it is: the older, the fewer stay."""

    def __init__(self, max_frames: int) -> None:
        super().__init__(max_frames)
        self.times: list[int] = []
        self.now = 0

    def make_room(self) -> None:
        self.now += 1
        self.times.append(self.now)
        while len(self.recent) > self.max_frames:
            times = [0, *self.times]
            gaps = [
                (times[i + 1] - times[i - 1]) / (self.now + 1 - times[i]) for i in range(1, len(times) - 1)
            ]
            gone = int(np.argmin(gaps))
            del self.recent[gone], self.times[gone]


POLICIES: dict[str, Callable[[VOSNetwork, int, int], MemoryBank]] = {
    "newest": lambda network, frames, _: MemoryBank(frames),
    "usage": lambda network, frames, _: LeastUsedBank(frames),
    "age": lambda network, frames, _: SpreadBank(frames),
    "prototypes": lambda network, frames, _: LongMemoryBank(network, frames, LONG, PROTOTYPES),
}


class Found(NamedTuple):
    """What came of a video: J and F of the frames scored, how many of how many objects were found again, the
    memory's pixels and MiB at most, and milliseconds a frame."""

    scores: list[tuple[float, float]]
    again: int
    returns: int
    pixels: int
    mib: float
    ms: float


def forth_and_back(frames: list[Frame], length: int) -> list[Frame]:
    """A sequence played to its end, back to its start, and so on."""
    there_and_back = [*frames, *frames[-2:0:-1]]
    return list(itertools.islice(itertools.cycle(there_and_back), length))


def away(below: list[Frame], above: list[Frame]) -> list[Frame]:
    """The object of the second, with id 2, over the first; not in the frames in its middle."""
    shown = forth_and_back(above, SHOWN + AFTER)
    video = []
    for t, (image, ids) in enumerate(forth_and_back(below, SHOWN + AWAY + AFTER)):
        if t < SHOWN or t >= SHOWN + AWAY:
            over, mask = shown[t if t < SHOWN else t - AWAY]
            height, width = (min(a, b) for a, b in zip(ids.shape, mask.shape, strict=True))
            image, ids = image.copy(), ids.copy()
            inside = mask[:height, :width] > 0
            image[:height, :width][inside] = over[:height, :width][inside]
            ids[:height, :width][inside] = 2
        video.append((image, ids))
    return video


def cuts(own: list[Frame], others: list[list[Frame]]) -> list[Frame]:
    """Shots of one sequence, whose object is followed, and between them one of each other without it."""
    shots = forth_and_back(own, SHOT * (len(others) + 1))
    video = shots[:SHOT]
    for number, other in enumerate(others, 1):
        video += [(image, np.zeros_like(ids)) for image, ids in forth_and_back(other, SHOT)]
        video += shots[SHOT * number : SHOT * (number + 1)]
    return video


def videos(kind: str, sequences: list[list[Frame]]) -> Iterator[list[Frame]]:
    """Of one kind, one for each sequence."""
    for number, own in enumerate(sequences):
        others = sequences[number + 1 :] + sequences[:number]
        if kind == "back":
            yield forth_and_back(own, BACK)
        elif kind == "away":
            yield away(own, others[0])
        else:
            yield cuts(own, [[f for f in other if f[0].shape == own[0][0].shape] for other in others])


def follow(segmenter: VideoSegmenter, make_bank: Callable[..., MemoryBank], video: list[Frame]) -> Found:
    """One video, from the masks of its first frame."""
    segmenter.reset()
    segmenter._stream.make_bank = make_bank
    objects = [int(i) for i in np.unique(video[0][1]) if i]
    scores, overlaps = [], {i: [] for i in objects}
    hidden, pixels, mib, seconds = dict.fromkeys(objects, False), 0, 0.0, 0.0
    for t, (image, ids) in enumerate(video):
        start = time.process_time()
        labels = segmenter.step(image, ids if t == 0 else None)
        seconds += time.process_time() - start
        held = [frame for group in segmenter._stream.groups for frame in group.bank.frames()]
        pixels = max(pixels, sum(frame.key.shape[1] for frame in held))
        mib = max(mib, sum(x.nbytes for frame in held for x in frame[:2]) / 2**20)
        for i in objects:
            truth, found = ids == i, labels == i
            if not truth.any():
                if not hidden[i]:
                    overlaps[i].append([])
                hidden[i] = True
                continue
            hidden[i] = False
            if overlaps[i]:
                overlaps[i][-1].append((truth & found).sum() > 0.5 * (truth | found).sum())
            if t % SCORED == SCORED // 2:
                scores.append(similarity_and_accuracy(found, truth))
    returns = [part for parts in overlaps.values() for part in parts if part]
    again = sum(bool(np.mean(part) >= 0.5) for part in returns)
    return Found(scores, again, len(returns), pixels, mib, 1e3 * seconds / len(video))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("davis", type=Path)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--policies", default=",".join(POLICIES))
    parser.add_argument("--kinds", default="back,away,cuts")
    parser.add_argument("--mem-every", type=int)
    parser.add_argument("--max-memory", type=int)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    found = {s.name: s for s in davis_sequences(options.davis, 2016, "train")}
    held_out = [found[name] for name in DAVIS_HELD_OUT]
    sequences = [
        [(s.read_frame(i), np.minimum(s.read_mask(i), 1)) for i in range(len(s.frames))] for s in held_out
    ]
    engine = EngineOptions(
        size=options.size,
        mem_every=options.mem_every,
        max_memory=options.max_memory,
        threads=options.threads,
    )
    segmenter = engine.segmenter(Reporter(quiet=True))
    print("| video | policy | J&F | found again | pixels | MiB | ms |\n|---|---|---|---|---|---|---|")
    for kind in options.kinds.split(","):
        for policy in options.policies.split(","):
            runs = [follow(segmenter, POLICIES[policy], video) for video in videos(kind, sequences)]
            each = [100 * float(np.mean(run.scores)) for run in runs]
            again, returns = sum(run.again for run in runs), sum(run.returns for run in runs)
            most = max(run.pixels for run in runs), max(run.mib for run in runs)
            ms = float(np.mean([run.ms for run in runs]))
            row = f"{np.mean(each):.1f} ({', '.join(f'{x:.0f}' for x in each)}) | {again} of {returns}"
            print(f"| {kind} | {policy} | {row} | {most[0]} | {most[1]:.1f} | {ms:.1f} |", flush=True)


if __name__ == "__main__":
    main()
