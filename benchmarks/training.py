"""Training the note's GAN (256-512-1024, batch norm, dropout 0.2, Adam with amsgrad, batch 100): calque against pidgan.

    python benchmarks/training.py [--quick] [--threads 1 2]

pidgan 0.2.0 (Keras, TensorFlow 2.16) gets an environment of its own, made in benchmarks/.cache the first time (Python
3.11 or 3.12). Its nearest equivalent: `GAN` with players of the same widths and dropout. What differs: it has no batch
norm, its critic plays without dropout in the generator's turn, it averages no weights; and its batch of 2n is n real
events and n generated ones, so batch 200 does the work of the note's batch 100; batch 100 is shown beside it.
Rounds alternate; each figure is the best. The limit is what the machine's matrix products alone would allow.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from calque.config import Config, FitConfig, OptimiserConfig
from calque.fitting.batches import Batches
from calque.fitting.fit import build_objective
from calque.fitting.loop import Loop
from calque.run import build_generator
from calque.table import Layout

HOME = Path(__file__).parent / ".cache" / "pidgan"
NEEDS = ["pidgan==0.2.0", "tensorflow>=2.16,<2.17", "numpy<2"]
BATCH, LATENT, COLUMNS, WIDTHS = 100, 100, 6, (256, 512, 1024)
PIDGAN = """import json, os, sys, time
threads, batch, steps, rounds = map(int, sys.argv[1:])
os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
import keras, numpy as np, tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(threads)
from pidgan.algorithms import GAN
from pidgan.players.discriminators import Discriminator
from pidgan.players.generators import Generator
same = dict(num_hidden_layers=3, mlp_hidden_units=[256, 512, 1024], mlp_dropout_rates=0.2)
generator = Generator(output_dim=6, latent_dim=100, output_activation="tanh", **same)
gan = GAN(generator, Discriminator(output_dim=1, output_activation="sigmoid", **same), injected_noise_stddev=0.001)
x, y = np.zeros((100_000, 1), "f4"), np.random.default_rng(0).uniform(-1, 1, (100_000, 6)).astype("f4")
data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(100_000).repeat().batch(batch).prefetch(2)
gan(x[:batch], y[:batch])
adam = [keras.optimizers.Adam(2e-4, beta_1=0.5, amsgrad=True) for _ in range(2)]
gan.compile(generator_optimizer=adam[0], discriminator_optimizer=adam[1])
found = []
class Clock(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter(), time.process_time()
    def on_epoch_end(self, epoch, logs=None):
        found.append([(time.perf_counter() - self.start[0]) / steps, (time.process_time() - self.start[1]) / steps])
gan.fit(data, epochs=rounds + 1, steps_per_epoch=steps, verbose=0, callbacks=[Clock()])
print(json.dumps([min(one) for one in zip(*found[1:])]))"""

Cost = tuple[float, float]  # wall and processor seconds of a step


def environment() -> Path:
    """Python of pidgan's environment."""
    python = HOME / "bin" / "python"
    if not (HOME / ".ready").exists():
        print("making pidgan's environment …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *NEEDS], check=True)
        (HOME / ".ready").touch()
    return python


def pidgan(threads: int, batch: int, steps: int, rounds: int) -> Cost:
    """Best step of pidgan."""
    command = [str(environment()), "-c", PIDGAN, *map(str, (threads, batch, steps, rounds))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    wall, busy = json.loads(done.stdout.splitlines()[-1])
    return wall, busy


def calque(threads: int, precision: str, steps: int, rounds: int) -> Cost:
    """Best step of calque's loop, drawing of batches and averaging of weights included."""
    torch.set_num_threads(threads)
    loop = note(precision)
    costs = [spent(loop, steps) for _ in range(rounds + 1)][1:]
    return min(wall for wall, _ in costs), min(busy for _, busy in costs)


def note(precision: str) -> Loop:
    """The note's training on rows without meaning."""
    adam = OptimiserConfig(name="adam-amsgrad", rate=2e-4, beta1=0.5)
    config = Config(fit=FitConfig(kind="gan", batch=BATCH, precision=precision, optimiser=adam))  # type: ignore[arg-type]
    objective = build_objective(config, build_generator(config, Layout.flat("abcdef"), 0)).train()
    rows = torch.rand(100_000, COLUMNS) * 2 - 1
    batches = Batches(rows, rows[:, :0], torch.rand(len(rows)), BATCH, torch.device("cpu"))
    return Loop(objective, batches, config.fit, seed=0)


def spent(loop: Loop, steps: int) -> Cost:
    """Seconds of a step, wall and processor."""
    wall, busy = time.perf_counter(), time.process_time()
    for _ in range(steps):
        loop.advance()
    return (time.perf_counter() - wall) / steps, (time.process_time() - busy) / steps


def products() -> float:
    """Floating-point operations of one step's matrix products.

    The critic's turn: generator forward; critic forward and back to its weights on 2 · batch events. The generator's:
    generator forward and back, critic forward and back to its inputs.
    """
    generator, critic = ([a * b for a, b in zip((inputs, *WIDTHS), (*WIDTHS, outputs), strict=True)]
                         for inputs, outputs in ((LATENT, COLUMNS), (COLUMNS, 1)))
    back_g, back_c = (2 * sum(layers) - layers[0] for layers in (generator, critic))
    per_event = sum(generator) * 2 + back_g + 2 * (sum(critic) + back_c) + 2 * 2 * sum(critic)
    return 2 * BATCH * per_event


def rate(threads: int, precision: str) -> float:
    """Best floating-point operations a second in products of the largest layer's size."""
    torch.set_num_threads(threads)
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    x, weight = torch.randn(2 * BATCH, 512).to(kind), torch.randn(1024, 512).to(kind)
    return 2 * 2 * BATCH * 512 * 1024 / min(timed(lambda: torch.nn.functional.linear(x, weight)) for _ in range(100))


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call, of five."""
    start = time.perf_counter()
    for _ in range(5):
        call()
    return (time.perf_counter() - start) / 5


def compare(threads: int, steps: int, rounds: int) -> Iterator[str]:
    """Lines of the table for one number of threads."""
    theirs = {batch: pidgan(threads, batch, steps, rounds) for batch in (2 * BATCH, BATCH)}
    ours = {precision: calque(threads, precision, steps, rounds) for precision in ("float32", "bf16")}
    for batch, (wall, busy) in theirs.items():
        yield f"{threads:7}  {f'pidgan, batch {batch}':18} {1 / wall:8.1f} {busy * 1e3:13.1f}"
    for precision, (wall, busy) in ours.items():
        reference, reference_busy = theirs[2 * BATCH]
        peak = rate(threads, precision)
        yield (f"{threads:7}  {f'calque, {precision}':18} {1 / wall:8.1f} {busy * 1e3:13.1f} {reference / wall:8.2f} "
               f"{reference_busy / busy:11.2f} {products() / wall / 1e9:10.0f} {peak / 1e9:8.0f} "
               f"{peak / products():14.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    steps, rounds = (5, 1) if given.quick else (50, 6)
    print(f"{products() / 1e9:.2f} GFLOP of matrix products a step; ratios are to pidgan with batch {2 * BATCH}")
    print("threads  program             steps/s   CPU ms/step    ratio   CPU ratio    GFLOP/s     peak   limit [1/s]")
    for threads in given.threads:
        for line in compare(threads, steps, rounds):
            print(line, flush=True)


if __name__ == "__main__":
    main()
