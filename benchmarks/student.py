"""A student beside its teacher on real SHiP muons: quality by the common protocol, and muons a second.

    python benchmarks/student.py ship_fullmc.root --out runs/student [--axes off_axis] [--seeds 0 1 2] [--rates-only]

The recipe is muons-student, by the protocol of benchmarks/muons.py: both axes, three splits, both views, floors,
copying. Beside it stands the separation of 200 000 rows of the student from as many of the teacher's, which shows
differences that a few thousand judging rows cannot; its floor is the teacher's rows against other ones of its own.
Rates are those of the first split off axis (five columns learnt, six drawn): sampling with inverse preparation in two
worker threads, and production into a ROOT file; the teacher's beside them. On a machine that others use, believe the
last column alone: what two cores do in the processor time that a muon takes. What is trained or judged is kept in
--out and not done again; `--axes off_axis --seeds 0` takes two to three minutes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from muons import AXES, judged, protocol, spread
from producing import best, sample

from calque.fitting import fit
from calque.judging.watching import watched
from calque.pipeline import load_data
from calque.producing import produce
from calque.run import Run, load_run

MANY = 200_000


def folder_of(out: Path, axis: str, seed: int) -> Path:
    """Where a student lies, with its teacher in it."""
    return out / f"{axis}-{seed}"


def measure(config: Any, folder: Path, seed: int) -> dict[str, Any]:
    """Train teacher and student, judge both, and one against the other."""
    data = load_data(config)
    student = fit(data, config=config, out=folder, quiet=True, resume=True)
    teacher = load_run(folder / "teacher")
    names = data.judged(0).names
    lots = (teacher, 1), (teacher, 3), (student, 2)
    one, same, other = (run.sample(MANY, seed=lot).keep(names) for run, lot in lots)
    apart, floor = (watched(("auc",), one, drawn, MANY, seed)["auc"] for drawn in (other, same))
    return {"teacher": judged(teacher, data, seed), "student": judged(student, data, seed), "apart": apart,
            "apart_floor": floor, "seconds": [run.provenance["fit_seconds"] for run in (teacher, student)]}


def table(results: list[dict[str, Any]]) -> Iterator[str]:
    """Markdown: teacher, student and their difference on each axis."""
    heads = ("axis", "who", "AUC raw", "floor", "AUC derived", "floor", "copying", "fit [s]", "splits")
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for axis in sorted({entry["axis"] for entry in results}):
        entries = [entry for entry in results if entry["axis"] == axis]
        for place, who in enumerate(("teacher", "student")):
            def column(name: str, which: int = 0, who: str = who) -> list[float]:
                return [entry[who][name][which] for entry in entries]  # noqa: B023

            copying = np.maximum(column("copying_raw"), column("copying_derived"))
            seconds = np.mean([entry["seconds"][place] for entry in entries])
            cells = (axis.replace("_", " "), who, spread(column("auc_raw")), spread(column("auc_raw", 1)),
                     spread(column("auc_derived")), spread(column("auc_derived", 1)), spread(list(copying)),
                     f"{seconds:.0f}", str(len(entries)))
            yield f"| {' | '.join(cells)} |"
        for view in ("auc_raw", "auc_derived"):
            away = [entry["student"][view][0] - entry["teacher"][view][0] for entry in entries]
            yield f"{axis}: {view} of the student less its teacher's {spread(away, 4)} (goal: within 0.004)"
        apart, floor = (spread([entry[key] for entry in entries], 4) for key in ("apart", "apart_floor"))
        yield f"{axis}: student against teacher, {MANY} rows each: {apart}, floor {floor}"


def rates(folder: Path, n: int, rounds: int) -> None:
    """Print muons a second of teacher and student, in alternation."""
    student, teacher = load_run(folder), load_run(folder / "teacher")
    few = min(n, 40_000)
    with tempfile.TemporaryDirectory() as place:
        def into(run: Run, rows: int, precision: str) -> Callable[[], object]:
            made = Path(place) / "made.root"
            return lambda: produce(run, rows, out=made, exact=True, precision=precision, quiet=True)

        tasks: dict[str, tuple[int, Callable[[], object]]] = {
            "student, sampled": (n, lambda: sample(student, n, 2, "float32")),
            "student, sampled, bf16": (n, lambda: sample(student, n, 2, "bf16")),
            "student, into ROOT": (n, into(student, n, "float32")),
            "teacher, sampled": (few, lambda: sample(teacher, few, 2, "float32")),
            "teacher, into ROOT": (few, into(teacher, few, "float32")),
        }
        seconds = best({name: task for name, (_, task) in tasks.items()}, rounds)
    print(f"{'two workers of one thread':30} M muons/s   CPU [µs/muon]   M muons/s of two free cores")
    for name, (wall, busy) in seconds.items():
        rows = tasks[name][0]
        print(f"{name:30} {rows / wall / 1e6:9.3f}   {busy / rows * 1e6:13.3f}   {2 * rows / busy / 1e6:27.3f}")
    print("goals: 8 sampled, 5 into ROOT")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="ship_fullmc.root")
    parser.add_argument("--out", type=Path, default=Path("runs/student"))
    parser.add_argument("--axes", nargs="+", default=list(AXES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--set", nargs="+", default=[], help="settings that differ from the recipe's")
    parser.add_argument("--rates-only", action="store_true", help="of what was trained before")
    parser.add_argument("-n", type=int, default=4_000_000, help="muons of a rate")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    store = arguments.out / "results.jsonl"
    results = [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
    known = {(entry["axis"], entry["seed"]) for entry in results}
    wanted = [(axis, seed) for seed in arguments.seeds for axis in arguments.axes if (axis, seed) not in known]
    for axis, seed in [] if arguments.rates_only else wanted:
        folder = folder_of(arguments.out, axis, seed)
        config = protocol("muons-student", axis, seed, arguments.data, [*arguments.set, f"out={folder.parent}"])
        config = config.model_copy(update={"out": str(folder)})
        results.append({"axis": axis, "seed": seed, **measure(config, folder, seed)})
        with store.open("a") as stream:
            stream.write(json.dumps(results[-1]) + "\n")
        print(f"{axis} seed {seed}: {results[-1]['apart']:.4f} between student and teacher", flush=True)
    print("\n".join(table(results)))
    rates(folder_of(arguments.out, arguments.axes[-1], arguments.seeds[0]), arguments.n, arguments.rounds)


if __name__ == "__main__":
    main()
