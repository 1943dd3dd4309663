"""The examples do what their comments say, with fewer events and steps."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
from shared import REPOSITORY

from calque.cli import main
from calque.folder import SIMULATIONS
from calque.reading import read

OWN = REPOSITORY / "examples" / "emulate_own_simulator"


def test_the_waveform_is_what_its_parameters_say() -> None:
    """Its integral is that of the photoelectrons' answers, its chance theirs and the noise's; pile-up adds to it."""
    waveform = runpy.run_path(str(OWN / "waveform.py"))["waveform"]
    clean = waveform(np.tile([100.0, 8.0, 0.0], (5000, 1)), 1)
    assert clean.shape == (5000, 64)
    answer = np.e * 4 / 2  # ∫ t/RISE exp(1 − t/RISE) dt / STEP
    assert clean.sum(1).mean() == pytest.approx(100 * answer, rel=0.01)
    assert clean.sum(1).var() == pytest.approx(100 * answer**2 + 64 * 0.3**2, rel=0.1)
    assert abs(clean[:, :10].mean()) < 0.01, "nothing before the pulse"
    peaks = [waveform(np.tile([100.0, decay, 0.0], (500, 1)), 2).mean(0) for decay in (10.0, 30.0)]
    late = [peak[40] / peak[30] for peak in peaks]
    assert late == pytest.approx([np.exp(-20 / 10), np.exp(-20 / 30)], rel=0.1)
    piled = waveform(np.tile([100.0, 8.0, 1.0], (5000, 1)), 1)[:, :10].sum(1)
    assert piled.mean() > 5 * np.sqrt(piled.var() / 5000)
    assert np.median(piled) < piled.mean(), "in some events, not a little in all"


def test_a_simulator_of_ones_own_is_emulated_from_the_command_line(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("waveform.py", "waveform.toml"):
        shutil.copy(OWN / name, tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    toml, few = str(tmp_path / "waveform.toml"), ["--set", "simulate.n=300", "--set", "fit.watch_every=6"]
    assert main(["fit", toml, *few, "--set", "fit.steps=6"]) == 0
    said = capsys.readouterr().out
    assert "600 images of waveform:waveform" in said
    assert "siamese-emulator, up to 6 steps" in said
    run = elsewhere / "runs" / "waveform"
    simulations = read(run / SIMULATIONS)
    assert simulations["image"].shape == (600, 64)
    context = [part for name in ("light=100", "decay=25", "rate=0.5") for part in ("--context", name)]
    assert main(["produce", str(run), "-n", "50", "--exact", "-o", "fast.h5", *context]) == 0
    fast = read("fast.h5")
    assert fast["image"].shape == (50, 64)
    assert set(fast["decay"]) == {25.0}
    assert main(["simulate", toml, "-n", "20", "--seed", "1", "-o", "data.h5", "--space", "decay=20:24"]) == 0
    data = read("data.h5")
    assert 20 <= data["decay"].min() < data["decay"].max() <= 24
    assert data["light"].max() > 30
    assert main(["fit", toml, *few, "--set", "fit.steps=6", "--resume"]) == 0
    assert "simulated before" in capsys.readouterr().out
