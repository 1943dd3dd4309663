"""Critics of events that are images, and the table of all critics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from calque.models.convolutional import Convolutional, follow
from calque.models.generator import beside
from calque.models.images import Shape, images_of, pixels
from calque.models.layered import LocallyConnected, log_mean_exp
from calque.models.network import Norm, Place, kept, widths
from calque.models.network import Shape as Widths
from calque.models.spectral import apply_norm
from calque.table import Layout

WIDTH = 128  # of the features of one image, and of all together
GROUP = 4  # events whose spread a critic is told (arXiv:1912.04958, appendix B)


def spread_within(x: Tensor, rows: int | None = None) -> Tensor:
    """Tell each event how far a few events of the same origin are apart (arXiv:1710.10196, section 3).

    Parameters
    ----------
    x : Tensor
        Features (B, …), `rows` of one origin after another: the real events, then the generated ones.
    rows : int, optional
        Events of one origin, of which no group crosses the end; all of them by default.

    Returns
    -------
    Tensor
        The mean standard deviation (B, 1) of the features in the event's group. A group has four events in a row;
        where four does not divide `rows`, some groups have more. Fewer than four rows are one group.

    Examples
    --------
    >>> spread_within(torch.tensor([[0.0], [2.0], [5.0], [5.0]]), rows=2).flatten().round(decimals=3).tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    rows = rows or len(x)
    flat = x.flatten(1)
    if rows % GROUP == 0:
        variances = flat.view(-1, GROUP, flat.shape[1]).var(1, unbiased=False)
        return torch.sqrt(variances + 1e-8).mean(1).repeat_interleave(GROUP)[:, None]
    group = groups_of(len(x), rows).to(x.device)
    sizes = torch.bincount(group)[:, None]
    empty = flat.new_zeros(len(sizes), flat.shape[1])
    means = empty.index_add(0, group, flat) / sizes
    variances = empty.index_add(0, group, (flat - means[group]).square()) / sizes
    return torch.sqrt(variances + 1e-8).mean(1)[group][:, None]


def groups_of(total: int, rows: int) -> Tensor:
    """Numbers of the groups of events, nearly equal ones of four or a few more among each `rows`.

    >>> groups_of(18, 9).tolist()
    [0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3]
    """
    count, places = max(1, rows // GROUP), torch.arange(total)
    return places // rows * count + places % rows * count // rows


def begun_at_one(layer: nn.Linear) -> nn.Linear:
    """A layer with biases of one."""
    nn.init.ones_(layer.bias)
    return layer


class OfImages(nn.Module):
    """Features of all images of a shape together, of numbers and of the context, joined by a dense layer, to a score.

    The context weighs the features too, so that it decides what counts (as in arXiv:1802.05637): without that, many
    more steps are needed until it is followed. Subclasses say what looks at the images, and whether the spread `within`
    few events is told. The answer is as that of `Critic`.
    """

    within = False

    def __init__(self, layout: Layout, context: int = 0, *, layers: int = 3, nodes: float = 1.0, base: int = 16,
                 shape: Widths = "pyramid", activation: str = "leaky-relu", norm: Norm = "none",
                 norm_place: Place = "after", dropout: float = 0.0, momentum: float | None = None,
                 bias: bool = True, outputs: int = 1, within: bool | None = None) -> None:
        super().__init__()
        found = images_of(layout)
        self.layout, self.within = layout, self.within if within is None else within
        self.groups = {one: [name for name in found if found[name] == one] for one in found.values()}
        self.numbers = [name for name in layout.names if name not in found]
        settings: dict[str, Any] = {"activation": activation, "norm": norm, "dropout": dropout,
                                    "momentum": kept(momentum, norm), "norm_place": norm_place}
        hidden = widths(layers, nodes, base, shape)
        self.eyes = nn.ModuleList(self.eye(one, len(names), hidden, **settings) for one, names in self.groups.items())
        seen = sum(eye.width for eye in self.eyes if isinstance(eye, Convolutional | Local)) + len(self.numbers)
        self.body = nn.Sequential(*follow(nn.Linear(seen + int(self.within) + context, WIDTH), WIDTH, 0, **settings))
        self.weigh = apply_norm(begun_at_one(nn.Linear(context, WIDTH)), norm) if context else None
        self.head, self.width = apply_norm(nn.Linear(WIDTH, outputs, bias), norm), WIDTH

    def eye(self, shape: Shape, count: int, hidden: list[int], **settings: Any) -> nn.Module:
        """What looks at images of one shape, flat: (B, count·P) → (B, width)."""
        raise NotImplementedError

    def looked(self, x: Tensor) -> Iterator[Tensor]:
        """Features of the images of each shape, and the numbers."""
        columns = self.layout.unpack(x)
        for eye, names in zip(self.eyes, self.groups.values(), strict=True):
            yield eye(torch.cat([columns[name].flatten(1) for name in names], 1))
        yield from (columns[name][:, None] for name in self.numbers)

    def forward(self, x: Tensor, context: Tensor, rows: int | None = None) -> tuple[Tensor, Tensor]:
        """(B, D) and (B, C) → scores (B,), or (B, outputs) of several, and the last hidden layer (B, width).

        So many `rows` in a row are of one origin, real or generated.
        """
        seen = torch.cat(list(self.looked(x)), 1)
        seen = torch.cat([seen, spread_within(seen, rows)], 1) if self.within else seen
        features = self.body(beside(seen, context))
        if self.weigh is not None:
            features = features * self.weigh(context)
        return self.head(features).squeeze(1), features


class ConvolutionalCritic(OfImages):
    """Strided convolutions (DCGAN: arXiv:1511.06434)."""

    def eye(self, shape: Shape, count: int, hidden: list[int], **settings: Any) -> nn.Module:
        """Channels are the dense critic's widths."""
        return Convolutional(shape, WIDTH, hidden, images=count, **settings)


class LayersCritic(OfImages):
    """Locally connected layers, sums and sparsity of each image, and their spread in few events (arXiv:1712.10321)."""

    within = True

    def eye(self, shape: Shape, count: int, hidden: list[int], **settings: Any) -> nn.Module:
        """Feature maps are the dense critic's widths."""
        return Local(shape, count, hidden, **settings)


class Local(nn.Module):
    """Locally connected features of images, and three numbers of each image.

    These are the mean, the logarithm of the mean exponential (of pixels on a logarithmic scale, that of the energy) and
    the share of pixels above a threshold, softly; sharpness and threshold are learnt.
    """

    def __init__(self, shape: Shape, count: int, hidden: list[int], activation: str, norm: Norm, dropout: float,
                 momentum: float, norm_place: Place) -> None:
        super().__init__()
        self.shape, self.count, self.width = (count, *shape), count, WIDTH // 2 + 3 * count
        parts: list[nn.Module] = []
        for inputs, outputs in zip([count, *hidden], hidden, strict=False):
            parts += follow(LocallyConnected(inputs, outputs, shape), outputs, len(shape), activation, norm, dropout,
                            momentum, norm_place)
        last = nn.Linear([count, *hidden][-1] * pixels(shape), WIDTH // 2)
        self.layers = nn.Sequential(*parts, nn.Flatten(), *follow(last, WIDTH // 2, 0, activation, norm, dropout,
                                                                  momentum, norm_place))
        self.sharpness, self.threshold = nn.Parameter(torch.zeros(2, count, 1)), nn.Parameter(torch.zeros(count, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, count·P) → (B, width)."""
        images = x.view(len(x), self.count, -1)
        log_sum, lit = self.sharpness.exp()
        told = [images.mean(2), log_mean_exp(images, log_sum), torch.sigmoid(lit * (images - self.threshold)).mean(2)]
        return torch.cat([self.layers(x.view(-1, *self.shape)), *told], 1)
