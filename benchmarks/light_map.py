"""A light map's emulator against an independent simulation, along three scans through DUNE's test volume.

    python benchmarks/light_map.py --out runs/light [--seeds 0 1 2] [--real xenon1t_s1_light_yield.json]

For each seed a sample of its own (50 000 positions, 100 photons each) and a training of its own (recipe light-map).
The scans go through the box in steps of 1 cm: x at (y, z) = (250, 300), y at (x, z) = (200, 300), z at (x, y) = (200,
250), six detectors each. The reference simulates every position with --reference photons more, of other seeds; ten
neighbouring positions are averaged, of both, and count where the reference is above the stated visibility. Deviations
are of the emulator from it; "beyond" is what is left of them after one statistical error of the reference. Smoothness
is the largest second difference over a step of 1 cm, in largest values of the scan, beside that of the linear
interpolation of a library with the emulator's own values at the centres of 100 × 100 × 300 voxels, both more than 20 cm
from the detectors' plane: at the plane the map has an edge, the visibility of a detector from its side. What is made is
kept in --out, and a training that was stopped goes on. About 10 minutes of one thread for the reference, and for each
seed 3 for the sample and 6 for the training. --real: light yield of XENON1T, held-out points, against interpolation.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

from calque.config import load_config
from calque.fitting import fit
from calque.fitting.fit import is_finished
from calque.pipeline import load_data
from calque.preparing import prepare
from calque.reading.voxels import Voxels
from calque.recipes import find_recipe
from calque.run import Run, load_run
from calque.simulating import simulate
from calque.simulating.light import DUNE, LightMap
from calque.table import Table

SCANS = {"x": (0, (250.0, 300.0)), "y": (1, (200.0, 300.0)), "z": (2, (200.0, 250.0))}
SEES = {"x": [(14, 1), (13, 1), (15, 1), (12, 1), (14, 0), (13, 2)], "y": [(row, 1) for row in (1, 5, 8, 11, 14, 18)],
        "z": [(13, column) for column in range(6)]}
PASS = 500  # photons a position
TOGETHER = 10  # positions averaged
EDGE = 20.0  # cm from the detectors' plane, within which the map itself has an edge
ABOVE = (2e-3, 1e-3, 3e-4)  # visibilities
GRID = Voxels.of([100, 100, 300], DUNE.low, DUNE.high)


def positions(scan: str) -> np.ndarray:
    """Positions (N, 3) [cm] of a scan in steps of 1 cm, through all of the box."""
    axis, others = SCANS[scan]
    along = np.arange(np.ceil(DUNE.low[axis]), DUNE.high[axis])
    return np.insert(np.broadcast_to(others, (len(along), 2)).astype(float), axis, along, axis=1)


def reference(scan: str, photons: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Visibilities (N, 20, 6) of a scan and their errors, by passes of the simulation that are kept and added to."""
    images, variances = [], []
    for number in range(photons // PASS):
        path = folder / f"{scan}-{number}.npz"
        if not path.is_file():
            table = LightMap(1, photons=PASS).table(positions(scan), 1000 + number)
            np.savez(path, image=table["image"], error=table["error"])
        with np.load(path) as kept:
            images.append(kept["image"].astype(float))
            variances.append(np.square(kept["error"].astype(float)))
    return np.mean(images, 0), np.sqrt(np.mean(variances, 0) / len(variances))


def train(seed: int, out: Path, settings: Sequence[str]) -> Run:
    """The recipe on a sample of this seed; what is finished stays, what was stopped goes on."""
    sample = out / f"light-{seed}.h5"
    if not sample.is_file():
        simulate("light-map", sample, n=50_000, seed=seed)
    config = load_config(find_recipe("light-map"), [f"seed={seed}", f"read.files={sample}", *settings])
    folder = out / f"run-{seed}"
    return load_run(folder) if is_finished(folder) else fit(load_data(config), config=config, out=folder, resume=True,
                                                            quiet=True)


def emulate(run: Run, places: np.ndarray) -> np.ndarray:
    """Images (N, 20, 6) at positions (N, 3)."""
    table = Table.of(dict(zip("xyz", places.T.astype(np.float32), strict=True)))
    return np.asarray(run.sample(len(places), context=table)["image"], float)


def together(values: np.ndarray) -> np.ndarray:
    """Means of neighbouring positions; what is left at the end is dropped."""
    count = len(values) // TOGETHER
    return np.asarray(values[: count * TOGETHER].reshape(count, TOGETHER, *values.shape[1:]).mean(1))


def look(images: np.ndarray, detectors: Sequence[tuple[int, int]]) -> np.ndarray:
    """Some detectors (N, K) of images (N, 20, 6)."""
    rows, columns = zip(*detectors, strict=True)
    return images[:, rows, columns]


def deviations(run: Run, scan: str, photons: int, out: Path, above: float, every: bool) -> dict[str, float]:
    """How far a scan is from the reference, of six detectors or of every one."""
    real, error = reference(scan, photons, out)
    wanted = [(row, column) for row in range(20) for column in range(6)] if every else SEES[scan]
    fake, real, error = (together(look(values, wanted)) for values in (emulate(run, positions(scan)), real, error))
    error /= np.sqrt(TOGETHER)
    seen = real > above
    away, noise = fake[seen] / real[seen] - 1, error[seen] / real[seen]
    beyond = np.maximum(np.abs(away) - noise, 0)
    return {"median": float(np.median(np.abs(away))), "noise": float(np.median(noise)),
            "beyond": float(np.median(beyond)), "worst": float(beyond.max()), "bias": float(np.median(away)),
            "points": int(seen.sum())}


def smoothness(run: Run, scan: str) -> tuple[float, float]:
    """Largest second difference over 1 cm, over the scan's largest value, of the emulator and of a library's."""
    axis, _ = SCANS[scan]
    places, found = positions(scan), []
    steps = (places - GRID.low) / GRID.size - 0.5
    low = np.clip(np.floor(steps[:, axis]).astype(int), 0, GRID.voxels[axis] - 2)
    ends = []
    for cell in (low, low + 1):
        centre = places.copy()
        centre[:, axis] = np.asarray(GRID.low)[axis] + (cell + 0.5) * GRID.size[axis]
        ends.append(emulate(run, centre))
    share = (steps[:, axis] - low)[:, None, None]
    for values in (emulate(run, places), (1 - share) * ends[0] + share * ends[1]):
        six = look(values, SEES[scan])
        bent = np.abs(np.diff(six, 2, axis=0)) / six.max(0)
        found.append(float(bent[np.abs(places[1:-1, 0] - DUNE.plane) > EDGE].max()))
    return found[0], found[1]


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean and its error over seeds."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{np.mean(values):.{digits}f} ± {error:.{digits}f}"


def table(runs: Sequence[Run], photons: int, out: Path) -> Iterator[str]:
    """Markdown: every scan, for six detectors and for all of them, above each visibility."""
    yield "| scan | detectors | above | deviation | statistical error | beyond it | bias | worst beyond it | points |"
    yield "|---" * 9 + "|"
    for above in ABOVE:
        for scan in SCANS:
            for every in (False, True):
                found = [deviations(run, scan, photons, out, above, every) for run in runs]
                names = ("median", "noise", "beyond", "bias")
                cells = " | ".join(spread([one[name] for one in found]) for name in names)
                worst = max(one["worst"] for one in found)
                yield (f"| {scan} | {'all' if every else 'six'} | {above:g} | {cells} | {worst:.3f} | "
                       f"{found[0]['points']} |")


def rate(run: Run, rows: int = 1_000_000, workers: int = 2, rounds: int = 3) -> tuple[float, float]:
    """Seconds, and seconds of processor time of each worker, for a million images at random positions."""
    places = np.random.default_rng(1).uniform(DUNE.low, DUNE.high, (rows, 3)).astype(np.float32)
    parts = [Table.of(dict(zip("xyz", part.T, strict=True))) for part in np.array_split(places, rows // 10_000)]
    best = np.inf, np.inf
    torch.set_num_threads(1)
    for _ in range(rounds):
        begun, used = time.monotonic(), time.process_time()
        with ThreadPoolExecutor(workers) as pool:
            total = sum(pool.map(lambda part: float(run.sample(len(part), context=part)["image"][0].sum()), parts))
        assert np.isfinite(total)
        best = min(best[0], time.monotonic() - begun), min(best[1], (time.process_time() - used) / workers)
    return best


def draw(runs: Sequence[Run], photons: int, out: Path) -> None:
    """The scans as a picture: points are the reference, lines the emulators."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(16, 4.5), layout="constrained")
    for axis, (scan, (column, others)) in zip(axes, SCANS.items(), strict=True):
        real, error = (together(values) for values in reference(scan, photons, out))
        places, found = positions(scan)[:, column], [emulate(run, positions(scan)) for run in runs]
        for number, (row, place) in enumerate(SEES[scan]):
            colour = f"C{number}"
            axis.errorbar(together(places), real[:, row, place], error[:, row, place] / np.sqrt(TOGETHER), fmt=".",
                          color=colour, markersize=3, elinewidth=0.7, alpha=0.7)
            for image in found:
                axis.plot(places, image[:, row, place], color=colour, linewidth=0.9, label=f"({row}, {place})"
                          if image is found[0] else None)
        rest = ", ".join(f"{name} = {value:g}" for name, value in zip(sorted(set("xyz") - {scan}), others, strict=True))
        axis.set(xlabel=f"{scan} [cm]", ylabel="visibility", yscale="log", ylim=(1e-5, 0.2), title=f"{rest} cm")
        axis.legend(title="row, column", fontsize=7, title_fontsize=7, ncols=2)
    figure.savefig(out / "scans.png", dpi=110)


def real_data(path: Path, seeds: Sequence[int]) -> Iterator[str]:
    """Held-out points of a measured light yield: the emulator against interpolation, over several splits."""
    kept = json.loads(path.read_text())
    places, found = np.array(kept["coordinate_system"]), np.array(kept["map"])
    away: dict[str, list[float]] = {"emulator": [], "nearest neighbour": [], "linear interpolation": []}
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(len(found))
        test, train = order[: len(order) // 5], order[len(order) // 5 :]
        sample = Table.of({**dict(zip("xyz", places[train].T, strict=True)), "yield": found[train]})
        data = prepare(sample, steps=[], context=["x", "y", "z"], judging=0.0, validation=0.0, seed=seed)
        run = fit(data, "response", quiet=True, steps=6000, objective={"bright": 1e6}, optimiser={"rate": 5e-3},
                  threads=1)
        given = Table.of(dict(zip("xyz", places[test].T, strict=True)))
        nearest = NearestNDInterpolator(places[train] / places.std(0), found[train])(places[test] / places.std(0))
        linear = LinearNDInterpolator(places[train] / places.std(0), found[train])(places[test] / places.std(0))
        linear = np.where(np.isfinite(linear), linear, nearest)
        guesses = (run.sample(len(test), context=given)["yield"], nearest, linear)
        for name, guess in zip(away, guesses, strict=True):
            away[name].append(float(np.sqrt(np.mean(np.square(guess / found[test] - 1)))))
    yield f"{path.name}: {len(found)} points, a fifth held out, {len(seeds)} splits; rms of found/measured − 1:"
    yield from (f"| {name} | {spread(values, 4)} |" for name, values in away.items())


def main() -> None:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/light"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--reference", type=int, default=4000, help="photons for each position of a scan")
    parser.add_argument("--real", type=Path, help="xenon1t_s1_light_yield.json")
    parser.add_argument("--set", nargs="*", default=[], help="settings of the recipe")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    if asked.real:
        print("\n".join(real_data(asked.real, range(2, 7))))  # settings were chosen on splits 0 and 1
    for number in range(PASS, asked.reference + 1, PASS):
        for scan in SCANS:
            reference(scan, number, asked.out)
    runs = [train(seed, asked.out, asked.set) for seed in asked.seeds]
    print("\n".join(table(runs, asked.reference, asked.out)))
    for scan in SCANS:
        ours, theirs = zip(*(smoothness(run, scan) for run in runs), strict=True)
        print(f"{scan}: largest second difference {spread(ours, 6)}, of an interpolated library {spread(theirs, 6)}")
    weights = sum(tensor.numel() for tensor in runs[0].generator.state_dict().values())
    library = GRID.total * len(DUNE.rows) * len(DUNE.columns)
    print(f"{weights} numbers, {library / weights:.0f} times fewer than a library's {library}; trained in "
          f"{spread([run.provenance['fit_seconds'] for run in runs], 0)} s")
    seconds, used = rate(runs[0])
    print(f"a million images: {seconds:.1f} s with two workers, {used:.1f} s of each one's processor time")
    draw(runs, asked.reference, asked.out)


if __name__ == "__main__":
    main()
