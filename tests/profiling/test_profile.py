"""`spvos profile`: the paper's figures, counted from the network."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

from spvos_cli.__main__ import main
from spvos_cli.model.checkpoint import build_model, save_weights
from spvos_cli.model.config import LITE, SPVOS
from spvos_cli.profiling.arguments import DAVIS_2017_VAL, read_video_list
from spvos_cli.profiling.blobs import blob_map
from spvos_cli.profiling.cost import (
    Calls,
    Video,
    beside_macs,
    calls,
    cycle_calls,
    cycle_macs,
    layer_costs,
    mean_macs,
)
from spvos_cli.profiling.paper_tables import operation_cells, parameter_cells, xmem_operation_cells
from spvos_cli.profiling.patterns import COLOURS
from spvos_cli.sparse.plan import gated_convolutions
from spvos_cli.sparse.tally import PolicyTally


def test_parameters_of_every_table() -> None:
    cells = parameter_cells()
    assert len(cells) == 18
    for cell in cells:
        assert cell.ours == pytest.approx(cell.paper, abs=0.01), cell


def test_operations_of_table_iv() -> None:
    for cell in operation_cells():
        assert cell.ours == pytest.approx(cell.paper, rel=1e-3), cell


def test_operations_of_table_vi() -> None:
    """They do not come out: the paper counts something else."""
    dense, triple = xmem_operation_cells()
    assert (dense.ours, triple.ours) == pytest.approx((249.42, 137.18), abs=0.01)
    assert (dense.paper, triple.paper) == (311.95, 204.15)


def test_videos_of_davis_2017_val() -> None:
    videos = read_video_list(DAVIS_2017_VAL)
    assert (len(videos), sum(video.frames for video in videos)) == (30, 1999)
    assert {video.width for video in videos} == {854, 910, 1152}


def network(base=SPVOS, **fields):
    with torch.device("meta"):
        return build_model(dataclasses.replace(base, **fields))


def test_one_convolution_by_hand() -> None:
    costs = {cost.name: cost for cost in layer_costs(network(method="triple"), 854, 480, objects=2)}
    entrance = costs["decoder.compress.conv1"]
    assert entrance.macs == 2 * 30 * 54 * (9 * 1024 * 512 + 512)
    assert entrance.gate_macs == 2 * 30 * 54 * (9 * 2 * 1024 * 3 + 3)
    assert costs["decoder.up8.skip"].macs == 60 * 108 * (9 * 512 * 512 + 512)
    assert costs["decoder.up8.skip"].gate_macs is None


def test_how_often_parts_run() -> None:
    """Frames 0 to 10; 0 and 5 are memory frames, 10 is the last; the decoder's frame 1 is dense."""
    mixed = network(method="triple")
    assert calls(mixed, 11) == {
        "query_encoder": Calls(2, 9),
        "memory_encoder": Calls(2, 0),
        "decoder": Calls(2, 8),
    }
    fully = network(method="static", structure="QDM", strategy="fully")
    assert calls(fully, 11) == {
        "query_encoder": Calls(0, 11),
        "memory_encoder": Calls(0, 2),
        "decoder": Calls(0, 10),
    }
    assert cycle_calls(mixed) == {
        "query_encoder": Calls(1, 4),
        "memory_encoder": Calls(1, 0),
        "decoder": Calls(1, 4),
    }
    assert cycle_calls(network(LITE))["memory_encoder"] == Calls(3, 0)  # it remembers the previous frame too


def test_density_lowers_only_gated_layers() -> None:
    frame = (854, 480, 1)
    dense, triple = network(), network(method="triple", structure="D")
    everything, nothing = cycle_macs(triple, *frame, {}), cycle_macs(triple, *frame, {"D": 0.0})
    plain = cycle_macs(dense, *frame, {})
    assert nothing["query_encoder"] == everything["query_encoder"] == plain["query_encoder"]
    assert nothing["decoder"] < 0.6 * plain["decoder"] < plain["decoder"] < everything["decoder"]


@pytest.mark.parametrize("density", [0.0, 0.03, 0.348, 1.0])
def test_blobs_have_the_density(density: float) -> None:
    policy = blob_map(60, 108, density)
    assert (policy == 2).float().mean() == pytest.approx(density, abs=2e-3)


def test_one_gate_for_a_module_saves_matching_too() -> None:
    """By hand, on four cells: in a cycle of three frames one is dense."""
    with torch.device("meta"):
        dense, gated = (
            build_model(dataclasses.replace(LITE, method=method, gate="module"))
            for method in ("dense", "triple")
        )
    workload = 32, 32, 2
    whole, part = (beside_macs(network, *workload, {"D": 0.1}) for network in (dense, gated))
    pairs = 4 * 4
    values = LITE.value_channels
    once = pairs * 64 * (1 + 8) + 4 * 2 * values * 4 + pairs * (2 * 64 + 2 * values)
    assert whole == {"matching": once, "gates": 0}
    assert part["matching"] == pytest.approx(once * (1 + 2 * 0.1) / 3)
    gate = sum(c.weight.numel() + c.out_channels for c in gated.gate.children())
    assert part["gates"] == pytest.approx(2 / 3 * 2 * 4 * gate)
    full, tenth = (cycle_macs(gated, *workload, {"D": share})["decoder"] for share in (1.0, 0.1))
    assert tenth == pytest.approx(full * (1 + 2 * 0.1) / 3)


def test_tally() -> None:
    model = build_model(dataclasses.replace(LITE, method="triple", structure="D"))
    names = {conv: name for name, conv in gated_convolutions(model, "D", gate_all=False).items()}
    tally = PolicyTally(names)
    first, second = list(names)[:2]
    policies = {first: torch.tensor([[[0, 1], [2, 2]]]), second: torch.tensor([[[0, 0], [0, 0]]])}
    tally.add([type("Run", (), {"policies": policies})()])
    costs = [first.weight.numel(), second.weight.numel()]
    assert tally.density() == pytest.approx(0.5 * costs[0] / sum(costs))
    assert tally.density("query") is None
    assert tally.shares() == pytest.approx({"skip": 5 / 8, "reuse": 1 / 8, "compute": 2 / 8})
    assert [layer.varying for layer in tally.layers.values()] == [1, 0]


def run(monkeypatch, capsys, arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["spvos", "profile", *arguments.split()])
    with pytest.raises(SystemExit) as exit:
        main()
    return (exit.value.code or 0, *capsys.readouterr())


def test_long_videos_cost_what_a_cycle_costs() -> None:
    """A video's start and end count less and less."""
    triple = network(method="triple")
    cycle = cycle_macs(triple, 96, 64, 2, {"Q": 0.3, "D": 0.1})
    long = mean_macs(triple, [Video(5000, 2, 96, 64)], {"Q": 0.3, "D": 0.1})
    assert long == pytest.approx(cycle, rel=2e-3)
    with pytest.raises(ValueError, match="no frames"):
        mean_macs(triple, [], {})


def test_command(monkeypatch, capsys) -> None:
    arguments = f"--model spvos --video-list {DAVIS_2017_VAL} --density D=0.0285,Q=0.348 --params"
    arguments += " --flops --json"
    code, out, _ = run(monkeypatch, capsys, arguments)
    found = json.loads(out)
    assert code == 0
    assert found["macs_g"]["total"] == pytest.approx(128.4, abs=0.1)
    assert found["params_mib"] == pytest.approx(209.06, abs=0.01)
    assert found["params_only_mib"] < found["params_mib"]
    assert found["environment"]["torch"] == torch.__version__


@pytest.mark.parametrize("more", [pytest.param("", marks=pytest.mark.slow), " --flops --frame 320x192"])
def test_paper_compares_like_with_like(monkeypatch, capsys, more: str) -> None:
    """Table IV, over the videos that it is of, whatever else is asked for."""
    code, out, _ = run(monkeypatch, capsys, f"--paper --json{more}")
    assert code == 0
    rows = {row["name"]: row for row in json.loads(out)["paper"] if row["table"].startswith("IV")}
    assert rows["dense total"]["ours"] == pytest.approx(220.62, rel=1e-3)
    assert rows["triple total"]["ours"] == pytest.approx(128.42, rel=1e-3)


def test_memory_frames_count_as_often_as_is_asked_for(monkeypatch, capsys) -> None:
    """The memory encoder runs on every n-th frame."""
    memory = {}
    for every in (1, 2, 5):
        _, out, _ = run(
            monkeypatch, capsys, f"--model spvos --flops --frame 96x64 --mem-every {every} --json"
        )
        memory[every] = json.loads(out)["macs_g"]["memory_encoder"]
    assert memory[1] == pytest.approx(2 * memory[2]) == pytest.approx(5 * memory[5])


def test_speed_of_two_methods(monkeypatch, capsys) -> None:
    arguments = "--speed --compare dense,triple --sparse D --density D=0.1 --frame 96x64 --objects 2"
    arguments += " --cycles 2 --threads 1 --json"
    code, out, _ = run(monkeypatch, capsys, arguments)
    found = json.loads(out)["speed"]
    assert code == 0
    assert found["dense"]["ms_median"] / found["triple"]["ms_median"] == pytest.approx(found["ratio"])
    assert found["dense"]["ms_sparse_frame"] is None
    assert found["triple"]["ms_sparse_frame"] > 0
    assert all(ms > 0 for ms in found["triple"]["ms_modules"].values())


def test_tables_for_people(monkeypatch, capsys) -> None:
    code, out, _ = run(
        monkeypatch, capsys, "--params --flops --layers --speed --frame 96x64 --cycles 1 --threads 1"
    )
    assert code == 0
    assert "decoder.up4.block.conv1" in out
    assert "median" in out


def test_patterns(monkeypatch, capsys, tmp_path: Path, video: Path, mask: Path) -> None:
    """The picture of a small network whose gates decide at random; it is not written over."""
    torch.manual_seed(0)
    small = dataclasses.replace(LITE, value_channels=16, decoder_channels=(16, 16, 16), method="triple")
    model = build_model(small)
    for conv in gated_convolutions(model, "D", gate_all=False).values():
        torch.nn.init.normal_(conv.gate.weight)
        torch.nn.init.zeros_(conv.gate.bias)
    save_weights(model, tmp_path / "small.safetensors")
    arguments = (
        f"--patterns {tmp_path / 'figure.png'} --weights {tmp_path / 'small.safetensors'} --threads 1 --json"
    )
    code, out, err = run(monkeypatch, capsys, f"{arguments} --video {video} --mask {mask}")
    assert code == 0, err
    assert sum(json.loads(out)["policies"]["shares"].values()) == pytest.approx(1)
    drawn = np.asarray(Image.open(tmp_path / "figure.png").convert("RGB")).reshape(-1, 3)
    for name, share in json.loads(out)["policies"]["shares"].items():
        colour = np.array(ImageColor.getrgb(COLOURS[name]))
        assert share > 0
        assert (drawn == colour).all(axis=1).sum() > 100, name
    code, _, err = run(monkeypatch, capsys, f"{arguments} --video {video} --mask {mask}")
    assert code == 2
    assert "figure.png: it exists already" in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--density D=2", "--density D=2"),
        ("--density X=0.1", "--density X=0.1"),
        ("--density D=0.1,D=0.2", "--density D=0.1,D=0.2"),
        ("--frame 854", "--frame 854"),
        ("--video-list gone.csv", "gone.csv"),
        ("--speed --compare dense", "--compare dense"),
        ("--speed --compare dense,wolf", "--compare dense,wolf"),
        ("--weights gone.safetensors", "gone.safetensors"),
        ("--density D=0.1", "--density: no gates in D"),
        ("--model spvos --density M=0.1", "--density: no gates in M"),
        ("--video clip.mp4 --mask first.png", "--video clip.mp4: the weights have no gates"),
    ],
)
def test_bad_input(monkeypatch, capsys, arguments: str, named: str) -> None:
    code, _, err = run(monkeypatch, capsys, arguments)
    (line,) = err.splitlines()
    assert code == 2
    assert named in line


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "no column frames"),
        ("frames,objects,width,height\n", "no video in it"),
        ("frames,objects,width\n5,1,854\n", "no column height"),
        ("frames,objects,width,height\n5,1,854\n", "line 2 has '' for height"),
        ("frames,objects,width,height\n5,1,854,480\n0,1,854,480\n", "line 3 has '0' for frames"),
        ("frames,objects,width,height\n5,0,854,480\n", "line 2 has '0' for objects"),
        ("frames,objects,width,height\n5,1,0,480\n", "line 2 has '0' for width"),
        ("frames,objects,width,height\n5,1,854,-480\n", "line 2 has '-480' for height"),
        ("frames,objects,width,height\n5,1,854,9.5\n", "line 2 has '9.5' for height"),
        ("frames,objects,width,height\nmany,1,854,480\n", "line 2 has 'many' for frames"),
        ("frames;objects;width;height\n5;1;854;480\n", "no column frames"),
        (b"\xff\xfe\x00\x01", "not readable as CSV"),
    ],
)
def test_bad_video_lists(monkeypatch, capsys, tmp_path: Path, text: str | bytes, named: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    code, out, err = run(monkeypatch, capsys, f"--flops --video-list {path}")
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert f"{path}: {named}" in line


def test_video_list_of_a_spreadsheet(tmp_path: Path) -> None:
    """With a byte order mark, columns in another order, and more of them."""
    path = tmp_path / "list.csv"
    path.write_text("height,name,width,objects,frames\n480,dog, 854 ,2,60\n", encoding="utf-8-sig")
    assert read_video_list(path) == [Video(60, 2, 854, 480)]
