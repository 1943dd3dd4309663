"""Does drawing in bf16 change the figure of merit? The fast recipe off axis, the same noise in both precisions.

    python benchmarks/precision.py ship_fullmc.root [--seeds 0 1]

The body of the generator runs in bf16, its output layer and skip in float32.
"""

from __future__ import annotations

import argparse

import torch
from muons import protocol

from calque.fitting import fit
from calque.judging import judge_tables
from calque.pipeline import load_data
from calque.preparing import JUDGE, TRAIN


def main() -> None:
    """Train once per seed, draw twice, judge twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for seed in arguments.seeds:
        config = protocol("muons-fast", "off_axis", seed, arguments.data, [])
        data = load_data(config)
        run = fit(data, config=config, quiet=True)
        real, train = data.judged(JUDGE), data.judged(TRAIN)
        for name in ("float32", "bf16"):
            with torch.autocast("cpu", torch.bfloat16, enabled=name == "bf16"):
                fake = run.imitate(real, seed=7)
            report = judge_tables(real, fake, train=train, measures="trees", kind="note", repeats=4, replicas=50,
                                  threads=1, seed=seed)
            print(f"seed {seed}  {name:8}  {report['auc_raw']}  {report['auc_derived']}", flush=True)


if __name__ == "__main__":
    main()
