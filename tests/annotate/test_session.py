"""A project on disk and what is done in it: it means exactly `spvos segment INPUT --mask FOLDER`."""

from __future__ import annotations

import os
import shlex
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spvos_cli.annotate import follow
from spvos_cli.annotate.export import Wish
from spvos_cli.annotate.objects import ObjectFacts, PageView
from spvos_cli.annotate.session import Session
from spvos_cli.annotate.worker import Refused
from spvos_cli.errors import InputError
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.network import VOSNetwork
from spvos_cli.segment.api import segment_video
from spvos_cli.video.containers import VideoSource
from spvos_cli.video.frames import Frame, Source
from tests.annotate.conftest import COUNT, Opener, wait
from tests.conftest import Command, write_mask

Scene = tuple[list[np.ndarray], list[np.ndarray]]


def paint(session: Session, frame: int, ids: np.ndarray) -> None:
    session.edit(lambda editor, locked: editor.paint(frame, ids, locked))


def prompt(session: Session, frame: int, object: int, **said: Any) -> None:
    image = session.frame(frame).image
    session.edit(lambda editor, locked: editor.prompt(frame, object, said, image, locked))


def follow_all(session: Session) -> dict[str, Any]:
    session.follow(0, to_end=True)
    status = wait(session)
    assert not status["failed"], status
    return status


@pytest.fixture
def expected(network: VOSNetwork, tmp_path: Path) -> Callable[..., list[np.ndarray]]:
    """What segmenting finds with the masks of a session."""

    def run(session: Session, network: VOSNetwork = network, **options: Any) -> list[np.ndarray]:
        out = tmp_path / "expected"
        run_options = {"mem_every": 3, "overwrite": True} | options
        segment_video(session.input, session.folder, out, network=network, **run_options)
        return [np.array(Image.open(path)) for path in sorted(out.glob("*.png"))]

    return run


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every frame that the network sees."""
    seen: list[int] = []
    step = VideoSegmenter.step
    monkeypatch.setattr(VideoSegmenter, "step", lambda *a, **k: seen.append(1) or step(*a, **k))
    return seen


def assert_shows(session: Session, masks: list[np.ndarray]) -> None:
    for frame, mask in enumerate(masks):
        found, kind = session.labels(frame)
        assert kind in ("current", "keyframe")
        assert np.array_equal(found, mask), frame


def test_following_finds_what_segmenting_does(session: Session, scene: Scene, expected: Any) -> None:
    paint(session, 2, scene[1][2])
    assert session.labels(3)[1] == "unknown"
    follow_all(session)
    assert session.labels(1)[1] == "unknown"
    for frame, mask in list(enumerate(expected(session)))[2:]:
        assert np.array_equal(session.labels(frame)[0], mask)


def test_in_parts(session: Session, scene: Scene, expected: Any) -> None:
    """To the next annotated frame, then on; a second object joins there."""
    paint(session, 0, np.where(scene[1][0] == 1, 1, 0).astype(np.uint8))
    paint(session, 10, scene[1][10])
    session.follow(0, to_end=False)
    assert wait(session)["done"] == 10
    assert [session.labels(n)[1] for n in (9, 10, 11)] == ["current", "keyframe", "unknown"]
    session.follow(10, to_end=False)
    assert wait(session)["done"] == COUNT - 10
    assert_shows(session, expected(session))


def test_a_keyframe_shows_who_is_followed_without_being_in_it(
    session: Session, scene: Scene, expected: Any
) -> None:
    """As segmenting finds it; a change goes on from what is shown."""
    ones, twos = (np.where(scene[1][n] == i, i, 0).astype(np.uint8) for n, i in ((0, 1), (5, 2)))
    paint(session, 0, ones)
    paint(session, 5, twos)
    assert np.array_equal(session.labels(5)[0], twos)
    follow_all(session)
    shown, kind = session.labels(5)
    assert kind == "keyframe"
    assert set(np.unique(shown)) == {0, 1, 2}
    assert_shows(session, expected(session))
    session.edit(lambda editor, locked: editor.accept(5))
    assert np.array_equal(session.masks.read(5), shown)


def test_a_correction_changes_only_what_follows(
    session: Session, scene: Scene, expected: Any, steps: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "STATE_EVERY", 5)
    paint(session, 0, scene[1][0])
    paint(session, 18, scene[1][18])
    follow_all(session)
    before = {path.name: path.stat().st_mtime_ns for path in session.predictions.folder.glob("*.png")}
    paint(session, 12, scene[1][12])
    kinds = [session.labels(frame)[1] for frame in (11, 12, 13, 17, 18, 19)]
    assert kinds == ["current", "keyframe", "stale", "stale", "keyframe", "older"]
    steps.clear()
    session.follow(12, to_end=False)
    assert wait(session)["done"] == 6
    assert len(steps) <= 6 + 3
    after = {path.name: path.stat().st_mtime_ns for path in session.predictions.folder.glob("*.png")}
    changed = [int(Path(name).stem) for name in after if after[name] != before[name]]
    assert sorted(changed) == list(range(12, 18))
    assert session.labels(19)[1] == "older"
    follow_all(session)
    assert_shows(session, expected(session))


@pytest.mark.parametrize("annotated_then", [False, True])
def test_a_gated_network_goes_on_where_it_can(
    open_session: Opener,
    gated_network: VOSNetwork,
    scene: Scene,
    expected: Any,
    monkeypatch: pytest.MonkeyPatch,
    annotated_then: bool,
) -> None:
    """Its states before frames that are annotated are none to go on from, nor are those before frames that
    were annotated and are no more."""
    monkeypatch.setattr(follow, "STATE_EVERY", 5)
    session = open_session(network=gated_network)
    paint(session, 0, scene[1][0])
    if annotated_then:
        paint(session, 10, np.where(scene[1][10] == 1, 1, 0).astype(np.uint8))
    follow_all(session)
    if annotated_then:
        session.edit(lambda editor, locked: editor.forget(10))
    else:
        paint(session, 12, scene[1][12])
    follow_all(session)
    assert_shows(session, expected(session, gated_network))


def test_undoing_a_correction_brings_back_what_was_found(session: Session, scene: Scene) -> None:
    paint(session, 0, scene[1][0])
    follow_all(session)
    paint(session, 12, scene[1][12])
    assert session.labels(13)[1] == "stale"
    session.edit(lambda editor, locked: editor.undo(12))
    assert session.labels(13)[1] == session.labels(12)[1] == "current"
    assert follow_all(session)["done"] == 0


def test_stop_keeps_what_is_done(
    session: Session, scene: Scene, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(session, 0, scene[1][0])
    write = session.predictions.write

    def write_and_stop(index: int, *rest: Any) -> None:
        write(index, *rest)
        if index == 7:
            session.worker.job.stop()

    monkeypatch.setattr(session.predictions, "write", write_and_stop)
    session.follow(0, to_end=True)
    status = wait(session)
    assert status["result"].startswith("stopped at frame")
    known = session.chain.end
    assert 8 <= known < COUNT
    assert session.labels(known - 1)[1] == "current"
    assert session.labels(known)[1] == "unknown"
    follow_all(session)
    assert_shows(session, expected(session))


def test_another_session_goes_on(
    session: Session, open_session: Opener, scene: Scene, expected: Any, steps: list[int]
) -> None:
    """All is on disk at every moment, so that a session that was never closed is gone on with."""
    paint(session, 0, scene[1][0])
    paint(session, 12, scene[1][12])
    session.set_object(2, ObjectFacts("disk", locked=True))
    session.set_view(PageView(frame=12, end=20))
    session.follow(0, to_end=False)
    wait(session)
    again = open_session()
    assert again.objects[2] == ObjectFacts("disk", locked=True)
    assert again.view == PageView(frame=12, end=20)
    assert np.array_equal(again.labels(12)[0], scene[1][12])
    assert again.labels(11)[1] == "current"
    again.set_view(PageView(frame=12))
    steps.clear()
    follow_all(again)
    assert len(steps) == COUNT - 12
    assert_shows(again, expected(again))
    again.edit(lambda editor, locked: editor.undo(12))
    assert again.labels(12)[1] == "stale"


def test_another_network_knows_nothing(session: Session, open_session: Opener, scene: Scene) -> None:
    """What an earlier network found is not shown as this one's; the masks stay."""
    paint(session, 0, scene[1][0])
    follow_all(session)
    again = open_session(range=None, stride=2)  # any option that changes what is found
    assert again.labels(5)[1] == "unknown"
    assert again.labels(0)[1] == "keyframe"


def test_in_and_out(session: Session, scene: Scene, expected: Any) -> None:
    """Masks outside of the marks are not used, and no frame there is segmented."""
    paint(session, 0, scene[1][0])
    paint(session, 6, scene[1][6])
    follow_all(session)
    session.set_view(PageView(start=4, end=15))
    assert session.labels(7)[1] == "older"
    follow_all(session)
    masks = expected(session, start=4, end=15)
    assert not masks[0].any()
    for frame, mask in list(enumerate(masks, 4))[2:]:
        assert np.array_equal(session.labels(frame)[0], mask)
    assert "--start 4 --end 15" in session.command()


def test_no_room_for_states(
    session: Session, scene: Scene, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest between annotated frames go first; what is found is the same without them."""
    monkeypatch.setattr(follow, "STATE_EVERY", 3)
    paint(session, 0, scene[1][0])
    paint(session, 7, scene[1][7])
    follow_all(session)
    size = max(path.stat().st_size for path in session.chain.folder.glob("*.state"))
    assert len(session.chain.states()) > 3
    session.chain.most_bytes = 3 * size
    paint(session, 15, scene[1][15])
    follow_all(session)
    assert {7, 15} <= set(session.chain.states())
    assert len(session.chain.states()) <= 4
    assert_shows(session, expected(session))


def test_box_and_clicks(session: Session, scene: Scene) -> None:
    prompt(session, 0, 1, box=[5, 15, 40, 40])
    prompt(session, 0, 2, box=[70, 40, 50, 50])
    ids = session.labels(0)[0]
    assert [np.mean(ids[scene[1][0] == i] == i) > 0.9 for i in (1, 2)] == [True, True]
    prompt(session, 0, 1, click=[25, 35], positive=False)
    assert session.labels(0)[0][35, 25] == 0
    assert session.history.reach(0) == (3, 0)
    session.edit(lambda editor, locked: editor.undo(0))
    assert session.labels(0)[0][35, 25] == 1
    prompt(session, 0, 1, click=[27, 37], positive=True)  # the click that was undone is forgotten
    assert session.labels(0)[0][35, 25] == 1
    with pytest.raises(Refused, match="nothing to redo"):
        session.edit(lambda editor, locked: editor.redo(0))


def test_locked_objects_stay(session: Session, scene: Scene) -> None:
    paint(session, 0, scene[1][0])
    session.set_object(1, ObjectFacts(locked=True))
    paint(session, 0, np.full_like(scene[1][0], 2))
    ids = session.labels(0)[0]
    assert np.array_equal(ids == 1, scene[1][0] == 1)
    paint(session, 0, np.ones_like(ids))
    assert np.array_equal(session.labels(0)[0], ids)
    with pytest.raises(Refused, match="locked"):
        prompt(session, 0, 1, box=[0, 0, 9, 9])


def test_accept_forget_remove(session: Session, scene: Scene) -> None:
    paint(session, 0, scene[1][0])
    follow_all(session)
    shown = session.labels(5)[0]
    session.edit(lambda editor, locked: editor.accept(5))
    assert session.labels(5)[1] == "keyframe"
    assert np.array_equal(session.labels(5)[0], shown)
    session.edit(lambda editor, locked: editor.forget(5))
    assert session.labels(5)[1] == "current"
    paint(session, 9, np.where(scene[1][9] == 2, 2, 0).astype(np.uint8))
    session.set_object(2, None)
    assert session.status()["keyframes"] == [0]
    assert session.status()["objects"].keys() == {"1"}
    session.edit(lambda editor, locked: editor.undo(9))
    assert set(np.unique(session.labels(9)[0])) == {0, 2}
    assert session.status()["objects"].keys() == {"1", "2"}


def test_fifty_steps_back(session: Session) -> None:
    for n in range(55):
        paint(session, 0, np.full(session.shape, 1 + n, np.uint8))
    assert session.history.reach(0) == (50, 0)


def test_export_is_the_command(
    session: Session, scene: Scene, spvos: Command, tmp_path: Path, engine: Any
) -> None:
    """Byte for byte, in every form."""
    paint(session, 1, scene[1][1])
    prompt(session, 9, 3, box=[70, 40, 50, 50])
    session.set_view(PageView(start=1, end=20))
    wish = Wish(("", ".mp4", ".json", ".png", ".objects"))
    session.export(wish)
    status = wait(session)
    assert not status["failed"], status
    assert status["done"] == 19
    command = shlex.split(session.command())
    names = wish.names("in")
    assert all(name in command for name in names)
    for name in names:
        (tmp_path / name).rename(tmp_path / f"kept_{name}")
    code, _, error = spvos(shlex.join([*command[1:], "--threads", "1"]))
    assert code == 0, error
    for name in names:
        new, old = tmp_path / name, tmp_path / f"kept_{name}"
        files = [path for path in sorted(new.rglob("*")) if path.is_file()] if new.is_dir() else [new]
        assert files
        for path in files:
            assert (old / path.relative_to(new)).read_bytes() == path.read_bytes(), path


def test_export_goes_backward(session: Session, scene: Scene) -> None:
    paint(session, 12, scene[1][12])
    session.set_view(PageView(backward=True))
    session.export(Wish(("",)))
    assert not wait(session)["failed"]
    assert "--backward" in session.command()
    with Image.open("in_masks/00003.png") as image:
        assert np.array(image).any()


def test_nothing_is_replaced_unasked(session: Session, scene: Scene) -> None:
    paint(session, 0, scene[1][0])
    Path("in_masks").mkdir()
    Path("in_masks/mine.png").write_bytes(b"")
    session.export(Wish(("",)))
    status = wait(session)
    assert status["failed"]
    assert "exists already" in status["result"]


def test_masks_do_not_change_under_an_export(
    session: Session, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(session, 0, scene[1][0])
    refused = []
    step = VideoSegmenter.step

    def step_and_paint(self: VideoSegmenter, *rest: Any) -> np.ndarray:
        with pytest.raises(Refused, match="export") as error:
            paint(session, 5, scene[1][5])
        refused.append(error)
        session.worker.job.stop()
        return step(self, *rest)

    monkeypatch.setattr(VideoSegmenter, "step", step_and_paint)
    session.export(Wish(("",)))
    assert wait(session)["result"] == "stopped"
    assert refused


@pytest.mark.parametrize("start", [None, 3])
def test_what_lies_before_the_masks(
    session: Session, open_session: Opener, scene: Scene, expected: Any, start: int | None
) -> None:
    """Objects are followed to the start, one that joins later too; it is shown as long as the masks stay."""
    paint(session, 8, np.where(scene[1][8] == 1, 1, 0).astype(np.uint8))
    paint(session, 14, scene[1][14])
    session.set_view(PageView(start=start))
    follow_all(session)
    assert session.labels(5)[1] == "unknown"
    session.follow_backward()
    status = wait(session)
    assert (status["failed"], status["done"]) == (False, 15 - (start or 0))
    assert session.status()["behind"] == (start or 0, 8)
    assert "--backward" in session.command()
    again = open_session()
    masks = expected(session, backward=True, start=start)
    for frame, mask in enumerate(masks, start or 0):
        shown, kind = again.labels(frame)
        assert kind in ("current", "keyframe")
        assert np.array_equal(shown, mask), frame
    paint(session, 14, scene[1][15])
    assert session.labels(5)[1] == "unknown"
    assert session.status()["behind"] is None


def test_a_pass_that_is_stopped_leaves_nothing(session: Session, scene: Scene) -> None:
    paint(session, 14, scene[1][14])
    image = session.behind.merge(0, np.zeros(session.shape, np.uint8), ())
    assert not image.any()
    session.follow_backward()
    job = session.worker.job
    assert job is not None
    job.stop()
    if wait(session)["result"] == "stopped":
        assert session.status()["behind"] is None


def test_nobody_reads_a_video_that_is_closed(
    session: Session, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export that is stopped ends the thread that decodes before it closes the file."""
    paint(session, 0, scene[1][0])
    step, close = VideoSegmenter.step, VideoSource.close
    reading: list[bool] = []

    def step_and_stop(self: VideoSegmenter, *rest: Any) -> np.ndarray:
        assert session.worker.job
        session.worker.job.stop()
        return step(self, *rest)

    def look_and_close(self: VideoSource) -> None:
        reading.append("reader" in {thread.name for thread in threading.enumerate()})
        close(self)

    monkeypatch.setattr(VideoSegmenter, "step", step_and_stop)
    monkeypatch.setattr(VideoSource, "close", look_and_close)
    session.export(Wish(("",)))
    assert wait(session)["result"] == "stopped"
    assert reading == [False]


def test_masks_that_are_there_are_taken(open_session: Opener, scene: Scene, tmp_path: Path) -> None:
    """A folder that somebody else made, with names of his own."""
    (tmp_path / "theirs").mkdir()
    write_mask(tmp_path / "theirs/3.png", scene[1][3])
    session = open_session(folder=tmp_path / "theirs")
    assert session.status()["keyframes"] == [3]
    assert session.status()["objects"].keys() == {"1", "2"}
    paint(session, 3, scene[1][4])
    paint(session, 5, scene[1][5])
    assert {path.name for path in (tmp_path / "theirs").glob("*.png")} == {"3.png", "00005.png"}


@pytest.mark.parametrize("kind", ["size", "text", "colours"])
def test_masks_that_cannot_be_gone_on_with(
    open_session: Opener, scene: Scene, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    write_mask(folder / "00003.png", scene[1][3])
    if kind == "size":
        write_mask(folder / "00004.png", scene[1][3][::2, ::2])
    elif kind == "text":
        (folder / "00004.png").write_text("no image")
    else:
        Image.fromarray(np.where(scene[1][3][..., None] == 2, [[[9, 9, 200]]], 0).astype(np.uint8)).save(
            folder / "00004.png"
        )
        Image.fromarray(np.where(scene[1][3][..., None] == 1, [[[200, 9, 9]]], 0).astype(np.uint8)).save(
            folder / "00005.png"
        )
    with pytest.raises(InputError):
        open_session(folder=folder)


def test_frames_that_are_files(open_session: Opener, scene: Scene, tmp_path: Path, expected: Any) -> None:
    """Masks are named as the frames are, and marks by the numbers in the names."""
    (tmp_path / "shots").mkdir()
    for number, frame in enumerate(scene[0][:8], 101):
        Image.fromarray(frame).save(tmp_path / f"shots/shot_{number}.png")
    session = open_session("shots")
    paint(session, 2, scene[1][2])
    session.set_view(PageView(start=2, end=6))
    assert (tmp_path / "shots_annotations/shot_103.png").exists()
    assert "--start 103 --end 107" in session.command()
    follow_all(session)
    for frame, mask in enumerate(expected(session, start=103, end=107), 2):
        assert np.array_equal(session.labels(frame)[0], mask)


class LongSource(Source):
    """So many small frames, made as they are looked at."""

    name, width, height, rate = "long", 64, 32, Fraction(25)

    def __init__(self, frames: int) -> None:
        self.frames = frames

    def frames_from(self, first: int) -> Iterator[Frame]:
        for index in range(first, self.frames or 0):
            image = np.full((self.height, self.width, 3), index % 251, np.uint8)
            yield Frame(index, image, self.name_of(index), index, (), index / 25)


def test_little_grows_with_length(open_session: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand frames: some bytes each, and the last is as near as the first."""
    taken = {}
    for count in (100, 100_000):
        monkeypatch.setattr(
            "spvos_cli.annotate.session.open_input", lambda *rest, count=count: LongSource(count)
        )
        tracemalloc.start()
        session = open_session(folder=Path(f"long{count}"))
        paint(session, count - 1, np.ones(session.shape, np.uint8))
        session.status()
        assert session.frame(count - 1).image[0, 0, 0] == (count - 1) % 251
        taken[count] = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    assert taken[100_000] - taken[100] < 3 * 100_000
    session.follow(0, to_end=True)
    assert wait(session)["done"] == 1
    assert session.labels(99_999)[1] == "keyframe"


@pytest.mark.slow
def test_following_ten_thousand_frames(open_session: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process holds no more after the last frame than after a fifth of them."""
    count = 10_000
    monkeypatch.setattr("spvos_cli.annotate.session.open_input", lambda *rest: LongSource(count))
    session = open_session(folder=Path("long"))
    paint(session, 0, np.ones(session.shape, np.uint8))
    session.follow(0, to_end=True)
    early = 0.0
    while (status := session.status()["job"])["running"]:
        if not early and status["done"] > count / 5:
            early = resident_mib()
        time.sleep(0.1)
    assert (status["done"], status["failed"]) == (count, False)
    assert all(session.predictions.summary)
    assert early > 0
    assert resident_mib() - early < 20


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_streams_are_refused(open_session: Opener) -> None:
    with pytest.raises(InputError, match="read once"):
        open_session("-")


def test_nothing_to_follow(session: Session, scene: Scene) -> None:
    with pytest.raises(Refused, match="no frame is annotated"):
        session.follow(0, to_end=True)
    with pytest.raises(Refused, match="no frame is annotated"):
        session.export(Wish())
    session.edit(lambda editor, locked: editor.accept(0))
    session.follow(0, to_end=True)
    status = wait(session)
    assert status["failed"]
    assert "no object" in status["result"]
