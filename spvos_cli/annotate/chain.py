"""What is known of a video was found from its start on, each frame from all before it. Here is how far that
holds after masks have changed, and from where it can be found anew."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from spvos_cli.errors import InputError
from spvos_cli.files import atomic_path
from spvos_cli.segment.resume import ResumeState, StateFile

MOST_BYTES = 2**30  # of saved states


class Chain:
    """The frames that were segmented in one go from the first annotated one, with the states on the way.

    Args:
        folder: where it is kept; what another network or video left there is removed.
        shape: what tells network, options and video from others; JSON's types.
        most_bytes: of saved states; beyond that the oldest that do not stand before an annotated frame go.

    Attributes:
        end: the frame after the last one that was segmented.
    """

    def __init__(self, folder: Path, shape: dict[str, Any], most_bytes: int = MOST_BYTES) -> None:
        self.folder, self.most_bytes = folder, most_bytes
        self.shape: dict[str, Any] = json.loads(json.dumps(shape))
        self._file, self.end = folder / "chain.json", 0
        self._made_with: dict[int, str] = {}  # annotated frame -> digest of the mask that was used
        self._before: dict[int, str] = {}  # the same of what was found earlier, at `end` and beyond
        record = self._load()
        if record.get("shape") == self.shape:
            self.end = record["end"]
            self._made_with, self._before = (
                {int(frame): digest for frame, digest in record[name].items()}
                for name in ("made_with", "before")
            )
        else:
            shutil.rmtree(folder, ignore_errors=True)

    def valid(self, digests: Mapping[int, str]) -> int:
        """The first frame that would be another now, or that is not known yet.

        Args:
            digests: of the masks as they are, by frame.
        """
        now = {(frame, digest) for frame, digest in digests.items() if frame < self.end}
        before = set(self._made_with.items())
        return min((frame for frame, _ in now ^ before), default=self.end)

    def stale(self, digests: Mapping[int, str], length: int) -> list[tuple[int, int]]:
        """The frames, from one to before another, that were found with a mask that has changed since. Others
        from `valid` on follow a mask that is as it was: they are older than what was changed before it.

        Args:
            length: of the video.
        """
        valid, found = self.valid(digests), self._before | self._made_with
        places = sorted({valid, length, *(k for k in digests.keys() | found if valid <= k < length)})
        stale: list[tuple[int, int]] = []
        for start, end in pairwise(places):
            last, before = (max((k for k in of if k <= start), default=-1) for of in (digests, found))
            if last < valid or last != before or digests[last] != found[last]:
                stale.append((stale.pop()[0] if stale and stale[-1][1] == start else start, end))
        return stale

    def begin(self, at: int, digests: Mapping[int, str]) -> None:
        """Frames from `at` on are to be found anew, with masks of these digests: what was known of them
        counts no more, on disk, too."""
        self._before = {
            frame: digest for frame, digest in (self._before | self._made_with).items() if frame >= at
        }
        self.end = min(self.end, at)
        kept = self._made_with.keys() & digests
        self._made_with = {frame: self._made_with[frame] for frame in kept if frame < at}
        for frame in self.states():
            if frame > at:
                self._state(frame).path.unlink()
        self.save()

    def add(self, frame: int, digest: str | None) -> None:
        """A frame was segmented; with the mask of a digest, where it is annotated."""
        self.end = frame + 1
        self._before.pop(frame, None)
        if digest is not None:
            self._made_with = self._made_with | {frame: digest}  # others read it meanwhile

    def save(self) -> None:
        """Puts on disk how far it reaches."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(self._file) as part:
            record = {"shape": self.shape, "end": self.end, "made_with": self._made_with}
            record["before"] = self._before
            part.write_text(json.dumps(record))

    def states(self) -> list[int]:
        """The frames before which a state is saved, in order."""
        return sorted(int(path.stem) for path in self.folder.glob("*.state"))

    def save_state(self, state: ResumeState) -> None:
        """Keeps the state before a frame."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._state(state.frame).save(state)
        self._limit()

    def states_back(self, least: int, most: int) -> Iterator[ResumeState]:
        """The states before frames from `most` back to `least`."""
        for frame in reversed(self.states()):
            if least <= frame <= most:
                with contextlib.suppress(InputError):  # damaged: an earlier one does as well
                    yield self._state(frame).load()

    def _state(self, frame: int) -> StateFile:
        return StateFile(self.folder / f"{frame:08d}.state", self.shape)

    def _limit(self) -> None:
        """Removes the oldest states where there is no room for more."""
        sizes = {frame: self._state(frame).path.stat().st_size for frame in self.states()}
        by_worth = sorted(sizes, key=lambda frame: (frame in self._made_with, frame))
        for frame in by_worth[:-1]:
            if sum(sizes.values()) <= self.most_bytes:
                return
            self._state(frame).path.unlink()
            del sizes[frame]

    def _load(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._file.read_text()))
        except (OSError, ValueError):
            return {}
