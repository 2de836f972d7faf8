"""What a bounded memory should keep of a long video: ways of making room, compared on videos made long.

    python -m tools.long_memory DAVIS [--size 240] [--kinds away,joined] [--policies newest,age]

DAVIS is DAVIS-2016 in its standard layout, of which the five held-out sequences are used. `short` is each of
them as it is, `back` plays it forth and back; in `away` an object of one, pasted into another, leaves for 200
frames and returns;
`cuts` shows shots of one and, between them, one shot of each other; `joined` is one video of ten minutes, of
shots of a second of all training sequences in turn, in which the five objects return every half minute. Masks
come in the first frame in which an object is to be seen. A row for each policy and kind: J&F of every fifth
frame for each object that is there, the mean over the objects and of each; how many objects that were away
were found again (half of their pixels within half of the frames until they are away again); in how many of
the frames without an object it was seen nevertheless (per cent, more than a thousandth of the frame); the
memory's pixels and MiB at most; milliseconds of the processor a frame, beside the query encoder.

Frames are looked at as a whole, at their smaller size; the query encoder runs once for each picture.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from torch import Tensor

from spvos_cli.data.folders import VideoSequence, davis_sequences
from spvos_cli.data.training_sets import DAVIS_HELD_OUT
from spvos_cli.evaluation.measures import similarity_and_accuracy
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.inference.long_memory import LongMemoryBank
from spvos_cli.inference.memory_bank import MemoryBank
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.encoders import Query
from spvos_cli.model.network import VOSNetwork
from spvos_cli.sparse.conv import LayerRunner
from spvos_cli.ui import Reporter

SHOWN, AWAY, AFTER, SHOT = 20, 200, 40, 20  # frames
LENGTHS = {"back": 2000, "joined": 14_400}  # frames; the second is ten minutes, in
JOINED_SHOT = 24  # shots of a second
OTHERS = 5  # sequences without a followed object in `joined`, for each one with
SEEN = 1e-3  # share of a frame from which on an object is seen
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


class NewestBank(MemoryBank):
    """The oldest frame goes."""

    def make_room(self) -> None:
        while len(self.recent) > self.max_frames:
            del self.recent[0]


POLICIES: dict[str, Callable[[VOSNetwork, int, int], MemoryBank]] = {
    "newest": lambda network, frames, _: NewestBank(frames),
    "usage": lambda network, frames, _: LeastUsedBank(frames),
    "age": lambda network, frames, _: MemoryBank(frames),
    "prototypes": lambda network, frames, _: LongMemoryBank(network, frames, LONG, PROTOTYPES),
}


class Found(NamedTuple):
    """What came of a video: each object's J and F in the frames scored, how many of how many were found
    again, whether each was seen where it is not, the memory's pixels and MiB at most, and milliseconds a
    frame."""

    scores: list[list[tuple[float, float]]]
    again: int
    returns: int
    wrong: list[bool]
    pixels: int
    mib: float
    ms: float


class QueryCache:
    """Stands in the place of a network's `encode_query`: a picture that comes again is not encoded again.

    Attributes:
        seconds: of the processor that were spent in it.
    """

    def __init__(self, network: VOSNetwork) -> None:
        self.encode, self.known, self.seconds = network.encode_query, {}, 0.0
        network.encode_query = self  # type: ignore[method-assign, assignment]

    def __call__(self, image: Tensor, run: LayerRunner | None = None) -> Query:
        start = time.process_time()
        picture = image[..., ::4, ::4].float().numpy().tobytes()
        if picture not in self.known:
            self.known[picture] = Query(*(part.clone() for part in self.encode(image, run)))
        self.seconds += time.process_time() - start
        return self.known[picture]


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


def joined(own: list[list[Frame]], others: list[list[Frame]], length: int) -> list[Frame]:
    """Shots of all in turn, anew in every round; each goes on where its last one ended. The objects of the
    first ones have the ids 1, 2, ..., the others none."""
    rounds = np.random.default_rng(0)
    numbered = [
        [(image, ids * np.uint8(i)) for image, ids in frames]
        for i, frames in zip([*range(1, len(own) + 1), *[0] * len(others)], [*own, *others], strict=True)
    ]
    films = [itertools.cycle([*frames, *frames[-2:0:-1]]) for frames in numbered]
    video: list[Frame] = []
    while len(video) < length:
        for number in rounds.permutation(len(films)):
            video += itertools.islice(films[number], JOINED_SHOT)
    return video[:length]


def videos(
    kind: str, sequences: list[list[Frame]], rest: list[list[Frame]], length: int | None
) -> Iterator[list[Frame]]:
    """Of one kind, one for each sequence, or one of all."""
    length = length or LENGTHS.get(kind, 0)
    if kind == "joined":
        yield joined(sequences, rest, length)
        return
    for number, own in enumerate(sequences):
        others = sequences[number + 1 :] + sequences[:number]
        if kind == "short":
            yield own
        elif kind == "back":
            yield forth_and_back(own, length)
        elif kind == "away":
            yield away(own, others[0])
        else:
            yield cuts(own, [[f for f in other if f[0].shape == own[0][0].shape] for other in others])


def follow(
    segmenter: VideoSegmenter, cache: QueryCache, make_bank: Callable[..., MemoryBank], video: list[Frame]
) -> Found:
    """One video, from the masks of the first frame of each object."""
    segmenter.reset()
    segmenter._stream.make_bank = make_bank
    overlaps: dict[int, list[list[bool]]] = {}
    scores: dict[int, list[tuple[float, float]]] = {}
    wrong: list[bool] = []
    hidden: set[int] = set()
    pixels, mib, seconds, encoding = 0, 0.0, 0.0, cache.seconds
    for t, (image, ids) in enumerate(video):
        new = [int(i) for i in np.unique(ids) if i and i not in scores]
        overlaps |= {i: [] for i in new}
        scores |= {i: [] for i in new}
        start = time.process_time()
        labels = segmenter.step(image, np.where(np.isin(ids, new), ids, 0) if new else None)
        seconds += time.process_time() - start
        held = [frame for group in segmenter._stream.groups for frame in group.bank.frames()]
        pixels = max(pixels, sum(frame.key.shape[1] for frame in held))
        mib = max(mib, sum(x.nbytes for frame in held for x in frame[:2]) / 2**20)
        scored = t % SCORED == SCORED // 2
        for i in scores:
            truth, found = ids == i, labels == i
            if not truth.any():
                if i not in hidden:
                    overlaps[i].append([])
                hidden.add(i)
                wrong += [bool(found.mean() > SEEN)] if scored else []
                continue
            hidden.discard(i)
            if overlaps[i]:
                overlaps[i][-1].append(bool((truth & found).sum() > 0.5 * (truth | found).sum()))
            if scored and i not in new:
                scores[i].append(similarity_and_accuracy(found, truth))
    returns = [part for parts in overlaps.values() for part in parts if part]
    again = sum(bool(np.mean(part) >= 0.5) for part in returns)
    each = [score for score in scores.values() if score]
    return Found(
        each, again, len(returns), wrong, pixels, mib, 1e3 * (seconds - cache.seconds + encoding) / len(video)
    )


def read_sequence(sequence: VideoSequence, size: int) -> list[Frame]:
    """All frames with the masks of one object, scaled as the network sees them."""
    frames = []
    for i in range(len(sequence.frames)):
        image, ids = sequence.read_frame(i), np.minimum(sequence.read_mask(i), 1).astype(np.uint8)
        scale = size / min(ids.shape)
        shape = round(ids.shape[1] * scale), round(ids.shape[0] * scale)
        frames.append(
            (
                cv2.resize(image, shape, interpolation=cv2.INTER_AREA),
                cv2.resize(ids, shape, interpolation=cv2.INTER_NEAREST),
            )
        )
    return frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("davis", type=Path)
    parser.add_argument("--size", type=int, default=240)
    parser.add_argument("--policies", default=",".join(POLICIES))
    parser.add_argument("--kinds", default="short,back,away,cuts,joined")
    parser.add_argument(
        "--length", type=int, help="frames of back and joined, instead of 2,000 and ten minutes"
    )
    parser.add_argument("--sequences", type=int, help="how many of the held-out ones, instead of all")
    parser.add_argument("--mem-every", type=int)
    parser.add_argument("--max-memory", type=int)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    found = {s.name: s for s in davis_sequences(options.davis, 2016, "train")}
    held_out = [found.pop(name) for name in DAVIS_HELD_OUT][: options.sequences]
    sequences = [read_sequence(sequence, options.size) for sequence in held_out]
    kinds = options.kinds.split(",")
    count = OTHERS * len(held_out) if "joined" in kinds else 0
    rest = [read_sequence(s, options.size) for s in list(found.values())[:count]]
    engine = EngineOptions(
        size=options.size,
        mem_every=options.mem_every,
        max_memory=options.max_memory,
        threads=options.threads,
        region="off",
    )
    segmenter = engine.segmenter(Reporter(quiet=True))
    cache = QueryCache(segmenter.network)
    columns = ("video", "policy", "J&F", "found again", "wrongly", "pixels", "MiB", "ms")
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for kind in kinds:
        for policy in options.policies.split(","):
            runs = [
                follow(segmenter, cache, POLICIES[policy], video)
                for video in videos(kind, sequences, rest, options.length)
            ]
            each = [100 * float(np.mean(score)) for run in runs for score in run.scores]
            again, returns = sum(run.again for run in runs), sum(run.returns for run in runs)
            wrong = [seen for run in runs for seen in run.wrong]
            most = max(run.pixels for run in runs), max(run.mib for run in runs)
            ms = float(np.mean([run.ms for run in runs]))
            row = f"{np.mean(each):.1f} ({', '.join(f'{x:.0f}' for x in each)}) | {again} of {returns}"
            row += f" | {100 * np.mean(wrong) if wrong else 0:.1f}"
            print(f"| {kind} | {policy} | {row} | {most[0]} | {most[1]:.1f} | {ms:.1f} |", flush=True)


if __name__ == "__main__":
    main()
