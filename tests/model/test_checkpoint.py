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
from spvos_cli.sparse.conv_unit import ConvUnit


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


def test_a_weight_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    save_weights(build_model(dataclasses.replace(LITE, decoder_channels=(32, 24, 16))), tmp_path / "weights")
    assert (tmp_path / "weights").stat().st_mode == (tmp_path / "other").stat().st_mode


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


def test_another_network_than_the_one_expected(tmp_path: Path) -> None:
    save_weights(build_model(LITE), tmp_path / "small.safetensors")
    with pytest.raises(InputError, match=r"small.*lite network; expected .* spvos network \(--model lite\)"):
        load_checkpoint(tmp_path / "small.safetensors", architecture="spvos")
    load_checkpoint(tmp_path / "small.safetensors", architecture="lite")


@pytest.mark.parametrize("field", ["architecture", "method", "structure", "strategy"])
def test_weights_that_name_what_nobody_knows(tmp_path: Path, field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} 'other'; expected .*, "):
        dataclasses.replace(LITE, **{field: "other"})
    text = LITE.to_json().replace(f'"{field}": "{getattr(LITE, field)}"', f'"{field}": "other"')
    save_file({"x": torch.zeros(2)}, tmp_path / "odd.safetensors", metadata={"config": text})
    with pytest.raises(InputError, match=f"odd.*{field} 'other'"):
        load_checkpoint(tmp_path / "odd.safetensors")


def test_folded_normalisation_changes_nothing() -> None:
    """Nor does it leave the constant that a skipped pixel gets."""
    torch.manual_seed(0)
    for bias in (False, True):
        conv = ConvUnit(5, 6, 3, norm=True, relu=True, bias=bias).eval()
        for tensor in (conv.norm.weight, conv.norm.running_var):
            torch.nn.init.uniform_(tensor, 0.5, 1.5)
        for tensor in (conv.norm.bias, conv.norm.running_mean):
            torch.nn.init.normal_(tensor)
        x = torch.randn(2, 5, 7, 9)
        with torch.no_grad():
            expected, skipped = conv(x), conv.finish(torch.zeros(1, 6, 1, 1)).flatten()
            conv.fold_norm()
            assert conv.norm is None
            torch.testing.assert_close(conv(x), expected, atol=1e-6, rtol=1e-6)
            torch.testing.assert_close(conv.skipped(), skipped, atol=1e-6, rtol=1e-6)


def test_the_image_is_normalised_without_an_upload() -> None:
    """Mean and deviation lie where the network does, and are no part of its weights."""
    model = build_model(LITE)
    assert {"mean", "std"} <= dict(model.named_buffers()).keys()
    assert not {"mean", "std"} & model.state_dict().keys()
    image = torch.rand(1, 3, 4, 5)
    expected = [(image[:, c] - LITE.mean[c]) / LITE.std[c] for c in range(3)]
    torch.testing.assert_close(model.normalize(image), torch.stack(expected, dim=1))


def test_gates_without_a_place_are_refused() -> None:
    with pytest.raises(InputError, match=r"--sparse Q: no residual branch.*--sparse D"):
        build_model(dataclasses.replace(LITE, method="triple", structure="Q"))
    assert build_model(dataclasses.replace(LITE, method="triple", structure="Q", gate_all=True)).gated_parts
