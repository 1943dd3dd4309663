"""Networks of images judged: lines, one layer of a calorimeter, whole showers; and what a constrainer changes.

    python benchmarks/images.py lines --out runs/images [--seeds 0 1 2] [--kinds dcgan stylegan]
    python benchmarks/images.py layer --data ../shared/data/showers --out runs/images      # also showers, constrain
    python benchmarks/images.py layer --data … --out … --kinds dcgan --label "R1" --set fit.objective.constraint=r1

Lines are simulated in all of their parameters' space and drawn without conditions; showers are photons, drawn at the
sample's energies. Every entry is a training of its own, with a split of its own: a third judges, and as many are drawn.
Half of both train, half test each classifier; in brackets real against real. Errors are those of the mean over seeds,
or of one judgement where that is more. "Numbers" are the view `images` of lines, the observables of showers. What is
made is kept in --out, with pictures of real images and of those drawn at the nearest energies; a training that was
stopped goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shower_quality import described, rate

import calque
from calque.config import section_settings
from calque.config.presets import merge
from calque.fitting import fit
from calque.fitting.fit import is_finished
from calque.geometry import Geometry
from calque.judging import judge_tables
from calque.judging.drawing.images import events
from calque.judging.drawing.paper import styled
from calque.preparing import JUDGE, TRAIN, Data, prepare
from calque.run import Run, load_run
from calque.simulating.opening import parametric
from calque.table import Table

Settings = Mapping[str, Any]
Found = dict[str, Any]

LATEST: Settings = {"batch": 32, "threads": 1, "watch": "latest", "measures": [], "watch_every": 500,
                    "checkpoint_every": 500}
GAUSSIAN: Settings = {"kind": "mixture", "model": {"components": 1}, "objective": {"starts": 1}, "threads": 1}
SHOWN = {"auc_raw": "pixels, trees", "auc_network_raw": "pixels, network", "auc_numbers": "numbers, trees",
         "auc_network_numbers": "numbers, network", "energy_response_energy": "response, worst of ten bins of energy",
         "energy_resolution_energy": "resolution, the same",
         **{f"sparsity_layer_{layer}": f"cells hit, layer {layer}" for layer in range(3)}}


def networks(kind: str, steps: int, **settings: Any) -> Settings:
    """Settings of a training."""
    return {**LATEST, "kind": kind, "preset": "fast", "steps": steps, **settings}


@dataclass(frozen=True)
class Case:
    """What is trained; which columns of the photons are drawn (none: lines), and how they are prepared."""

    entries: Mapping[str, Settings]
    columns: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()

    def table(self, folder: Path | None, out: Path) -> Table:
        """Images, with their energies."""
        if not self.columns:
            lines = parametric("lines")
            return Table.of({"image": lines.images(lines.choose(20_000, 0), 0, cache=out / "lines.h5")})
        if folder is None:
            raise SystemExit("showers lie in --data")
        return calque.read(folder / "geant4_photons.h5", layout="calogan").select(["energy", *self.columns])

    def data(self, table: Table, seed: int) -> Data:
        """Split, prepare."""
        return prepare(table, steps=self.steps, context=["log energy"] if self.columns else [], validation=0,
                       seed=seed)


GROWTH: Settings = {"hold": 200, "fade": 200, "strength": 10.0}
BRISK: Settings = {"hold": 100, "fade": 100}
RELU: Settings = {"output": "relu"}
FIRM: Settings = {"strength": 20.0}
CASES = {
    "lines": Case({"dcgan": networks("dcgan", 5000, model=RELU, objective={"strength": 0.1}),
                   "progressive-gan": networks("progressive-gan", 1800, model=RELU, objective=BRISK),
                   "stylegan": networks("stylegan", 1800, model=RELU, objective=BRISK)}),
    # a linear path takes more normals than pixels: a square matrix leaves directions without any width
    "layer": Case({"dcgan": networks("dcgan", 5000),
                   "dcgan, linear path": networks("dcgan", 6000, model={"latent": 288, "skip": True}),
                   "progressive-gan": networks("progressive-gan", 3500, model={"latent": 144}, objective=GROWTH),
                   "stylegan": networks("stylegan", 3000, objective=GROWTH), "one Gaussian": GAUSSIAN},
                  ("layer_1",), ("scores layer_1 given=energy",)),
    "showers": Case({"calogan": networks("calogan", 3000, objective=FIRM),
                     "calogan, linear path": networks("calogan", 3000, objective=FIRM,
                                                      model={"latent": 512, "skip": True}),
                     "one Gaussian": GAUSSIAN},
                    ("layer_0", "layer_1", "layer_2"), ("showers layer_0 layer_2 layer_1 given=energy",)),
    "constrain": Case({f"constrain = {value:g}": networks("dcgan", 3000, model=RELU, objective={
        "strength": 0.1, "constrain": value}) for value in (0.0, 0.3)}, ("layer_1",), ("arcsinh layer_1",)),
}


def trained(data: Data, settings: Settings, folder: Path) -> Run:
    """The run of an entry, from its folder where it is finished."""
    if is_finished(folder):
        return replace(load_run(folder), data=data)
    return fit(data, out=folder, resume=folder.exists(), quiet=True, **settings)


def judged(run: Run, data: Data, folder: Path) -> Found:
    """Value, error and floor of every measure, the response's bins, rate and time, kept beside the run."""
    path = folder / "quality.json"
    if not path.is_file():
        geometry = Geometry.calogan() if data.context.names else None
        real, train = data.judged(JUDGE), data.judged(TRAIN)
        fake = run.imitate(real, seed=1)
        measures = ["trees", "network", *(["calibration", "cells"] if geometry else [])]
        report = judge_tables(real, fake, train=train, geometry=geometry, measures=measures)
        found: Found = {called(one.name): (one.value, one.error, one.floor) for one in report.estimates}
        found |= {one.measure: one.details["bins"] for one in report.of("energy_response", "energy_resolution")}
        for name in (name for name in real.features if real[name].ndim > 1):
            with styled():
                picture = events(real, fake, name, name, log=geometry is not None).png
            (folder / f"{name}.png").write_bytes(picture)
        found |= {"rate": rate(run, 2000), "seconds": run.provenance["fit_seconds"]}
        path.write_text(json.dumps(found))
    kept: Found = json.loads(path.read_text())
    return kept


def called(name: str) -> str:
    """The view of numbers has one name, whatever they are of."""
    return name.replace("_observables", "_numbers").replace("_images", "_numbers")


def table(results: Mapping[str, Sequence[Found]]) -> Iterator[str]:
    """Markdown: one line a measure, one column an entry."""
    yield f"| | {' | '.join(results)} |"
    yield "|---" * (len(results) + 1) + "|"
    first = next(iter(results.values()))[0]
    for key, words in SHOWN.items():
        if key in first:
            yield f"| {words} | {' | '.join(described([one[key] for one in of], 3) for of in results.values())} |"
    for key, words in (("seconds", "training [s]"), ("rate", "events/s")):
        yield f"| {words} | {' | '.join(f'{np.mean([one[key] for one in of]):.0f}' for of in results.values())} |"


def in_bins(results: Mapping[str, Sequence[Found]], measure: str) -> Iterator[str]:
    """Markdown: a measure of the response in bins of energy, real and of every entry, means over seeds."""
    yield f"| {measure.replace('_', ' ')} | real | {' | '.join(results)} |"
    yield "|---" * (len(results) + 2) + "|"
    first = next(iter(results.values()))
    for place, bin_ in enumerate(first[0][measure]):
        real = np.mean([one[measure][place]["real"] for one in first])
        drawn = [[one[measure][place]["fake"] for one in of] for of in results.values()]
        cells = [f"{np.mean(values):.4f} ± {np.std(values, ddof=min(1, len(values) - 1)) / len(values)**0.5:.4f}"
                 for values in drawn]
        yield f"| {bin_['low']:.1f} to {bin_['high']:.1f} GeV | {real:.4f} | {' | '.join(cells)} |"


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--data", type=Path, help="folder of geant4_photons.h5")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--kinds", nargs="+", help="entries of the table; all unless named")
    parser.add_argument("--set", nargs="+", default=[], help="settings that differ, such as fit.steps=1000")
    parser.add_argument("--label", help="name in the table, with --set")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    case, results = CASES[asked.case], dict[str, list[Found]]()
    sample = case.table(asked.data, asked.out)
    for seed in asked.seeds:
        data = case.data(sample, seed)
        for kind in asked.kinds or case.entries:
            name = f"{kind}, {asked.label}" if asked.label else kind
            settings = merge(case.entries[kind], section_settings("fit", asked.set))
            folder = asked.out / f"{asked.case} {name} {seed}"
            found = judged(trained(data, settings, folder), data, folder)
            results.setdefault(name, []).append(found)
            print(f"{asked.case} {name} seed {seed}: "
                  + ", ".join(f"{key} {found[key][0]:.3f}" for key in SHOWN if key in found), flush=True)
    print("\n" + "\n".join(table(results)))
    for measure in ("energy_response", "energy_resolution") if asked.case == "constrain" else ():
        print("\n" + "\n".join(in_bins(results, measure)))


if __name__ == "__main__":
    main()
