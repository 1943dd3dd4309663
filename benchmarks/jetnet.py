"""Fréchet and kernel physics distances against JetNet's, energy and Wasserstein distances against scipy's; one thread.

    python benchmarks/jetnet.py [--rows 50000]

JetNet 0.2.5 gets an environment of its own, made in benchmarks/.cache the first time. Both see the same arrays of six
columns, and run with their defaults; the flaw of the generated rows grows from none to plain. Times are the best of
three; JetNet's are those of the value and the spread it gives, calque's include error and floor from 200 replicas
each. `apart` is the difference of both values in units of both errors. Where the algorithm
has no random numbers (plain Fréchet distance of all rows, discrepancy of 2 000 rows) the digits are compared.

JetNet fits its line with bounds, and where values are small (1e-4 and less) that fit stops before it reaches the line
through its points; `its line` is the ordinary least-squares line through the same points. As JetNet draws rows with
replacement, that line ends at the plain distance of the rows given, of which a bias b/N is left; calque's ends at
infinitely many rows.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from judging import muons

from calque.judging.joint import FrechetPhysicsDistance, KernelPhysicsDistance
from calque.judging.joint.draws import every, largest, standards
from calque.judging.joint.energy import energy
from calque.judging.joint.kernel import Rows
from calque.judging.joint.kpd import of_pairs
from calque.judging.joint.sliced import linearised
from calque.judging.samples import Sample
from calque.table import Table

HOME = Path(__file__).parent / ".cache" / "jetnet"
NEEDS = (["torch==2.13.0"], ["jetnet==0.2.5", "numpy<2", "pandas<3", "pyarrow<22", "scipy<1.17"])
FLAWS = (0.0, 0.3, 1.0)
ROUNDS = 3
FEW = 2000
JETNET = """import json, sys, time, warnings
import numpy as np
from jetnet.evaluation import gen_metrics as metrics
warnings.simplefilter("ignore")
fit, ends = metrics.curve_fit, []
def noted(line, x, y, **settings):
    ends.append(float(np.polyfit(x, y, 1)[1]))
    return fit(line, x, y, **settings)
metrics.curve_fit = noted
arrays = np.load(sys.argv[1])
def timed(call, *given, **settings):
    costs = []
    for _ in range(int(sys.argv[2])):
        start = time.perf_counter()
        value, error = call(*given, **settings)
        costs.append(time.perf_counter() - start)
    return [float(value), float(error), min(costs)]
def moments(x):
    return np.mean(x, axis=0), np.cov(x, rowvar=False)
real = arrays["real"]
metrics.kpd(real[:200], real[:200], batch_size=100)
found = {}
for name in arrays.files[1:]:
    x, y = metrics._normalise_features(real, arrays[name])
    found[name] = dict(
        fpd=timed(metrics.fpd, real, arrays[name]), kpd=timed(metrics.kpd, real, arrays[name]),
        frechet=float(metrics._calculate_frechet_distance(*moments(x), *moments(y))),
        line=ends[-1], mmd=float(metrics._mmd_poly_quadratic_unbiased(x[:2000].copy(), y[:2000].copy())))
print(json.dumps(found))"""
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}


def environment() -> Path:
    """Python of JetNet's environment."""
    python = HOME / "bin" / "python"
    if not (HOME / ".ready").exists():
        print("making JetNet's environment …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
        for needs in NEEDS:
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *needs], check=True)
        (HOME / ".ready").touch()
    return python


def jetnet(real: Table, fakes: dict[str, Table]) -> dict[str, Any]:
    """What JetNet says of the same arrays."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arrays.npz"
        np.savez(path, real=matrix(real).values, **{name: matrix(fake).values for name, fake in fakes.items()})
        command = [str(environment()), "-c", JETNET, str(path), str(ROUNDS)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | ONE_THREAD)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def matrix(table: Table) -> Sample:
    """Columns side by side."""
    return Sample.of(table, table.features)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Best of all rounds: what a call gives, and its seconds."""
    costs = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        found = call()
        costs.append(time.perf_counter() - start)
    return found, min(costs)


def against_jetnet(rows: int) -> None:
    """Values, errors and times of FPD and KPD."""
    real, train = muons(rows, 0.0, seed=1), muons(rows, 0.0, seed=3)
    fakes = {str(flaw): muons(rows, flaw, seed=2) for flaw in FLAWS}
    theirs = jetnet(real, fakes)
    print(f"{rows} × 6 rows of each; JetNet with its defaults, calque with errors and floors of 200 replicas")
    print("flaw  measure  JetNet ± its spread       calque ± error            apart  JetNet [s]  calque [s]  ratio")
    for name, fake in fakes.items():
        for measure in (FrechetPhysicsDistance(), KernelPhysicsDistance(rows=rows)):
            (ours,), seconds = timed(lambda measure=measure, fake=fake: measure(real, fake, train))
            value, error, cost = theirs[name][ours.measure]
            apart = (value - ours.value) / np.hypot(error, ours.error)
            print(f"{name:4}  {ours.measure:7}  {value:11.4e} ± {error:8.1e}    "
                  f"{ours.value:11.4e} ± {ours.error:8.1e}  {apart:+7.1f}  {cost:10.2f}  "
                  f"{seconds:10.2f}  {cost / seconds:5.1f}", flush=True)
    print("\nflaw  FPD of JetNet  its line     calque, plain  calque       floor")
    for name, fake in fakes.items():
        ours = FrechetPhysicsDistance()(real, fake, train)[0]
        print(f"{name:4}  {theirs[name]['fpd'][0]:13.4e}  {theirs[name]['line']:11.4e}  {ours.details['plain']:13.4e}  "
              f"{ours.value:11.4e}  {ours.floor:11.1e} ± {math.sqrt(ours.details['replicas']) * ours.floor_error:.1e}")
    print("\nlargest relative difference where nothing is random:  Fréchet "
          f"{largest_gap(theirs, fakes, 'frechet', lambda fake: plain(real, fake)):.1e}, discrepancy "
          f"{largest_gap(theirs, fakes, 'mmd', lambda fake: discrepancy(real, fake)):.1e}")


def largest_gap(theirs: dict[str, Any], fakes: dict[str, Table], key: str, ours: Callable[[Table], float]) -> float:
    """Largest relative difference of one number over all flaws."""
    return max(abs(ours(fake) / theirs[name][key] - 1) for name, fake in fakes.items())


def plain(real: Table, fake: Table) -> float:
    """Fréchet distance of all rows, not extrapolated."""
    return float(FrechetPhysicsDistance(replicas=20)(real, fake)[0].details["plain"])


def discrepancy(real: Table, fake: Table) -> float:
    """Unbiased discrepancy of the first 2 000 rows."""
    scale = largest(matrix(real))
    first, second = (Rows(matrix(table).values[:FEW] / scale, np.ones(FEW)) for table in (real, fake))
    return float(of_pairs(first, second, every(first), every(second))[0])


def against_scipy(rows: int, flaw: float) -> None:
    """Values alone, in one column."""
    from scipy.stats import energy_distance, wasserstein_distance

    real, fake = (matrix(muons(rows, f, seed).select(["pz"])) for f, seed in ((0.0, 1), (flaw, 2)))
    centre, scale = standards(real)
    x, y = ((one.values - centre) / scale for one in (real, fake))
    few = [Rows(one[:10_000], np.ones(10_000)) for one in (x, y)]
    axis, ones = np.ones((1, 1)), np.ones(rows)
    compared = {
        f"Wasserstein-1, {rows} rows": (lambda: wasserstein_distance(x[:, 0], y[:, 0]),
                                        lambda: linearised(Sample(x, ones), Sample(y, ones), axis)[0][0]),
        "energy, 10000 rows": (lambda: energy_distance(*(one.values[:, 0] for one in few)) ** 2,
                               lambda: float(energy(few[0], few[1], every(few[0]), every(few[1]))[0])),
    }
    print("\none column, value alone        scipy          calque         difference  scipy [s]  calque [s]  ratio")
    for name, (theirs, ours) in compared.items():
        (value, seconds), (found, cost) = timed(theirs), timed(ours)
        print(f"{name:29}  {value:.10f}   {found:.10f}   {found - value:+.1e}  {seconds:9.4f}  {cost:10.4f}  "
              f"{seconds / cost:6.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    against_jetnet(given.rows)
    against_scipy(given.rows, 0.1)


if __name__ == "__main__":
    os.environ |= ONE_THREAD
    main()
