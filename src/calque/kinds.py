"""Every kind of generator by its name: which network it is, how it is trained, and with which settings."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from calque.errors import ConfigError, unknown


@dataclass(frozen=True)
class Kind:
    """One line of the table: a generator and an objective by their names, and what they are given.

    `model`, `settings`, `optimiser` and `batch` are defaults of [fit.model], [fit.objective], [fit.optimiser] and
    fit.batch; what a user sets wins. They are those of the kind's source, where it has any for events like ours.
    `settings` are left out where a user changes what they `need` of the model. `fast` are other tables, by name, with
    which a kind learns in minutes: fit.preset = "fast". `density` says whether the generator has one, `signed` whether
    it learns from negative weights by default, `passes` how many network passes a draw takes, of D columns and T
    transforms. A `solved` kind takes no steps, and has no use for what steers them.
    """

    about: str
    paper: str
    generator: str
    objective: str
    model: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    optimiser: Mapping[str, Any] = field(default_factory=dict)
    density: bool = False
    signed: bool = True
    passes: str = "1"
    solved: bool = False
    image: bool = False
    batch: int | None = None
    need: Mapping[str, Any] = field(default_factory=dict)
    fast: Mapping[str, Any] | None = None

    @property
    def presets(self) -> tuple[str, ...]:
        """What fit.preset may be."""
        return (DEFAULT,) if self.fast is None else (DEFAULT, FAST)

    def tables(self, preset: str) -> dict[str, Any]:
        """What a preset of the kind puts into [fit]."""
        if preset == FAST:
            return dict(self.fast or {})
        own = {} if self.batch is None else {"batch": self.batch}
        return {"model": self.model, "objective": self.settings, "optimiser": self.optimiser, **own}


DEFAULT, FAST = "default", "fast"  # names of presets

# networks for the adversarial kinds that need neither batch norm nor dropout, which the note's need
SMALL = {"latent": 8, "layers": 2, "base": 64, "shape": "flat", "norm": "none", "dropout": 0.0, "skip": True}
TAME = {"layers": 2, "base": 128, "shape": "flat", "norm": "none", "dropout": 0.0, "input_blur": 0.0}
SHARP = {**TAME, "label_blur": 0.0}
QUICK = {"rate": 1e-3, "beta1": 0.0, "beta2": 0.99}
BOLD = {**QUICK, "rate": 3e-3}
LIPSCHITZ = {"rate": 2e-3, "beta1": 0.0, "beta2": 0.9}  # the papers' 1e-4 is for days
LIKELY = {"rate": 3e-3, "schedule": "cosine"}


def make_tables(model: Mapping[str, Any], objective: Mapping[str, Any], optimiser: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of [fit] by their names."""
    return {"model": model, "objective": objective, "optimiser": optimiser}


def make_quick(about: str, paper: str, objective: Mapping[str, Any], optimiser: Mapping[str, Any] = QUICK,
          model: Mapping[str, Any] = SMALL, signed: bool = True) -> Kind:
    """An adversarial kind whose source has no settings for events of a few columns: it learns in minutes."""
    return Kind(about, paper, "dense", "adversarial", model, objective, optimiser, signed=signed,
                fast=make_tables(model, objective, optimiser))


CLIPPED = {**TAME, "game": "wasserstein", "constraint": "clip"}
PENALISED = {**TAME, "game": "wasserstein", "constraint": "gradient-penalty"}
BOUNDED = {**SHARP, "norm": "spectral"}
ADVERSARIAL: dict[str, Kind] = {
    "gan": Kind("the 2018 note's generator and critic", "arXiv:1406.2661; Marshall 2018", "dense", "adversarial",
                optimiser={"name": "adam-amsgrad", "rate": 2e-4, "beta1": 0.5}, signed=False, batch=100,
                fast=make_tables(SMALL, {**TAME, "input_blur": 0.001}, QUICK)),
    "minimax-gan": make_quick("minimax game, which saturates", "arXiv:1406.2661",
                         {**SHARP, "game": "minimax", "constraint": "r1"}),
    "lsgan": make_quick("least squares", "arXiv:1611.04076", {**SHARP, "game": "least-squares", "norm": "layer"},
                   signed=False),
    "wgan": Kind("Wasserstein game, clipped weights", "arXiv:1701.07875", "dense", "adversarial",
                 SMALL, {**CLIPPED, "strength": 0.01, "critic_turns": 5}, {"name": "rmsprop", "rate": 5e-5}, batch=64,
                 fast=make_tables(SMALL, {**CLIPPED, "strength": 0.1, "critic_turns": 2},
                             {"name": "rmsprop", "rate": 2e-3})),
    "wgan-gp": Kind("Wasserstein game, gradient penalty", "arXiv:1704.00028", "dense", "adversarial",
                    SMALL, {**PENALISED, "strength": 10.0, "critic_turns": 5},
                    {"rate": 1e-4, "beta1": 0.0, "beta2": 0.9}, batch=64,
                    fast=make_tables(SMALL, {**PENALISED, "strength": 1.0, "critic_turns": 3}, LIPSCHITZ)),
    "wgan-alp": make_quick("Wasserstein game, adversarial Lipschitz penalty", "arXiv:1907.05681",
                      {**TAME, "game": "wasserstein", "constraint": "adversarial-lipschitz", "critic_turns": 2},
                      LIPSCHITZ),
    "cramer-gan": make_quick("energy distance of what the critic makes of events", "arXiv:1705.10743",
                        {**TAME, "game": "cramer", "constraint": "gradient-penalty", "strength": 0.1}, BOLD),
    "sngan": Kind("spectral norm in the critic", "arXiv:1802.05957", "dense", "adversarial",
                  SMALL, {**BOUNDED, "critic_turns": 1}, {"rate": 2e-4, "beta1": 0.5, "beta2": 0.999}, batch=64,
                  fast=make_tables(SMALL, {**BOUNDED, "critic_turns": 2}, QUICK)),
    "r3gan": make_quick("relativistic game, R1 and R2", "arXiv:2501.05441",
                   {**TAME, "game": "relativistic", "constraint": "r1r2"}),
    "unrolled-gan": make_quick("the generator sees the critic five steps ahead", "arXiv:1611.02163",
                          {**SHARP, "unroll": 5}, BOLD, signed=False),
    "feature-gan": make_quick("means of the critic's features brought together", "arXiv:1606.03498",
                         {**SHARP, "constraint": "r1", "feature_matching": True}, BOLD),
    "infogan": make_quick("codes that can be read from the events", "arXiv:1606.03657",
                     {**SHARP, "constraint": "r1", "information": 0.05}, model={**SMALL, "continuous": 2}),
}

AUTOENCODERS: dict[str, Kind] = {
    "vae": Kind("the 2018 note's autoencoder", "arXiv:1312.6114; Marshall 2018", "autoencoder", "variational",
                {"likelihood": "bernoulli"}, {"reconstruction": 1000.0}, {"rate": 1e-3},
                need={"likelihood": "bernoulli"}, fast={}),
    "beta-vae": Kind("autoencoder with a high price on its latent channel", "Higgins 2017; arXiv:1804.03599",
                     "autoencoder", "variational", {"latent": 6}, {"beta": 4.0, "warmup": 1000}),
    "infovae": Kind("autoencoder with a price on all latent vectors together", "arXiv:1706.02262", "autoencoder",
                    "informative", {"latent": 6}, {"warmup": 1000}),
    "vlae": Kind("autoencoder with a flow as prior and short-sighted autoregressive likelihood", "arXiv:1611.02731",
                 "autoencoder", "variational", {"prior": "flow", "likelihood": "autoregressive", "window": 1},
                 {"warmup": 1000}),
    "vq-vae": Kind("autoencoder with discrete codes and a learnt prior of them", "arXiv:1711.00937", "quantised",
                   "quantising", signed=False),
    "delta-vae": Kind("autoencoder whose posterior cannot collapse", "arXiv:1901.03416", "autoencoder", "variational",
                      {"prior": "chain", "likelihood": "autoregressive"}),
}

FLOWS: dict[str, Kind] = {
    "flow": Kind("spline flow, autoregressive: the best density", "arXiv:1906.04032", "autoregressive", "likelihood",
                 optimiser=LIKELY, density=True, passes="D × T"),
    "nsf": Kind("spline flow of couplings: as fast both ways", "arXiv:1906.04032", "coupling", "likelihood",
                optimiser=LIKELY, density=True, passes="T"),
    "two-step": Kind("spline flow of numbers, such as layers' energies, then of images given them", "arXiv:2106.05285",
                     "two-step", "likelihood", optimiser=LIKELY, density=True, passes="T", image=True),
    "realnvp": Kind("affine couplings", "arXiv:1605.08803", "coupling", "likelihood", {"univariate": "affine"},
                    optimiser=LIKELY, density=True, passes="T"),
    "maf": Kind("affine autoregressive flow", "arXiv:1705.07057", "autoregressive", "likelihood",
                {"univariate": "affine", "transforms": 5}, optimiser=LIKELY, density=True,
                passes="D × T"),
    "iaf": Kind("affine autoregressive flow, fast to draw and slow to train", "arXiv:1606.04934", "autoregressive",
                "likelihood", {"univariate": "affine", "transforms": 5, "inverse": True}, optimiser=LIKELY,
                density=True, passes="T"),
    "cnf": Kind("continuous flow, by likelihood", "arXiv:1806.07366; 1810.01367", "flow-matching", "likelihood",
                {"layers": 2, "nodes": 64, "solver": "rk4", "passes": 16}, optimiser=LIKELY, density=True,
                passes="16"),
}

OTHERS: dict[str, Kind] = {
    "mixture": Kind("mixture of Gaussians, full covariances: the baseline", "Dempster, Laird & Rubin 1977",
                    "mixture", "expectation", density=True, signed=False, solved=True),
    "student": Kind("one pass, taught noise by noise by a trained generator (fit.teacher)", "arXiv:2101.02388", "dense",
                    "distillation", {"layers": 2, "base": 32, "shape": "flat", "norm": "none", "dropout": 0.0,
                                     "activation": "relu", "skip": True},
                    optimiser={"rate": 5e-3, "beta2": 0.99, "schedule": "cosine"}),
    "flow-matching": Kind("velocity from noise to events, independent coupling", "arXiv:2210.02747", "flow-matching",
                          "matching", optimiser={"rate": 5e-3, "schedule": "cosine"}, density=True,
                          passes="8"),
    "ot-flow-matching": Kind("flow matching along shorter ways, by transport within the batch", "arXiv:2503.10636",
                             "flow-matching", "matching", {"passes": 4}, {"coupling": "transport"},
                             {"rate": 5e-3, "schedule": "cosine"}, density=True, signed=False, passes="4"),
    "response": Kind("the mean of a non-negative response to its context, such as a light map; no noise",
                     "Wedderburn 1974", "response", "deviance", optimiser={"rate": 2e-3, "schedule": "cosine"},
                     signed=False),
}

SOFT = {"rate": 3e-3, "beta2": 0.99, "schedule": "cosine"}
IMAGES: dict[str, Kind] = {
    "emulator": Kind("image drawn from pixel coordinates, pixel by pixel as simulated", "arXiv:1609.09106; 1807.03247",
                     "drawing", "emulation", optimiser=SOFT, signed=False, image=True),
    "siamese-emulator": Kind("the same against a siamese network, of images simulated twice", "arXiv:1812.00879",
                             "drawing", "emulation", {"latent": 4}, {"adversary": 0.1},
                             {"rate": 2e-3, "beta1": 0.0, "beta2": 0.99, "schedule": "cosine"}, signed=False,
                             image=True),
    "convolutional-emulator": Kind("image by transposed convolutions of its parameters", "arXiv:1812.00879; 1511.06434",
                                   "upsampling", "emulation", {"latent": 0, "layers": 4, "base": 32, "norm": "none"},
                                   optimiser={"rate": 2e-3, "beta2": 0.99, "schedule": "cosine"}, signed=False,
                                   image=True),
}

LOOK = {"layers": 3, "base": 8, "norm": "none", "dropout": 0.0, "input_blur": 0.0}
LAZY = {**LOOK, "lazy": 4}
SEEN = {**LAZY, "constraint": "r1", "label_blur": 0.0}
PAIRED = {**LAZY, "game": "relativistic", "constraint": "r1r2", "critic": "growing"}  # closer than the papers' games
LAYERS = {"layers": 1, "base": 4, "critic": "layers"}
NORMED = {"norm": "batch", "norm_place": "before"}
SWIFT = {**QUICK, "rate": 2e-3}
GROWN = {**QUICK, "rate": 4e-3}
IMAGE_GANS: dict[str, Kind] = {
    "dcgan": Kind("convolutional generator and critic of images", "arXiv:1511.06434", "upsampling", "adversarial",
                  {**NORMED, "latent": 100},
                  {**LOOK, **NORMED, "critic": "convolutional", "base": 16, "label_blur": 0.0},
                  {"rate": 2e-4, "beta1": 0.5}, signed=False, image=True, batch=128,
                  fast=make_tables({"norm": "none"}, {**SEEN, "critic": "convolutional", "base": 16}, SWIFT)),
    "calogan": Kind("a network for every layer, with attention between them", "arXiv:1712.10321", "layered",
                    "adversarial", {}, {**LOOK, **LAYERS, "label_blur": 0.0},
                    {"rate": 2e-4, "beta1": 0.5, "critic": {"rate": 2e-5}}, signed=False, image=True, batch=256,
                    fast=make_tables({}, {**SEEN, **LAYERS}, SWIFT)),
    "progressive-gan": Kind("images grow from coarse to fine", "arXiv:1710.10196", "progressive", "adversarial",
                            {"base": 8}, {**LOOK, "game": "wasserstein", "constraint": "gradient-penalty",
                                          "strength": 10.0, "critic": "growing"},
                            QUICK, signed=False, image=True, batch=16,
                            fast=make_tables({"base": 8}, PAIRED, GROWN)),
    "stylegan": Kind("images in a style, with noise in every layer", "arXiv:1812.04948", "style", "adversarial",
                     {"base": 8, "mapping": 8, "noise_per": "layer"},
                     {**LOOK, "constraint": "r1", "strength": 10.0, "label_blur": 0.0, "critic": "growing"},
                     QUICK, signed=False, image=True, batch=32,
                     fast=make_tables({"base": 8}, PAIRED, GROWN)),
}

KINDS: dict[str, Kind] = {**ADVERSARIAL, **AUTOENCODERS, **FLOWS, **OTHERS, **IMAGES, **IMAGE_GANS}


def find_kind(name: str) -> Kind:
    """Find a kind; raises ConfigError that names the nearest."""
    if name not in KINDS:
        raise ConfigError(unknown("kind", name, KINDS, "of generator (fit.kind)"))
    return KINDS[name]


def describe_kinds(width: int) -> list[str]:
    """The table for a terminal so many characters wide; what does not fit goes on below itself.

    >>> describe_kinds(200)[9]
    'r3gan         no       yes    fast    1       relativistic game, R1 and R2 (arXiv:2501.05441)'
    """
    says = {True: "yes", False: "no"}
    heads = ("kind", "density", "signed", "preset", "passes", "what it is")
    rows = [heads, *((name, says[kind.density], says[kind.signed], " ".join(kind.presets[1:]) or "-", kind.passes,
                      f"{kind.about} ({kind.paper})") for name, kind in KINDS.items())]
    first = max(len(row[0]) for row in rows)
    fronts = [f"{name:{first}}  {density:7}  {signed:6}  {preset:6}  {passes:6}  "
              for name, density, signed, preset, passes, _ in rows]
    lines = [textwrap.wrap(row[-1], max(20, width - len(front)), break_on_hyphens=False)
             for front, row in zip(fronts, rows, strict=True)]
    return [start + line for front, parts in zip(fronts, lines, strict=True)
            for start, line in zip([front] + len(parts) * [" " * len(front)], parts, strict=False)]
