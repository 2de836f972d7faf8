"""The price of computing, and the loss that it makes of choices with known errors."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from spvos_cli.distributed import Processes
from spvos_cli.training.streams.policy_costs import PolicyCosts
from spvos_cli.training.streams.price import FARTHEST, LIMIT, RATE, Price, pairwise_surrogate

COST = 2 * 3 * 9  # of a pixel


def policy_costs(logits: Tensor, errors: Tensor) -> PolicyCosts:
    """(P,) logits that hold for all pixels, (P, pixels) errors."""
    policies, pixels = errors.shape
    everywhere = logits[None, :, None, None].expand(1, policies, 1, pixels)
    computed = torch.full((1, 1, pixels), bool(logits.argmax() == policies - 1))
    return PolicyCosts(COST, everywhere, errors.reshape(everywhere.shape), computed)


def test_surrogate_by_hand() -> None:
    """Two pixels: skipping one is 60 - COST dearer than computing it, the other COST cheaper."""
    price, logits = torch.tensor(0.5), torch.tensor([0.3, 0.0])
    record = policy_costs(logits, torch.tensor([[30.0, 0.0], [0.0, 0.0]]))
    wrong, right = (math.log1p(math.exp(x)) for x in (0.3, -0.3))
    assert pairwise_surrogate(record, price).item() == pytest.approx((60 - COST) * wrong + COST * right)
    huge = policy_costs(logits, torch.tensor([[1e9], [0.0]]))
    assert pairwise_surrogate(huge, price).item() == pytest.approx(LIMIT * COST * wrong)


def test_surrogate_of_three_is_that_of_all_pairs() -> None:
    record = policy_costs(torch.zeros(3), torch.tensor([[1.0], [2.0], [0.0]]))
    costs = 10.0, 20.0, float(COST)
    pairs = sum(abs(a - b) for a, b in itertools.combinations(costs, 2))
    assert pairwise_surrogate(record, torch.tensor(0.1)).item() == pytest.approx(pairs * math.log(2))


def test_first_price_is_the_mean_of_what_computing_saves() -> None:
    price = Price()
    record = policy_costs(torch.tensor([0.0, 0.0, 1.0]), torch.tensor([[3.0, 9.0], [5.0, 2.0], [0.0, 1.0]]))
    loss, density = price([record], 1.0, Processes())
    assert density == 1
    assert price.log_price.exp().item() == pytest.approx((3 + 1) / (2 * COST))
    assert loss.isfinite()


def test_price_rises_while_too_much_is_computed() -> None:
    price, errors = Price(), torch.tensor([[1.0], [0.0]])
    price([policy_costs(torch.tensor([0.0, 1.0]), errors)], 1.0, Processes())
    before = price.log_price.item()
    price([policy_costs(torch.tensor([0.0, 1.0]), errors)], 0.25, Processes())
    assert price.log_price.item() == pytest.approx(before + RATE * math.log(4))
    price([policy_costs(torch.tensor([1.0, 0.0]), errors)], 0.25, Processes())
    assert price.log_price.item() == pytest.approx(before + RATE * math.log(4 / FARTHEST))


def test_gates_reach_the_density_and_compute_where_it_matters() -> None:
    """Pixels whose errors differ and a gate that sees them: those with the largest are computed."""
    torch.manual_seed(0)
    wrong = torch.rand(400) ** 4 + 1e-3
    seen = torch.stack([torch.ones(400), wrong.log()])
    weight = torch.zeros(2, 2, requires_grad=True)
    optimizer, price = torch.optim.Adam([weight], 0.05), Price()
    for _ in range(600):
        logits = weight @ seen
        errors = torch.stack([wrong, torch.zeros(400)])[None, :, None]
        record = PolicyCosts(COST, logits[None, :, None], errors, (logits.argmax(dim=0) == 1)[None, None])
        loss, density = price([record], 0.2, Processes())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert density.item() == pytest.approx(0.2, abs=0.03)
    computed = record.computed.flatten()
    assert wrong[computed].min() > wrong[~computed].max()
