"""The noise scale of a real network: its interval against the exact value over all examples.

10,000 images and 6 repetitions of 50 probes; `make calibrate` takes 55,000 and 100 repetitions.
"""

import copy
import os

import numpy as np
import pytest
import torch
from scipy import stats

import scaling
from scaling.datamodules import image_sources
from scaling.gradients import outer_products
from scaling.gradients.contributions import Contributions
from scaling.gradients.outer_products import Outer
from scaling.gradients.parameter_uses import ParameterUses
from scaling.models.mlp import MLP

FULL = "SCALING_DRAWS" in os.environ
REPETITIONS, EXAMPLES = (100, 55_000) if FULL else (6, 10_000)
PROBES, BATCH = 50, 64


@pytest.fixture(scope="module")
def images():
    if not os.environ.get("SCALING_DATA"):
        pytest.skip("needs real data: SCALING_DATA is not set")
    source = image_sources.load("mnist", None)
    pixels = source.train[:EXAMPLES].float()
    return (pixels - pixels.mean()) / pixels.std(), source.train_labels[:EXAMPLES]


@pytest.fixture(scope="module")
def networks(images) -> dict[int, MLP]:
    """The network at the start, and after 300 steps of Adam."""
    torch.manual_seed(0)
    net = MLP(inputs=784, outputs=10, length=1, depth=4, width=256, activation="relu", init="he")
    start = copy.deepcopy(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    draws = torch.Generator().manual_seed(0)
    for _ in range(300):
        rows = torch.randint(EXAMPLES, (BATCH,), generator=draws)
        optimizer.zero_grad()
        net.losses((images[0][rows], images[1][rows])).mean().backward()
        optimizer.step()
    return {0: start, 300: net}


def watched(net: MLP, images, rows: torch.Tensor) -> Contributions:
    """The contribution of each example to the gradient of the sum of their losses."""
    net.zero_grad()
    with ParameterUses(list(net.parameters()), examples=len(rows)) as uses:
        loss = net.losses((images[0][rows], images[1][rows])).sum()
    loss.backward()
    return uses.contributions


def probes(net: MLP, images, rows: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean squared gradient norm of single examples, and that of their mean loss, of each batch."""
    small, big = [], []
    for some in rows.split(16):
        seen = watched(net, images, some.flatten())
        small.append(seen.squared_norms().double().sum(0).view(some.shape).mean(1))
        whole = torch.zeros(len(some), dtype=torch.float64)
        for p in net.parameters():
            for part in seen.outer[id(p)]:  # the examples of a batch as positions of one example
                left, right = (side.view(*some.shape, -1) for side in (part.left, part.right))
                whole += outer_products.squared_norms([Outer(left, right, part.rows)])
            for values in seen.direct[id(p)]:
                whole += values.view(*some.shape, -1).sum(1).square().sum(1)
        big.append(whole / BATCH**2)
    return torch.cat(small).numpy(), torch.cat(big).numpy()


def exact_noise_scale(net: MLP, images) -> float:
    """tr(Sigma) / |G|^2 over all examples."""
    squares, mean = 0.0, [torch.zeros_like(p, dtype=torch.float64) for p in net.parameters()]
    for rows in torch.arange(EXAMPLES).split(5_000):
        squares += watched(net, images, rows).squared_norms().double().sum().item() / EXAMPLES
        for whole, p in zip(mean, net.parameters(), strict=True):
            whole += p.grad / EXAMPLES
    signal = sum(gradient.square().sum().item() for gradient in mean)
    return (squares - signal) / signal


@pytest.mark.parametrize(("steps", "about"), [(0, 50), (300, 470)])
def test_the_interval_covers_the_exact_noise_scale_of_all_examples(images, networks, steps, about):
    net = networks[steps]
    exact = exact_noise_scale(net, images)
    assert about / 2 < exact < 2 * about
    draws = torch.Generator().manual_seed(steps)
    estimates = []
    for _ in range(REPETITIONS):
        rows = torch.randint(EXAMPLES, (PROBES, BATCH), generator=draws)
        small, big = probes(net, images, rows)
        table = {"small_norm_squared": small, "big_norm_squared": big, "unit": "examples"}
        estimates.append(scaling.noise_scale(table | {"small_batch": 1, "big_batch": BATCH}))
    inside = sum(e.low <= exact <= e.high for e in estimates)
    known = [e for e in estimates if e.identified]
    inside_of_known = sum(e.low <= exact <= e.high for e in known)
    print(f"\nafter {steps} steps {exact:.1f}: inside {inside} of {REPETITIONS}, "
          f"identified {len(known)} with {inside_of_known} inside")  # fmt: skip
    assert inside >= (89 if FULL else stats.binom.ppf(0.01, REPETITIONS, 0.95))
    assert len(known) >= 0.7 * REPETITIONS
    assert inside_of_known >= (0.89 if FULL else 0.7) * len(known)
