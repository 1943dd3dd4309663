"""Simulating: kinematics, the target, weights, the embedded sample, and Pythia's cascade where it is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from calque.data import sample
from calque.errors import CalqueError, ConfigError, FileError
from calque.extras import MissingExtraError
from calque.reading import read
from calque.simulating import SIMULATORS, simulate, simulator
from calque.simulating.cascade import thin
from calque.simulating.decays import IN_FLIGHT, PROMPT, by_channels, discretise, in_flight
from calque.simulating.fixed_target import FixedTarget
from calque.simulating.kinematics import boost, mass, pair_mass, two_body
from calque.simulating.particles import ETA, FLIGHT, MUON, OMEGA, PION0, Floats, Particles
from calque.simulating.target import Target
from calque.table import Table

COLUMNS = ("px", "py", "pz", "x", "y", "z", "id", "w")


def generator() -> np.random.Generator:
    return np.random.default_rng(1)


def flying(code: int, rest: float, size: float, count: int, z: float = -2.345) -> Particles:
    """Particles of one kind that fly a little off the axis."""
    tilt = generator().normal(0.0, 0.02, (count, 2))
    along = np.sqrt(1.0 - np.square(tilt).sum(axis=1))
    momentum = np.column_stack([tilt, along]) * size
    four = np.column_stack([momentum, np.full(count, np.hypot(size, rest))])
    return Particles(np.full(count, code), four, np.tile([0.0, 0.0, z], (count, 1)), np.ones(count))


def momentum_of(table: Table) -> Floats:
    return np.asarray(np.sqrt(sum(table[name].astype(float) ** 2 for name in ("px", "py", "pz"))))


def on_axis(table: Table) -> np.ndarray:
    return (table["x"] == 0) & (table["y"] == 0)


def check_muons(table: Table, share: float) -> None:
    assert table.names == COLUMNS
    assert {table[name].dtype for name in COLUMNS if name != "id"} == {np.dtype(np.float32)}
    assert table["id"].dtype == np.int32
    assert momentum_of(table).min() > 9.999
    assert (table["w"] > 0).all()
    assert -2.3451 < table["z"].min() < table["z"].max() < -0.89
    for code in (13, -13):
        for axis in (True, False):
            assert np.mean((table["id"] == code) & (on_axis(table) == axis)) > share
    assert 0.05 < table.effective_size / len(table) < 0.7


# Kinematics


@pytest.mark.parametrize(("rest", "first", "second"), [(0.1395704, MUON, 0.0), (0.77, MUON, MUON), (5.3, 1.9, 0.1)])
def test_two_body_decays_conserve_momentum_and_masses(rest: float, first: float, second: float) -> None:
    parent = flying(211, rest, 50.0, 1000).momentum
    one, two = two_body(parent, first, second, generator())
    np.testing.assert_allclose(one + two, parent, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(mass(one), first, atol=1e-6)
    np.testing.assert_allclose(mass(two), second, atol=2e-5)


def test_decays_are_isotropic_at_rest() -> None:
    parent = np.tile([0.0, 0.0, 0.0, 0.493677], (50_000, 1))
    one, _ = two_body(parent, MUON, 0.0, generator())
    cosine = one[:, 2] / np.linalg.norm(one[:, :3], axis=1)
    assert abs(cosine.mean()) < 0.01
    assert abs(np.square(cosine).mean() - 1 / 3) < 0.01


def test_boost_of_a_particle_at_rest_is_its_frame() -> None:
    frame = flying(321, 0.493677, 20.0, 10).momentum
    rest = np.tile([0.0, 0.0, 0.0, 0.493677], (10, 1))
    np.testing.assert_allclose(boost(rest, frame), frame, rtol=1e-10)


@pytest.mark.parametrize(("nominal", "recoil", "pole"), [(ETA, 0.0, 0.716), (OMEGA, PION0, 0.668)])
def test_virtual_photons_are_light(nominal: float, recoil: float, pole: float) -> None:
    parent = flying(221, nominal, 30.0, 20_000).momentum
    dalitz = pair_mass(parent, nominal, recoil, MUON, pole, generator())
    phase_space = pair_mass(parent, nominal, recoil, MUON, None, generator())
    assert 2 * MUON <= dalitz.min() < dalitz.max() <= nominal - recoil + 1e-9
    assert np.median(dalitz) < np.median(phase_space)


def test_the_pion_muon_spectrum_is_flat_between_its_bounds() -> None:
    pions = flying(211, 0.1395704, 100.0, 50_000)
    energy = by_channels(IN_FLIGHT, pions, generator()).momentum[:, 3] / 100.0
    low = (MUON / 0.1395704) ** 2
    assert abs(energy.min() - low) < 0.01
    assert abs(energy.max() - 1.0) < 0.01
    assert abs(energy.mean() - (1 + low) / 2) < 0.003


def test_charges_follow_the_parents_and_pairs_are_neutral() -> None:
    assert set(by_channels(IN_FLIGHT, flying(211, 0.1395704, 30.0, 10), generator()).id) == {-13}
    assert set(by_channels(IN_FLIGHT, flying(-321, 0.493677, 30.0, 10), generator()).id) == {13}
    assert by_channels(PROMPT, flying(113, 0.77, 30.0, 10), generator()).id.sum() == 0


# The target


def test_depth_and_place_are_inverse_and_slabs_hold_all_interactions() -> None:
    target = Target()
    depth = np.linspace(1e-6, sum(target.slabs) - 1e-6, 10_000)
    np.testing.assert_allclose(target.depth(target.place(depth)), depth, atol=1e-12)
    z = target.interact(Particles.beam(100_000, 400.0, target.front), generator())
    assert 0 < np.isnan(z).sum() < 100
    z = z[np.isfinite(z)]
    assert (np.searchsorted(target.edges, z) % 2 == 1).all()
    assert abs(target.depth(z).mean() - 0.1526) < 0.002


def test_larger_hadrons_strike_more_nucleons() -> None:
    pions, protons = flying(211, FLIGHT[211][1], 50.0, 20_000), Particles.beam(20_000, 400.0, -2.345)
    struck = [Target().struck(hadrons, generator()) for hadrons in (pions, protons)]
    means = [sum(map(len, each)) / len(each) for each in struck]
    np.testing.assert_allclose(means, [1.64, 2.00], atol=0.03)
    assert abs(np.mean([code == 2212 for each in struck[1] for code in each]) - 42 / 95.95) < 0.01
    assert Target().struck(pions.take(np.zeros(20_000, dtype=bool)), generator()) == []


def test_decays_compete_with_interactions_as_exponentials_do() -> None:
    target = Target(front=0.0, slabs=(2.0,), gap=0.0)
    kaons = flying(321, FLIGHT[321][1], 20.0, 50_000, z=0.0)
    z, chance = target.decay(kaons, generator())
    decays, interacts = kaons.decay_length(), target.metres(kaons.interaction_length())
    rate = 1 / decays + 1 / interacts
    path = 2.0 / kaons.cosine
    np.testing.assert_allclose(chance, (1 - np.exp(-path * rate)) / (decays * rate), rtol=1e-9)
    assert abs(z.mean() * rate.mean() - 1) < 0.02
    assert z.min() > 0.0
    assert z.max() < 2.0


def test_what_decays_in_a_gap_has_met_no_more_matter() -> None:
    target = Target(front=0.0, slabs=(0.1, 0.1), gap=1.0)
    z, chance = target.decay(flying(211, FLIGHT[211][1], 20.0, 50_000, z=0.0), generator())
    between = (z > 0.1) & (z < 1.1)
    through = np.exp(-0.1 / 0.181)
    assert abs(between.mean() - through / chance.mean() / (20.0 / FLIGHT[211][1] * FLIGHT[211][0])) < 0.02
    assert abs(z[between].mean() - 0.6) < 0.02


def test_decay_starts_where_the_meson_is() -> None:
    target = Target()
    start = target.place(np.full(1000, 0.3))[0]
    z, _ = target.decay(flying(211, FLIGHT[211][1], 20.0, 1000, z=start), generator())
    assert z.min() >= start
    assert z.max() <= target.edges[-1]


def test_muons_in_flight_carry_the_probability_to_decay_first() -> None:
    target = Target()
    muons, survives = in_flight(flying(321, FLIGHT[321][1], 10.0, 20_000), target, generator())
    assert len(muons) == 40_000
    expected = muons.weight.sum() / (0.6356 + 0.03352)
    assert abs((~survives).sum() - expected) < 5 * np.sqrt(expected)


# Weights


def test_discrete_weights_keep_their_expectation() -> None:
    weights = generator().lognormal(0.0, 2.0, 400_000)
    rounded = discretise(weights, 1.0, 5.0, generator())
    powers = np.log(rounded[rounded > 0]) / np.log(5.0)
    np.testing.assert_allclose(powers, np.round(powers), atol=1e-9)
    for low, high in ((0.0, 1.0), (1.0, 5.0), (5.0, 100.0)):
        inside = (weights >= low) & (weights < high)
        assert abs(rounded[inside].sum() / weights[inside].sum() - 1) < 0.02


def test_thinning_keeps_expectations_and_bounds_weights() -> None:
    hadrons = flying(211, FLIGHT[211][1], 20.0, 100_000)
    kept = thin(hadrons, 100.0, generator())
    assert abs(kept.weight.sum() / len(hadrons) - 1) < 0.03
    np.testing.assert_allclose(kept.weight, 5.0)
    assert len(thin(kept, 100.0, generator())) == len(kept)
    assert len(thin(hadrons, 0.0, generator())) == len(hadrons)


# The embedded sample


def test_the_sample_has_four_categories_and_uneven_weights() -> None:
    path = sample()
    assert path.stat().st_size < 6_000_000
    table = read(path, weight="w")
    assert len(table) >= 150_000
    check_muons(table, share=0.2)
    assert 0.45 < on_axis(table).mean() < 0.55
    assert len(np.unique(table["w"][~on_axis(table)])) <= 5


def test_an_unknown_sample_is_named() -> None:
    with pytest.raises(FileError, match=r"no sample 'pions\.root'.*nearest: muons\.root"):
        sample("pions.root")


# Bad input


@pytest.mark.parametrize("settings", [
    {"pot": 0}, {"pot": -5}, {"pot": 1.5}, {"pot": 10, "least": 1.0}, {"pot": 10, "weight_factor": 1.0},
    {"pot": 10, "seeds": 1},
])
def test_settings_without_meaning_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        simulator("fixed-target", **settings)


def test_an_unknown_simulator_is_named() -> None:
    assert "fixed-target" in SIMULATORS
    with pytest.raises(ConfigError, match="no simulator 'fixed'; nearest: fixed-target"):
        simulator("fixed")


def test_an_unwritable_file_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no folder"):
        simulate("fixed-target", tmp_path / "none" / "muons.root", pot=10**9)


def test_without_pythia_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    with pytest.raises(MissingExtraError, match=r"calque\[simulate\]"):
        simulate("fixed-target", tmp_path / "muons.root", pot=10)
    assert not list(tmp_path.iterdir())


# With Pythia


@pytest.fixture(scope="module")
def simulated() -> Table:
    pytest.importorskip("pythia8mc")
    return FixedTarget(pot=800, seed=3).run()


@pytest.mark.simulate
def test_muons_of_pythia_look_like_muons(simulated: Table) -> None:
    check_muons(simulated, share=0.15)
    assert len(simulated) > 2000


@pytest.mark.simulate
def test_the_weights_sum_to_the_muons_expected(simulated: Table) -> None:
    # 1.60e-3 a proton in a long run
    assert 1.2e-3 < simulated.weights.sum() / 800 < 2.1e-3


@pytest.mark.simulate
def test_a_seed_gives_the_same_muons_in_a_file(simulated: Table, tmp_path: Path) -> None:
    heard: list[float] = []
    rows = simulate("fixed-target", tmp_path / "muons.root", pot=800, seed=3, progress=heard.append)
    again = read(tmp_path / "muons.root", weight="w")
    assert rows == len(again)
    assert heard == [800]
    for name in COLUMNS:
        np.testing.assert_array_equal(again[name], simulated[name])


@pytest.mark.simulate
def test_another_seed_gives_other_muons(simulated: Table) -> None:
    other = FixedTarget(pot=50, seed=4, thin_below=0.0, weight_base=0.0).run()
    assert not np.isin(other["pz"], simulated["pz"]).any()


@pytest.mark.simulate
def test_collisions_keep_to_their_projectile() -> None:
    pytest.importorskip("pythia8mc")
    from calque.simulating.collisions import Collider, start

    collider = Collider(400.0, 0.5, seed=1)
    pions = flying(-211, FLIGHT[211][1], 60.0, 200)
    products = collider.collide(pions, [[2112, 2212]] * 100 + [[2212]] * 100)
    assert len(products) > 400
    assert products.momentum[:, 3].max() < 61.0
    assert products.cosine.mean() > 0.9
    with pytest.raises(CalqueError, match="does not know 'Nonsense:on = yes'"):
        start(["Nonsense:on = yes"], seed=1)
