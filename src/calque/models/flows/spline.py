"""Monotonic rational-quadratic splines, both ways, on columns that lie in rows.

Parameters stand above the values that they shape: 3K − 1 rows for K bins over values (d, N), so that every operation
runs along N. A bin is found by comparing with all knots; its numbers are sums over bins, masked by the comparison.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

FLOOR = 1e-3  # of a bin's size, where the largest is one


class Bins(NamedTuple):
    """The bin of each value: its edge and extent (2, d, N), horizontal and vertical; its slope, and those at both its
    knots over it; the place in it, 0…1, each (d, N).

    `below` (K − 1, d, N) marks the inner knots that lie below the value, `hot` (K, d, N) the bin; `free` (2, K, d, N)
    are all sizes before the floor is added, and `scale` (2, d, N) what they are multiplied with after it.
    """

    free: Tensor
    below: Tensor
    hot: Tensor
    scale: Tensor
    edge: Tensor
    extent: Tensor
    steep: Tensor
    first: Tensor
    last: Tensor
    place: Tensor


def locate(parameters: Tensor, values: Tensor, axis: int, bound: float) -> Bins:
    """Find the bins of values (d, N) along the horizontal (0) or vertical (1) axis, which goes from −bound to bound."""
    count = (len(parameters) + 1) // 3
    free = torch.sigmoid(parameters[: 2 * count]).view(2, count, *values.shape)
    size = free + FLOOR
    scale = 2 * bound / size.sum(1)
    low = size[axis, :-1].cumsum(0) < (values + bound) / scale[axis]
    end = low[:1]
    marks = torch.cat([torch.ones_like(end), low, torch.zeros_like(end)]).to(values.dtype)
    below, hot = marks[1:-1], marks[:-1] - marks[1:]
    edge, extent = (below * size[:, :-1]).sum(1) * scale - bound, (hot * size).sum(1) * scale
    steep, slopes = extent[1] / extent[0], parameters[2 * count :]
    first, last = (hot[1:] * slopes).sum(0).exp() / steep, (hot[:-1] * slopes).sum(0).exp() / steep
    place = ((values - edge[axis]) / extent[axis]).clamp(0, 1)
    return Bins(free, below, hot, scale, edge, extent, steep, first, last, place)


def forward(parameters: Tensor, x: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """x → y and log dy/dx, each (d, N) (Durkan et al. 2019, arXiv:1906.04032, equations 4 and 5).

    The first 2K rows of `parameters` (3K − 1, d, N) make widths and heights, the others log slopes at the inner knots.
    Beyond ±bound it is the identity, with which the slope agrees there.

    >>> y, slope = forward(torch.zeros(3 * 8 - 1, 1, 3), torch.tensor([[-7.0, 0.5, 2.0]]), 5.0)
    >>> y, slope
    (tensor([[-7.0000,  0.5000,  2.0000]]), tensor([[0., 0., 0.]]))
    """
    y, slope = Spline.apply(parameters, x, bound)  # type: ignore[no-untyped-call]
    return y, slope


def inverse(parameters: Tensor, y: Tensor, bound: float) -> Tensor:
    """y → x, each (d, N): the root of a quadratic equation, in the form that does not cancel."""
    bins = locate(parameters, y, 1, bound)
    bend = (bins.first + bins.last - 2) * bins.place
    a, b = 1 - bins.first + bend, bins.first - bend
    share = 2 * bins.place / (b + (b.square() + 4 * a * bins.place).clamp(min=0).sqrt())
    return torch.where(y.abs() < bound, bins.edge[0] + bins.extent[0] * share, y)


class Spline(Function):
    """The spline with its derivatives written out: autograd would take twice as long over as many small kernels.

    In its bin, of slope s, with t the place in it, u = t (1 − t), and q, r the slopes at its knots over s, the spline
    rises by the share v = (t² + q u) / m, where m = t² + (1 − t)² + (q + r) u, and has the slope s n / m², where
    n = r t² + 2 u + q (1 − t)².
    """

    @staticmethod
    def forward(ctx: Any, parameters: Tensor, x: Tensor, bound: float) -> tuple[Tensor, Tensor]:
        """Values and log slopes."""
        bins, inside = locate(parameters, x, 0, bound), x.abs() < bound
        within = inside.to(x.dtype)
        t, rest = bins.place, 1 - bins.place
        t2, u, rest2 = t * t, t * rest, rest * rest
        m = (t2 + rest2).addcmul_(bins.first + bins.last, u)
        v = torch.addcmul(t2, bins.first, u).div_(m)
        n = (2 * u).addcmul_(bins.last, t2).addcmul_(bins.first, rest2)
        ctx.kept = bins, inside, within, bound, rest, t2, u, rest2, m, v, n
        y = torch.addcmul(bins.edge[1], bins.extent[1], v)
        return torch.where(inside, y, x), (bins.steep * n).div_(m).div_(m).log_().mul_(within)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, grad_slope: Tensor) -> tuple[Tensor, Tensor, None]:
        """The same way back; what is named after a quantity is the gradient with respect to it."""
        bins, inside, within, bound, rest, t2, u, rest2, m, v, n = ctx.kept
        t, turn = bins.place, rest - bins.place
        edge, steep = grad_y * within, grad_slope * within
        rise, over, under = (edge * bins.extent[1]).div_(m), steep / n, steep / m
        both = torch.addcmul(2 * under, rise, v).mul_(u)
        first = (rise * u).addcmul_(over, rest2).sub_(both).mul_(bins.first)
        last = (over * t2).sub_(both).mul_(bins.last)
        steep.sub_(first).sub_(last)
        bent = torch.addcmul(turn, bins.last, t).addcmul_(bins.first, rest, value=-1)
        place = (rise * n).div_(m).addcmul_(over, bent, value=2)
        x = place.addcmul_(under.mul_(turn), bins.first + bins.last - 2, value=-2).div_(bins.extent[0])
        sizes = spread(bins, bound, torch.stack([-x, edge]), torch.stack([-steep, steep]), torch.stack([t, v]))
        slopes = (bins.hot[1:] * first).addcmul_(bins.hot[:-1], last)
        return torch.cat([sizes, slopes]), torch.where(inside, x, grad_y), None


def spread(bins: Bins, bound: float, edge: Tensor, steep: Tensor, place: Tensor) -> Tensor:
    """The gradient in what makes the sizes, from those in the bin's edges and log extents, each (2, d, N)."""
    extent = torch.addcdiv(edge * place, steep, bins.extent)
    shrink = (bins.edge + bound).mul_(edge).addcmul_(bins.extent, extent).mul_(bins.scale).div_(-2 * bound)
    sizes = torch.addcmul(shrink[:, None], bins.hot, (bins.scale * extent)[:, None])
    sizes[:, :-1].addcmul_(bins.below, (bins.scale * edge)[:, None])
    gradient: Tensor = torch.ops.aten.sigmoid_backward(sizes, bins.free)
    return gradient.flatten(0, 1)
