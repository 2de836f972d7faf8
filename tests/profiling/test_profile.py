"""`spvos profile`: the paper's figures, counted from the network."""

from __future__ import annotations

import csv
import dataclasses
import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from spvos_cli.__main__ import main
from spvos_cli.model.checkpoint import build_model, save_weights
from spvos_cli.model.config import LITE, SPVOS
from spvos_cli.profiling.blobs import blob_map
from spvos_cli.profiling.cost import Calls, Video, calls, cycle_calls, layer_costs, mean_macs
from spvos_cli.profiling.paper_tables import operation_cells, parameter_cells
from spvos_cli.sparse.plan import gated_convolutions
from spvos_cli.sparse.tally import PolicyTally

# DAVIS-2017 val: frames, objects, width; all are 480 high
DAVIS_2017_VAL = [
    (69, 2, 910),
    (50, 1, 854),
    (80, 2, 854),
    (84, 1, 854),
    (90, 1, 854),
    (75, 1, 854),
    (40, 1, 854),
    (104, 1, 854),
    (90, 1, 854),
    (60, 1, 854),
    (66, 3, 854),
    (52, 1, 854),
    (50, 1, 854),
    (90, 1, 854),
    (78, 5, 854),
    (50, 2, 854),
    (81, 3, 854),
    (34, 2, 854),
    (50, 3, 854),
    (47, 5, 854),
    (49, 1, 854),
    (50, 3, 854),
    (79, 2, 854),
    (40, 2, 854),
    (80, 3, 854),
    (100, 1, 854),
    (79, 3, 854),
    (43, 2, 854),
    (40, 3, 1152),
    (99, 3, 854),
]


@pytest.fixture(scope="module")
def videos() -> list[Video]:
    return [Video(frames, objects, width, 480) for frames, objects, width in DAVIS_2017_VAL]


def test_parameters_of_every_table() -> None:
    cells = parameter_cells()
    assert len(cells) == 18
    for cell in cells:
        assert cell.ours == pytest.approx(cell.paper, abs=0.01), cell


def test_operations_of_table_iv(videos: list[Video]) -> None:
    assert sum(video.frames for video in videos) == 1999
    for cell in operation_cells(videos):
        tolerance = {"abs": 0.1} if cell.name == "triple total" else {"rel": 1e-3}
        assert cell.ours == pytest.approx(cell.paper, **tolerance), cell


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
    assert cycle_calls(network(LITE))["memory_encoder"] == Calls(5, 0)


def test_density_lowers_only_gated_layers() -> None:
    video = [Video(0, 1, 854, 480)]
    dense, triple = network(), network(method="triple", structure="D")
    everything, nothing = mean_macs(triple, video, {}), mean_macs(triple, video, {"D": 0.0})
    plain = mean_macs(dense, video, {})
    assert nothing["query_encoder"] == everything["query_encoder"] == plain["query_encoder"]
    assert nothing["decoder"] < 0.6 * plain["decoder"] < plain["decoder"] < everything["decoder"]


@pytest.mark.parametrize("density", [0.0, 0.03, 0.348, 1.0])
def test_blobs_have_the_density(density: float) -> None:
    policy = blob_map(60, 108, density)
    assert (policy == 2).float().mean() == pytest.approx(density, abs=2e-3)


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


def test_command(monkeypatch, capsys, tmp_path: Path, videos: list[Video]) -> None:
    with (tmp_path / "list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sequence", *Video._fields])
        writer.writerows([i, *video] for i, video in enumerate(videos))
    arguments = f"--model spvos --video-list {tmp_path / 'list.csv'} --density D=0.0285,Q=0.348 --params"
    arguments += " --flops --json"
    code, out, _ = run(monkeypatch, capsys, arguments)
    found = json.loads(out)
    assert code == 0
    assert found["macs_g"]["total"] == pytest.approx(128.4, abs=0.1)
    assert found["params_mib"] == pytest.approx(209.06, abs=0.01)
    assert found["params_only_mib"] < found["params_mib"]
    assert found["environment"]["torch"] == torch.__version__


def test_speed_of_two_methods(monkeypatch, capsys) -> None:
    arguments = "--speed --compare dense,triple --sparse D --density D=0.1 --frame 96x64 --objects 2"
    arguments += " --cycles 2 --json"
    code, out, _ = run(monkeypatch, capsys, arguments)
    found = json.loads(out)["speed"]
    assert code == 0
    assert found["dense"]["ms_median"] / found["triple"]["ms_median"] == pytest.approx(found["ratio"])
    assert found["dense"]["ms_sparse_frame"] is None
    assert found["triple"]["ms_sparse_frame"] > 0
    assert all(ms > 0 for ms in found["triple"]["ms_modules"].values())


def test_tables_for_people(monkeypatch, capsys) -> None:
    code, out, _ = run(monkeypatch, capsys, "--params --flops --layers --speed --frame 96x64 --cycles 1")
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
    arguments = f"--patterns {tmp_path / 'figure.png'} --weights {tmp_path / 'small.safetensors'} --json"
    code, out, err = run(monkeypatch, capsys, f"{arguments} --video {video} --mask {mask}")
    assert code == 0, err
    assert sum(json.loads(out)["policies"]["shares"].values()) == pytest.approx(1)
    assert Image.open(tmp_path / "figure.png").size[0] == 1100
    code, _, err = run(monkeypatch, capsys, f"{arguments} --video {video} --mask {mask}")
    assert code == 2
    assert "figure.png: it exists already" in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--density D=2", "--density D=2"),
        ("--density X=0.1", "--density X=0.1"),
        ("--frame 854", "--frame 854"),
        ("--video-list gone.csv", "gone.csv"),
        ("--speed --compare dense", "--compare dense"),
        ("--speed --compare dense,wolf", "--compare dense,wolf"),
        ("--weights gone.safetensors", "gone.safetensors"),
    ],
)
def test_bad_input(monkeypatch, capsys, arguments: str, named: str) -> None:
    code, _, err = run(monkeypatch, capsys, arguments)
    (line,) = err.splitlines()
    assert code == 2
    assert named in line
