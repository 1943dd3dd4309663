"""Known truth: adversarial kinds learn samples that are drawn from a formula, with the preset "fast"."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from truths import SPOTS, learnt, moving, ring, separation, shares

from calque.config import merge
from calque.kinds import KINDS

ROWS = 4000
FAST: dict[str, Any] = {"preset": "fast"}
EIGHT = {"model": {"categorical": [8], "continuous": 0}, "objective": {"information": 1.0}}

# steps and AUC for the conditional Gaussian and for the ring, and what differs from the preset "fast" there
TRUTHS: dict[str, tuple[int, float, int, float, dict[str, Any], dict[str, Any]]] = {
    "gan": (300, 0.65, 500, 0.86, {}, {}),
    "minimax-gan": (250, 0.62, 500, 0.86, {}, {}),
    "lsgan": (300, 0.64, 600, 0.86, {}, {}),
    "wgan": (200, 0.62, 600, 0.86, {}, {}),
    "wgan-gp": (250, 0.66, 400, 0.86, {}, {}),
    "wgan-alp": (200, 0.62, 400, 0.86, {}, {}),
    "cramer-gan": (200, 0.62, 600, 0.88, {}, {}),
    "sngan": (250, 0.62, 600, 0.86, {}, {}),
    "r3gan": (250, 0.60, 500, 0.86, {}, {}),
    "unrolled-gan": (150, 0.64, 250, 0.86, {}, {}),
    "feature-gan": (300, 0.62, 600, 0.86, {}, {}),
    "infogan": (300, 0.66, 400, 0.80, {}, EIGHT),
}


def test_every_adversarial_kind_has_its_truth() -> None:
    assert set(TRUTHS) == {name for name, kind in KINDS.items() if kind.objective == "adversarial" and not kind.image}


@pytest.mark.parametrize("kind", TRUTHS)
def test_a_conditional_gaussian_is_learnt(kind: str) -> None:
    """Under a charge and an energy. Untrained the AUC is 0.99; a swapped charge would bring it to 1."""
    steps, reached, _, _, settings, _ = TRUTHS[kind]
    run = learnt(moving(6000, 0), kind, steps, FAST | settings, ["charge", "energy"])
    fresh, drawn = moving(ROWS, 11), run.sample(ROWS, seed=3)
    assert separation(fresh, run) < reached
    for charge in (-1, 1):
        x, y, energy = (drawn[name][drawn["charge"] == charge] for name in ("x", "y", "energy"))
        slope, mean = np.polyfit(energy, x, 1)
        assert (slope, mean) == pytest.approx((0.5, 1.5 * charge), abs=0.15)
        assert np.corrcoef(x - slope * energy, y)[0, 1] * charge > 0.4, "its truth is 0.8"


@pytest.mark.parametrize("kind", TRUTHS)
def test_a_ring_is_learnt(kind: str) -> None:
    """No spot is lost: within three widths each holds a third of its share of all events, at least."""
    _, _, steps, reached, _, settings = TRUTHS[kind]
    run = learnt(ring(6000, 0), kind, steps, FAST | settings, [])
    assert (shares(run.sample(ROWS, seed=3)) > 1 / 3 / SPOTS).all()
    assert separation(ring(ROWS, 11), run) < reached


def test_codes_name_the_spots_of_a_ring() -> None:
    """Eight levels, eight spots: each level draws in one spot, and no two in the same."""
    run = learnt(ring(6000, 0), "infogan", 300, FAST | EIGHT, [])
    noise = torch.randn(ROWS, run.generator.noise, generator=torch.Generator().manual_seed(0))
    level = (torch.special.ndtr(noise[:, -1]) * SPOTS).long()
    drawn = run.events(noise, None)
    angle = np.arctan2(drawn["y"], drawn["x"])
    spot = torch.from_numpy(np.round(angle / (2 * np.pi / SPOTS)).astype(int) % SPOTS)
    pairs = torch.bincount(SPOTS * level + spot, minlength=SPOTS**2).reshape(SPOTS, SPOTS) / ROWS
    assert sorted(pairs.argmax(1).tolist()) == list(range(SPOTS))
    assert float(pairs.max(1).values.sum()) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRUTHS)
def test_more_steps_learn_better(kind: str) -> None:
    """Six times as many, slower towards the end: spots hold half their share, and together three quarters."""
    _, _, steps, _, _, settings = TRUTHS[kind]
    run = learnt(ring(6000, 0), kind, 6 * steps, merge(FAST | settings, {"optimiser": {"schedule": "cosine"}}), [])
    found = shares(run.sample(ROWS, seed=3))
    assert (found > 1 / 2 / SPOTS).all()
    assert found.sum() > 0.75
    assert separation(ring(ROWS, 11), run) < 0.84
