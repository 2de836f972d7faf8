"""Weight files rebuild their network, and whatever else is given as one is refused in one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from spvos_cli import load_model
from spvos_cli.errors import InputError
from spvos_cli.model.checkpoint import build_model, load_checkpoint, save_weights, stored_config
from spvos_cli.model.config import LITE, ModelConfig
from spvos_cli.resources import shipped_weights


def test_round_trip_with_config(tmp_path: Path) -> None:
    config = dataclasses.replace(LITE, decoder_channels=(32, 24, 16), mem_every=7)
    model = build_model(config)
    save_weights(model, tmp_path / "small.safetensors")
    again = load_checkpoint(tmp_path / "small.safetensors")
    assert again.config == config
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_config_of_a_newer_version() -> None:
    with pytest.raises(ValueError, match="wings"):
        ModelConfig.from_json('{"architecture": "lite", "wings": 2}')


def bad_files(folder: Path) -> dict[str, Path]:
    files = {
        name: folder / name
        for name in ("noise.safetensors", "bare.safetensors", "noise.pth", "evil.pth", "tiny.pth")
    }
    files["noise.safetensors"].write_bytes(b"no weights at all")
    save_file({"x": torch.zeros(2)}, files["bare.safetensors"])
    files["noise.pth"].write_bytes(b"no weights at all")
    torch.save({"code": print}, files["evil.pth"])
    torch.save({"key_encoder.conv1.weight": torch.zeros(2)}, files["tiny.pth"])
    files["missing.pth"] = folder / "missing.pth"
    return files


@pytest.mark.parametrize(
    "name", ["noise.safetensors", "bare.safetensors", "noise.pth", "evil.pth", "tiny.pth", "missing.pth"]
)
def test_bad_files(tmp_path: Path, name: str) -> None:
    path = bad_files(tmp_path)[name]
    with pytest.raises(InputError, match=name) as error:
        load_checkpoint(path)
    assert "\n" not in str(error.value)
    assert "--weights" in str(error.value)


def test_weights_ship_by_method() -> None:
    """Those with triple gates where these are asked for; a method without any has the dense ones."""
    methods = {None: "dense", "dense": "dense", "triple": "triple", "static": "dense"}
    found = {method: stored_config(shipped_weights("lite", method)).method for method in methods}
    assert found == methods
    assert load_model(method="triple").gated_parts == "D"
    with pytest.raises(InputError, match="no static gates"):
        load_model(method="static")
