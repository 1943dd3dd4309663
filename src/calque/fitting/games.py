"""Adversarial games: what critic and generator want, as functions of logits."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus


class Game:
    """Losses of both players; labels are 1 for real and 0 for generated, possibly blurred."""

    def critic(self, real: Tensor, fake: Tensor, real_labels: Tensor, fake_labels: Tensor) -> Tensor:
        """Cross-entropy with logits, well defined for labels beyond [0, 1]."""
        return (binary_cross_entropy_with_logits(real, real_labels)
                + binary_cross_entropy_with_logits(fake, fake_labels)) / 2

    def generator(self, fake: Tensor) -> Tensor:
        """What the generator lowers."""
        raise NotImplementedError


class Minimax(Game):
    """mean log(1 − D(G)), which saturates (Goodfellow et al. 2014, arXiv:1406.2661, eq. 1)."""

    def generator(self, fake: Tensor) -> Tensor:
        """log(1 − D) = −softplus(logit)."""
        return -softplus(fake).mean()


class NonSaturating(Game):
    """mean(−log D(G)): the 2018 note's loss (arXiv:1406.2661, section 3)."""

    def generator(self, fake: Tensor) -> Tensor:
        """−log D = softplus(−logit)."""
        return softplus(-fake).mean()


GAMES: dict[str, type[Game]] = {"non-saturating": NonSaturating, "minimax": Minimax}
