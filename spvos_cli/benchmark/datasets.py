"""Videos to segment and score: benchmarks, and annotated videos of one's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spvos_cli.data.folders import davis_sequences, own_sequences
from spvos_cli.data.training_sets import dataset_root
from spvos_cli.data.youtube import read_meta
from spvos_cli.errors import InputError
from spvos_cli.files import images_in, natural_order

YOUTUBE_MEM_EVERY = 4


class BenchmarkVideo(NamedTuple):
    """One video.

    Attributes:
        name: of the sequence.
        frames: images, all that the network sees, in the order of time.
        masks: true ones, or those of first appearances only, by the name of their frame.
        kept: names of the frames whose masks are written.
    """

    name: str
    frames: tuple[Path, ...]
    masks: dict[str, Path]
    kept: frozenset[str]


class Benchmark(NamedTuple):
    """What is segmented and scored, and how.

    Attributes:
        name: for files and folders.
        title: for people.
        split: the list or folder that the videos are from.
        videos: in the order of the table.
        merge_objects: all ids are one object.
        late_objects: objects join in the frame that first annotates them.
        submission: whether a server takes the masks.
        has_truth: whether there are masks to score against.
        mem_every: frames between memory frames, where the benchmark has its own.
        groups: objects (sequence, id) by group of categories.
    """

    name: str
    title: str
    split: str
    videos: list[BenchmarkVideo]
    merge_objects: bool = False
    late_objects: bool = False
    submission: bool = False
    has_truth: bool = True
    mem_every: int | None = None
    groups: Mapping[str, list[tuple[str, int]]] = {}


def find_benchmark(
    name: str,
    root: Path | None,
    *,
    year: int = 2016,
    split: str | None = None,
    only: str | None = None,
    frames: str = "auto",
) -> Benchmark:
    """A benchmark by name: davis, youtube-vos or folder.

    Args:
        root: where it is; None: in its usual place.
        year, split, only, frames: as the benchmark takes them.

    Raises:
        InputError: it is not there or not whole, or has no such part.
    """
    root = dataset_root(name, root)
    if name == "youtube-vos":
        return youtube_benchmark(root, split or "valid", only, frames)
    return (
        davis_benchmark(root, year, split or "val", only) if name == "davis" else folder_benchmark(root, only)
    )


def davis_benchmark(root: Path, year: int, split: str, only: str | None = None) -> Benchmark:
    """A list of DAVIS's; in 2016 all objects are one.

    Raises:
        InputError: the dataset is not there or not whole, or `only` names what is not in it.
    """
    sequences = davis_sequences(root, year, split)
    videos = [
        _video(s.name, s.frames, {f.stem: m for f, m in zip(s.frames, s.masks, strict=True)})
        for s in sequences
    ]
    title = f"DAVIS-{year} {split}"
    return Benchmark(
        f"davis-{year}-{split}", title, split, choose_videos(videos, only), merge_objects=year == 2016
    )


def folder_benchmark(root: Path, only: str | None = None) -> Benchmark:
    """Videos of one's own: every frame is segmented, annotated ones are scored.

    Raises:
        InputError: the layout is another, or `only` names what is not in it.
    """
    videos = []
    for s in own_sequences(root):
        frames = tuple(sorted(images_in(s.frames[0].parent), key=natural_order))
        videos.append(_video(s.name, frames, {mask.stem: mask for mask in s.masks}))
    name = root.resolve().name
    return Benchmark(f"folder-{name}", str(root), name, choose_videos(videos, only), late_objects=True)


def youtube_benchmark(root: Path, split: str, only: str | None = None, frames: str = "auto") -> Benchmark:
    """A split of YouTube-VOS's: a folder with meta.json. Objects join where they first appear.

    Args:
        only: a part of the split. Categories that none of its other videos has (nor any of train/, for
            another split) are unseen.
        frames: "all" runs over SPLIT_all_frames, "annotated" over SPLIT, "auto" over all that there are.

    Raises:
        InputError: the dataset is not there or not whole, or `only` names what is not in it.
    """
    meta, every, part = read_meta(root, split), root / f"{split}_all_frames", root / split
    whole = every.is_dir() if frames == "auto" else frames == "all"
    if whole and not every.is_dir():
        raise InputError(
            every, found="no such folder", expected="every frame of the videos", fix="--frames annotated"
        )
    videos = [_youtube_video(name, part, every if whole else part) for name in sorted(meta)]
    videos = choose_videos(videos, only)
    which = "every frame" if whole else "annotated frames only"
    return Benchmark(
        f"youtube-vos-{split}",
        f"YouTube-VOS {split}, {which}",
        split,
        videos,
        late_objects=True,
        submission=True,
        has_truth=all(video.kept <= set(video.masks) for video in videos),
        mem_every=YOUTUBE_MEM_EVERY,
        groups=_groups(root, split, meta, {video.name for video in videos}),
    )


def choose_videos(videos: list[BenchmarkVideo], only: str | None) -> list[BenchmarkVideo]:
    """The videos that `only` names: with commas between, or one a line in a file; all where it is None.

    Raises:
        InputError: one is not there.
    """
    names = chosen_names(only, {video.name for video in videos})
    return [video for video in videos if video.name in names]


def chosen_names(only: str | None, there: Collection[str]) -> set[str]:
    """The names that `only` gives: with commas between, or one a line in a file; all where it is None.

    Raises:
        InputError: one is not there.
    """
    if only is None:
        return set(there)
    names = Path(only).read_text().split() if Path(only).is_file() else only.split(",")
    if unknown := sorted(set(names) - set(there)):
        found = f"{len(unknown)} unknown names, {unknown[0]!r} among them"
        raise InputError(
            f"--only {only}",
            found=found,
            expected="names of its sequences, or a file of them",
            fix="--only A,B",
        )
    return set(names)


def _video(name: str, frames: tuple[Path, ...], masks: dict[str, Path]) -> BenchmarkVideo:
    return BenchmarkVideo(name, frames, masks, frozenset(frame.stem for frame in frames))


def _youtube_video(name: str, part: Path, source: Path) -> BenchmarkVideo:
    frames = images_in(source / "JPEGImages" / name)
    masks = {mask.stem: mask for mask in images_in(part / "Annotations" / name)}
    kept = frozenset(image.stem for image in images_in(part / "JPEGImages" / name)) or frozenset(masks)
    if lost := sorted((set(masks) | kept) - {frame.stem for frame in frames}):
        found = f"{name} lacks {len(lost)} frames, {lost[0]} among them"
        raise InputError(
            source, found=found, expected="every frame", fix="copy the dataset again; --data ROOT"
        )
    if not masks:
        raise InputError(
            part,
            found=f"{name} has no mask",
            expected="one at least",
            fix="copy the dataset again; --data ROOT",
        )
    return BenchmarkVideo(name, tuple(frames), masks, kept)


def _groups(
    root: Path, split: str, meta: Mapping[str, Any], names: set[str]
) -> dict[str, list[tuple[str, int]]]:
    """Objects by whether training videos have their category: those of the split that are not chosen, or of
    train/."""
    training = meta if split == "train" else _train_meta(root)
    known = {
        category
        for name, video in training.items()
        if split != "train" or name not in names
        for category in _categories(video).values()
    }
    groups: dict[str, list[tuple[str, int]]] = {"seen": [], "unseen": []}
    for name in sorted(names):
        for i, category in _categories(meta[name]).items():
            groups["seen" if category in known else "unseen"].append((name, i))
    return groups if known else {}


def _train_meta(root: Path) -> Mapping[str, Any]:
    return read_meta(root, "train") if (root / "train/meta.json").is_file() else {}


def _categories(video: Mapping[str, Any]) -> dict[int, str]:
    objects = video.get("objects", {})
    return {int(i): o["category"] for i, o in objects.items() if i.isdecimal() and "category" in o}
