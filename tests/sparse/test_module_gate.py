"""What one gate for a whole module sees, and how it travels with weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from spvos_cli import resources
from spvos_cli.errors import InputError
from spvos_cli.model.checkpoint import build_model, load_checkpoint, save_weights
from spvos_cli.model.config import LITE
from spvos_cli.sparse.module_gate import CELL, MAPS, REACHES, GateView, ModuleGate, seen_maps
from spvos_cli.sparse.policy import COMPUTE, REUSE, SKIP, argmax_policy

SIZE = 12, 14  # cells
MODULE = dataclasses.replace(LITE, method="triple", gate="module")


def view_of(keys: int = 8) -> GateView:
    """An object of one cell, and keys that are all different and then one cell further right."""
    torch.manual_seed(0)
    before = torch.randn(1, keys, *SIZE)
    masks = torch.zeros(1, CELL * SIZE[0], CELL * SIZE[1])
    masks[0, 4 * CELL : 5 * CELL, 6 * CELL : 7 * CELL] = 1
    policy = torch.full((1, *SIZE), REUSE, dtype=torch.uint8)
    policy[0, 0] = SKIP
    return GateView(before.roll(1, 3), before, masks, policy, torch.ones(1, *SIZE))


def test_maps_follow_what_moves() -> None:
    view = view_of()
    key, previous = (torch.nn.functional.normalize(k, dim=1) for k in (view.key, view.previous_key))
    maps = seen_maps(key, previous, view)[0]
    assert maps.shape == (MAPS, *SIZE)
    mean, most, least, unsure, others, near, far, moved, moved_most, same, best, skipped, reused, age = maps
    for x in (mean, most, least):
        assert x.nonzero().tolist() == [[4, 6]]
    assert not unsure.any()
    assert not others.any()
    for x, reach in ((near, REACHES[0]), (far, REACHES[1])):
        rows, columns = x.nonzero().unbind(1)
        assert (rows.min(), rows.max()) == (max(0, 4 - reach), 4 + reach)
        assert (columns.min(), columns.max()) == (6 - reach, 6 + reach)
    for x in (moved, moved_most):
        assert x[:, 1:].nonzero().tolist() == [[4, 6]]  # the first column is 0 here
    torch.testing.assert_close(best[:, 1:], torch.ones_like(best[:, 1:]))
    assert (same < 0.999).all()
    assert skipped[0].all()
    assert not skipped[1:].any()
    assert torch.equal(reused, 1 - skipped)
    assert (age == 0.25).all()


def test_others_and_doubt_are_seen() -> None:
    view = view_of()
    half = torch.full_like(view.masks, 0.5)
    double = view._replace(
        masks=torch.cat([view.masks, half]),
        policy=view.policy.expand(2, -1, -1),
        age=view.age.expand(2, -1, -1),
    )
    maps = seen_maps(view.key, view.previous_key, double)
    torch.testing.assert_close(maps[1, 3], torch.ones(SIZE))  # unsure
    assert maps[0, 4].eq(0.5).all()  # the other object
    assert maps[1, 4].nonzero().tolist() == [[4, 6]]


def test_a_fresh_gate_computes_everything() -> None:
    logits = ModuleGate(8)(view_of())
    assert logits.shape == (1, 3, *SIZE)
    assert (argmax_policy(logits) == COMPUTE).all()


def test_weights_carry_the_gate(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_model(MODULE)
    torch.nn.init.normal_(network.gate.last.weight)
    save_weights(network, tmp_path / "w.safetensors")
    loaded = load_checkpoint(tmp_path / "w.safetensors")
    assert loaded.config.gate == "module"
    assert torch.equal(loaded.gate.last.weight, network.gate.last.weight)
    dense = load_checkpoint(tmp_path / "w.safetensors", {"method": "dense"})
    assert dense.gate is None
    with pytest.raises(InputError, match="have no triple gates"):
        load_checkpoint(tmp_path / "w.safetensors", {"gate": "conv"})


def test_weights_without_it_are_refused(tmp_path: Path) -> None:
    save_weights(build_model(dataclasses.replace(LITE, method="triple")), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"--gate module.*no gate for a whole module"):
        load_checkpoint(tmp_path / "w.safetensors", {"gate": "module"})


def test_its_weights_have_a_file_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "weights_folder", lambda: tmp_path)
    for name in ("lite", "lite-triple"):
        (tmp_path / f"{name}.safetensors").touch()
    found = [resources.weight_file("lite", *asked).stem for asked in ((None, "module"), ("triple", "module"))]
    assert found == ["lite", "lite"]
    (tmp_path / "lite-module.safetensors").touch()
    asked = (None, "module"), ("triple", "module"), ("dense", "module"), ("triple", "conv"), ("triple", None)
    found = [resources.weight_file("lite", *each).stem for each in asked]
    assert found == ["lite-module", "lite-module", "lite", "lite-triple", "lite-triple"]


@pytest.mark.parametrize("method", ["static", "residual"])
def test_it_is_triple(method: str) -> None:
    with pytest.raises(InputError, match="--gate module"):
        build_model(dataclasses.replace(MODULE, method=method))
