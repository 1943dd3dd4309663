"""The coupling spline beside zuko's and nflows': events drawn and training steps per second, at equal likelihood.

    python benchmarks/flows.py [--steps 1500] [--seeds 3]

Equal shape everywhere: three transforms, eight bins, two hidden layers of 64, SiLU. Processor time of one thread; the
programs take turns, and medians are compared. nflows 0.14 stands beside the others where it can be imported: it takes
`pip install --no-deps --target DIR nflows==0.14`, and DIR in PYTHONPATH.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence

import torch
import zuko
from torch import Tensor, nn

from calque.fitting.loop import keep_pages
from calque.models.flows import Coupling
from calque.table import Layout

try:
    from nflows.distributions import StandardNormal
    from nflows.flows import Flow
    from nflows.nn.nets import MLP
    from nflows.transforms import CompositeTransform, PiecewiseRationalQuadraticCouplingTransform
except ImportError:
    Flow = None

TRANSFORMS, BINS, HIDDEN = 3, 8, (64, 64)
ROWS, BATCH, CHUNK = 10_000, 512, 2_000


def curved(rows: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Columns whose place and width follow those before them, shuffled; and their true log density."""
    stream, shape = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(7)
    normal = torch.randn(rows, size, generator=stream)
    place, width = (torch.randn(size, size, generator=shape) / math.sqrt(size) for _ in range(2))
    x, density = torch.empty_like(normal), -0.5 * (normal.square() + math.log(2 * math.pi)).sum(1)
    for column in range(size):
        before = x[:, :column]
        log_width = 0.6 * torch.tanh(2 * before @ width[column, :column]) + math.log(0.6)
        x[:, column] = 1.2 * torch.sin(1.5 * before @ place[column, :column]) + log_width.exp() * normal[:, column]
        density -= log_width
    return x[:, torch.randperm(size, generator=shape)], density


class Ours(nn.Module):
    """calque's."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.flow = Coupling(Layout.flat([str(column) for column in range(size)]), transforms=TRANSFORMS, bins=BINS,
                             hidden=HIDDEN, activation="silu")

    def log_prob(self, x: Tensor) -> Tensor:
        return self.flow.log_prob(x, x[:, :0])

    def draw(self, noise: Tensor) -> Tensor:
        return self.flow.sample(noise, noise[:, :0])


class Zuko(nn.Module):
    """zuko's; two passes make couplings of its masked networks, none an autoregressive flow."""

    def __init__(self, size: int, passes: int | None = 2) -> None:
        super().__init__()
        self.flow = zuko.flows.NSF(size, bins=BINS, transforms=TRANSFORMS, hidden_features=HIDDEN, passes=passes,
                                   activation=nn.SiLU)

    def log_prob(self, x: Tensor) -> Tensor:
        return self.flow().log_prob(x)

    def draw(self, noise: Tensor) -> Tensor:
        return self.flow().transform.inv(noise)


class Nflows(nn.Module):
    """nflows', with dense networks."""

    def __init__(self, size: int) -> None:
        super().__init__()

        class Network(MLP):
            hidden_features = HIDDEN[-1]

            def forward(self, inputs: Tensor, context: None = None) -> Tensor:
                return super().forward(inputs)

        def network(inputs: int, outputs: int) -> nn.Module:
            return Network([inputs], [outputs], HIDDEN, activation=nn.functional.silu)

        halves = [torch.arange(size) // math.ceil(size / 2) == number % 2 for number in range(TRANSFORMS)]
        self.transform = CompositeTransform([
            PiecewiseRationalQuadraticCouplingTransform(half.float(), network, num_bins=BINS, tails="linear",
                                                        tail_bound=5.0) for half in halves])
        self.flow = Flow(self.transform, StandardNormal([size]))

    def log_prob(self, x: Tensor) -> Tensor:
        return self.flow.log_prob(x)

    def draw(self, noise: Tensor) -> Tensor:
        return self.transform.inverse(noise)[0]


def trained(program: nn.Module, x: Tensor, steps: int) -> nn.Module:
    """Maximum likelihood, Adam, cosine schedule."""
    optimiser = torch.optim.Adam(program.parameters(), lr=3e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    for _ in range(steps):
        step(program, optimiser, x[torch.randint(len(x), (BATCH,))])
        schedule.step()
    return program


def step(program: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor) -> None:
    optimiser.zero_grad()
    (-program.log_prob(x).mean()).backward()
    optimiser.step()


@torch.inference_mode()
def draw(program: nn.Module, noise: Tensor, chunk: int) -> None:
    for part in noise.split(chunk):
        program.draw(part)


def alternating(tasks: Sequence[Callable[[], None]], repeats: int) -> list[float]:
    """Median seconds of each task, all of them once per repetition."""
    times: list[list[float]] = [[] for _ in tasks]
    for number in range(repeats + 2):
        for task, seconds in zip(tasks, times, strict=True):
            begun = time.process_time()
            task()
            if number >= 2:
                seconds.append(time.process_time() - begun)
    return [statistics.median(seconds) for seconds in times]


def likelihoods(programs: Sequence[type[nn.Module]], size: int, steps: int, seeds: int) -> list[str]:
    """Mean log density of fresh rows below the truth, with the spread over seeds."""
    (x, _), (fresh, truth) = curved(50_000, size, 0), curved(20_000, size, 1)
    found = []
    for make in programs:
        means = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            program = trained(make(size), x, steps)
            with torch.inference_mode():
                reached = torch.cat([program.log_prob(part) for part in fresh.split(CHUNK)])
            means.append(float((reached - truth).mean()))
        error = statistics.stdev(means) / math.sqrt(seeds) if seeds > 1 else math.nan
        found.append(f"{statistics.mean(means):+.3f} ± {error:.3f}")
    return found


def compare(programs: Sequence[type[nn.Module]], size: int, steps: int, seeds: int) -> None:
    """One line per program; ratios are ours over theirs."""
    noise = torch.randn(ROWS, size)
    made = [make(size) for make in programs]
    optimisers = [torch.optim.Adam(program.parameters(), fused=True) for program in made]
    tasks = [lambda p=program, c=chunk: draw(p, noise, c) for program in made for chunk in (CHUNK, ROWS)]
    seconds = alternating(tasks, 15)
    drawing = [min(pair) for pair in zip(seconds[::2], seconds[1::2], strict=True)]
    few, many = (alternating([lambda p=program, o=optimiser, x=x: step(p, o, x)
                              for program, optimiser in zip(made, optimisers, strict=True)], repeats)
                 for x, repeats in ((curved(BATCH, size, 2)[0], 100), (curved(ROWS, size, 2)[0], 10)))
    reached = likelihoods(programs, size, steps, seeds) if steps else ["" for _ in programs]
    for make, drawn, one, other, score in zip(programs, drawing, few, many, reached, strict=True):
        print(f"{size:7d}  {make.__name__.lower():8s}{ROWS / drawn / 1e3:11.1f}{drawn / drawing[0]:8.1f}"
              f"{1e3 * one:11.2f}{one / few[0]:8.1f}{1e3 * other:14.1f}{other / many[0]:8.1f}   {score}", flush=True)


def main() -> None:
    """Six and sixteen columns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500, help="of the training to equal likelihood; 0 leaves it out")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_pages()
    if Flow is None:
        print("nflows cannot be imported here: it is left out")
    print(f"columns  program   draws k/s   ratio   step [ms]   ratio   of {ROWS} [ms]   ratio   log density − truth")
    for size in (6, 16):
        compare([Ours, Zuko, *([Nflows] if Flow else [])], size, arguments.steps, arguments.seeds)


if __name__ == "__main__":
    main()
