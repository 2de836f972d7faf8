"""Clips of recorded streams are what the decoder gets at test time, and teach it alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from spvos_cli.data.clips import ClipDataset
from spvos_cli.data.folders import davis_sequences, still_sequences
from spvos_cli.data.youtube import youtube_sequences
from spvos_cli.distributed import Processes
from spvos_cli.errors import InputError
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.checkpoint import build_model, load_checkpoint, save_weights
from spvos_cli.model.layers import aggregate
from spvos_cli.model.network import VOSNetwork
from spvos_cli.training.options import recipe_options
from spvos_cli.training.recording import DecoderInputs, Recording, record, stream
from spvos_cli.training.replay import (
    MADE,
    RECORDED,
    START,
    TEACHER,
    Source,
    clip_sources,
    record_source,
    sequence_moments,
    video_sources,
    with_clips,
)
from spvos_cli.training.replay_loss import ReplayLoss, bernoulli_divergence
from spvos_cli.training.run import clip_recipe
from spvos_cli.training.windows import Windows
from tests.conftest import write_mask
from tests.training.conftest import SMALL

OPTIONS = recipe_options("replay", iterations=4, batch_size=2, frames=4, side=64)
SHORT = "--iterations 2 --batch-size 2 --frames 4 --side 64 --recorded 2 --workers 0 --held-out two"


@pytest.fixture
def network(start: Path) -> VOSNetwork:
    return load_checkpoint(start).for_inference(torch.device("cpu"), torch.float32)


def test_recording_is_what_entered_the_decoder(network: VOSNetwork, youtube: Path) -> None:
    sequence = youtube_sequences(youtube)[0]
    recording, segmenter = stream(network, sequence_moments(sequence)), VideoSegmenter(network)
    segmenter.step(sequence.read_frame(0), sequence.read_mask(0))
    assert len(recording.ids) == len(sequence.frames) - 1
    for t in range(1, len(sequence.frames)):
        segmenter.step(sequence.read_frame(t))
        readout, *query = (torch.from_numpy(x[t - 1 : t]).float() for x in recording[:4])
        moments = [DecoderInputs(readout[:, row], *query) for row in range(2)]
        with torch.inference_mode():
            logits = [network.decode(m.readout.unsqueeze(1), m.query())[0, 0] for m in moments]
        prob = aggregate(torch.stack(logits).sigmoid())
        torch.testing.assert_close(prob, segmenter.prob, atol=5e-3, rtol=0)
        assert np.array_equal(recording.ids[t - 1], sequence.read_mask(t))


def test_recording_starts_with_the_first_object(network: VOSNetwork, davis: Path, tmp_path: Path) -> None:
    sequence = davis_sequences(davis, 2016, "train")[0]
    empty = tmp_path / "empty.png"
    write_mask(empty, np.zeros((96, 128), np.uint8))
    late = sequence._replace(masks=(empty, empty, *sequence.masks[2:]))
    assert len(stream(network, sequence_moments(late)).ids) == len(sequence.frames) - 3
    nothing = video_sources([sequence._replace(masks=(empty,) * len(sequence.frames))], tmp_path)
    with pytest.raises(InputError, match="a frame after the first one with an object"):
        record_source(network, nothing[0])


def test_recording_that_is_there_stays(network: VOSNetwork, davis: Path, tmp_path: Path) -> None:
    sequences = davis_sequences(davis, 2016, "train")[:2]
    one, two = video_sources(sequences, tmp_path)
    record_source(network, one)
    before = (one.place / "ids.npy").stat().st_mtime_ns
    record_source(network, two._replace(place=one.place))
    assert (one.place / "ids.npy").stat().st_mtime_ns == before
    assert list(tmp_path.iterdir()) == [one.place]
    loaded, again = Recording.load(one.place), stream(network, sequence_moments(sequences[0]))
    assert all(np.array_equal(a, b) for a, b in zip(loaded, again, strict=True))


def test_made_clips_are_recorded(network: VOSNetwork, stills: Path, tmp_path: Path) -> None:
    """From their first frame, which is annotated; clips without an object are not."""
    made = ClipDataset([(1.0, still_sequences(stills))], clip_recipe(OPTIONS), seed=0, length=3)
    for source in clip_sources(made, 3, tmp_path):
        record_source(network, source)
        recording = Recording.load(source.place)
        assert len(recording.ids) == OPTIONS.frames + 1
        assert recording.ids.shape[1:] == (OPTIONS.side, OPTIONS.side)
        assert recording.ids[0].any()


def test_clips_and_videos_share_the_run() -> None:
    one = Source(Path("one"), list, Path("one"))
    assert with_clips([(3.0, [one]), (2.0, [])], []) == [(3.0, [one])]
    (_, videos), (weight, clips) = with_clips([(3.0, [one]), (2.0, [])], [one, one])
    assert (videos, clips) == ([one], [one, one])
    assert weight / (weight + 3.0) == pytest.approx(MADE)
    assert [found for _, found in with_clips([(2.0, [])], [one])] == [[one]]


def written(folder: Path, length: int, height: int, width: int) -> Path:
    """A recording of one object whose values tell where they are: of frame t, at (y, x), t + y / 1000 and
    t + x / 1000."""

    def places(stride: int) -> np.ndarray:
        t, y, x = np.mgrid[:length, 0:height:stride, 0:width:stride]
        return np.stack([t, y / 1000, x / 1000], axis=1).astype(np.float32)

    ids = np.zeros((length, height, width), np.uint8)
    ids[:, 100:110, 20:40] = 1
    recording = Recording(places(16)[:, None], places(16), places(8), places(4), ids)
    folder.mkdir()
    for name, array in recording._asdict().items():
        np.save(folder / f"{name}.npy", array)
    return folder


def test_crops_line_up(tmp_path: Path) -> None:
    folder = written(tmp_path / "a", 12, 192, 256)
    windows = Windows([(1.0, [folder])], frames=4, side=64, seed=0, length=60)
    seen, gaps = 0, set()
    for index in range(len(windows)):
        window = windows[index]
        corner = window.readout[0, 1:, 0, 0]
        for x, cells in zip(window[:4], (4, 4, 8, 16), strict=True):
            assert x.shape == (4, 3, cells, cells)
            assert torch.equal(x[0, 1:, 0, 0], corner)
            assert torch.equal(x[:, 0, 0, 0], window.readout[:, 0, 0, 0])
        gaps.add(int(window.readout[1, 0, 0, 0] - window.readout[0, 0, 0, 0]))
        y, x = (round(1000 * float(value)) for value in corner)
        truth = np.load(folder / "ids.npy")[0, y : y + 64, x : x + 64]
        assert np.array_equal(window.masks[0].numpy(), truth)
        seen += bool(window.masks.any())
    assert gaps == {-2, -1, 1, 2}
    assert seen > 40
    again = Windows([(1.0, [folder])], frames=4, side=64, seed=0, length=60)[7]
    assert all(torch.equal(a, b) for a, b in zip(again, windows[7], strict=True))


@pytest.mark.parametrize(("frames", "side", "named"), [(13, 64, "12 frames"), (4, 224, "256x192")])
def test_clips_that_do_not_fit(tmp_path: Path, frames: int, side: int, named: str) -> None:
    folder = written(tmp_path / "a", 12, 192, 256)
    with pytest.raises(InputError, match=named):
        Windows([(1.0, [folder])], frames, side, seed=0, length=1)


def test_divergence() -> None:
    logits = torch.tensor([0.0, 2.0, -3.0], requires_grad=True)
    same = bernoulli_divergence(logits, logits.detach().sigmoid())
    torch.testing.assert_close(same, torch.zeros(3), atol=1e-6, rtol=0)
    far = bernoulli_divergence(torch.tensor([0.0]), torch.tensor([1.0]))
    torch.testing.assert_close(far, torch.tensor([2.0]).log())


def test_only_what_gates_change_is_to_be_learned(
    network: VOSNetwork, start: Path, davis: Path, tmp_path: Path
) -> None:
    """Fresh gates compute everything: no distance. Gates that skip everything are far from the teacher, which
    has none."""
    record(network, sequence_moments(davis_sequences(davis, 2016, "train")[0]), tmp_path / "one")
    windows = Windows([(1.0, [tmp_path / "one"])], OPTIONS.frames, OPTIONS.side, 0, 2)
    batch = torch.utils.data.default_collate([windows[0], windows[1]])
    gated = load_checkpoint(start, {"method": "triple", "structure": "D"}, fresh_gates=True)
    for block in (gated.decoder.compress, gated.decoder.up8.block, gated.decoder.up4.block):
        torch.nn.init.normal_(block.conv2.weight, std=0.3)  # where training starts it is zero
    teacher = build_model(SMALL)
    teacher.load_state_dict({n: t for n, t in gated.state_dict().items() if ".gate." not in n})
    loss = ReplayLoss(gated, teacher, OPTIONS, torch.float32, Processes())
    _, figures = loss(*batch, 0, range(2))
    assert figures["distance"] < 1e-5
    assert figures["density"] == 1
    for module in gated.modules():
        if getattr(module, "gate", None) is not None:
            module.gate.bias.data = torch.tensor([9.0, 0.0, 0.0])
    total, figures = loss(*batch, 0, range(2))
    assert figures["distance"] > 1e-3
    assert figures["density"] == 0
    total.backward()
    assert all(p.grad is None for p in loss.teacher.parameters())
    assert gated.decoder.predict.weight.grad.abs().sum() > 0


def test_command(spvos_train, davis: Path, start: Path) -> None:
    command = f"--recipe replay --method triple --sparse D --dataset davis --data {davis} {SHORT}"
    code, out, err = spvos_train(f"{command} --init {start} --json")
    assert code == 0, err
    assert set(json.loads(out)) > {"J&F-Mean", "J&F-Start"}
    run = Path("spvos_run")
    before, after = (load_checkpoint(path).state_dict() for path in (start, run / "weights.safetensors"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("decoder.") for name in changed)
    assert (run / START).is_file()
    assert not (run / RECORDED).exists()
    assert spvos_train(f"{command} --resume")[0] == 0


def test_teacher_given(spvos_train, davis: Path, start: Path, tmp_path: Path) -> None:
    """A second run goes on from the first one's gates; its streams have them, its teacher has not."""
    command = f"--recipe replay --method triple --sparse D --dataset davis --data {davis} {SHORT}"
    first, second = tmp_path / "first", tmp_path / "second"
    assert spvos_train(f"{command} --init {start} --out {first}")[0] == 0
    weights = first / "weights.safetensors"
    code, _, err = spvos_train(f"{command} --init {weights} --teacher {start} --out {second}")
    assert code == 0, err
    kept = load_checkpoint(second / START)
    assert kept.config.method == "triple"
    assert same(kept, load_checkpoint(weights))
    taught = load_checkpoint(second / TEACHER)
    assert taught.config.method == "dense"
    assert same(taught, load_checkpoint(start))


def same(a: VOSNetwork, b: VOSNetwork) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_teacher_that_does_not_fit(spvos_train, davis: Path, start: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_weights(build_model(dataclasses.replace(SMALL, value_channels=32)), other)
    command = f"--method triple --sparse D --dataset davis --data {davis} {SHORT} --init {start}"
    for given, named in (
        (f"--recipe replay --teacher {other}", "weights of another network"),
        (f"--teacher {start}", "--recipe lite"),
    ):
        code, out, err = spvos_train(f"{command} {given}")
        assert (code, out) == (2, "")
        assert named in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--method dense --dataset davis --data {davis}", "a network without gates"),
        ("--method triple --sparse QD --dataset davis --data {davis}", "gates in QD"),
        ("--method triple --dataset stills --data {stills}", "nothing but stills"),
        ("--method triple --dataset davis --data {davis} --frames 20", "at least 20"),
        ("--method triple --dataset davis --data {davis} --side 160", "at least 160 pixels"),
    ],
)
def test_bad_input(spvos_train, davis: Path, stills: Path, start: Path, arguments: str, named: str) -> None:
    given = arguments.format(davis=davis, stills=stills)
    fitting = "" if "--frames" in given or "--side" in given else "--frames 4 --side 64"
    code, out, err = spvos_train(
        f"--recipe replay --init {start} --recorded 0 {given} {fitting} --held-out two"
    )
    assert code == 2
    assert out == ""
    assert named in err.splitlines()[-1]
