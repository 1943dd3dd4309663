"""FairShip's two layouts: simulated events read, muons for its background generator written."""

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from shared import shared_file

from calque.errors import ConfigError, DataError
from calque.reading import Sink, iterate, look, read, write
from calque.reading.fairship import HIT, START, TRACK_NUMBER, join_hits
from calque.reading.fairship_muons import BRANCHES
from calque.table import Table

BRANCHES_READ = sorted({TRACK_NUMBER, *START.values(), *HIT.values()})


def loop_over_tracks(branches: dict[str, list], at: str) -> list[tuple[float, ...]]:
    """Rows by a plain loop over events and hits, written without the layout's tables."""
    rows = []
    for event in range(len(branches["vetoPoint.fTrackID"])):
        found = set()
        for hit, track in enumerate(branches["vetoPoint.fTrackID"][event]):
            muon = abs(branches["vetoPoint.fPdgCode"][event][hit]) == 13
            if not muon or track in found or not 0 <= track < len(branches["MCTrack.fW"][event]):
                continue
            found.add(track)
            head = (branches["MCTrack.fW"][event][track], branches["vetoPoint.fPdgCode"][event][hit])
            if at == "start":
                leaves = ("fStartX", "fStartY", "fStartZ", "fPx", "fPy", "fPz")
                rows.append((*head, *(branches[f"MCTrack.{leaf}"][event][track] for leaf in leaves)))
            else:
                leaves = ("fX", "fY", "fZ", "fPx", "fPy", "fPz")
                rows.append((*head, *(branches[f"vetoPoint.{leaf}"][event][hit] for leaf in leaves)))
    return rows


@pytest.mark.shared
@pytest.mark.parametrize("at", ["start", "hit"])
def test_fairship_agrees_with_a_plain_loop(at: str) -> None:
    path = shared_file("muons/fairship_cbmsim.root")
    with uproot.open(path) as file:
        branches = {name: file["cbmsim"][name].array(library="ak").tolist() for name in BRANCHES_READ}
    expected = np.array(loop_over_tracks(branches, at))
    layout = {"name": "fairship", "at": at}
    table = read(path, layout=layout, weight="w")
    assert table.names == ("w", "id", "x", "y", "z", "px", "py", "pz")
    np.testing.assert_array_equal(np.stack([table[name] for name in table.names], axis=1), expected)
    assert table.units == {"x": "cm", "y": "cm", "z": "cm", "px": "GeV", "py": "GeV", "pz": "GeV"}
    pieces = Table.concatenate(list(iterate(path, rows=17, layout=layout, weight="w", where="x > 0")))
    chosen = read(path, layout=layout, weight="w", where="x > 0")
    np.testing.assert_array_equal(pieces["px"], chosen["px"])
    assert look(path, layout=layout).trees[0].rows == len(table)


@pytest.mark.shared
def test_fairship_reads_start_position_with_start_momentum() -> None:
    path = shared_file("muons/fairship_cbmsim.root")
    table, hit = read(path, layout="fairship"), read(path, layout={"name": "fairship", "at": "hit"})
    assert np.unique(table["pz"]).tolist() == [97.0]
    assert np.unique(table["z"]).tolist() == [-7228.5]
    assert hit["pz"].max() < 97.0, "the shield takes energy"
    assert hit["z"].min() > -7228.5


def make_events(random: np.random.Generator) -> dict[str, ak.Array]:
    """Jagged branches with tracks that are negative or beyond the event's, and particles that are no muons."""
    counts = {"MCTrack": random.integers(0, 5, 1000), "vetoPoint": random.integers(0, 9, 1000)}
    events = {}
    for name in BRANCHES_READ:
        number = counts[name.partition(".")[0]]
        events[name] = ak.unflatten(random.normal(size=number.sum()).astype(np.float32), number)
    hits = counts["vetoPoint"]
    events[TRACK_NUMBER] = ak.unflatten(random.integers(-2, 7, hits.sum()), hits)
    events["vetoPoint.fPdgCode"] = ak.unflatten(random.choice([13, -13, 11, 22], hits.sum()), hits)
    return events


@pytest.mark.parametrize(("at", "branches"), [("start", START), ("hit", HIT)])
def test_hits_are_joined_with_their_tracks(at: str, branches: dict[str, str]) -> None:
    events = make_events(np.random.default_rng(3))
    found = join_hits(events, branches)
    expected = np.array(loop_over_tracks({name: array.tolist() for name, array in events.items()}, at))
    assert len(expected) > 200
    np.testing.assert_array_equal(np.stack(list(found.values()), axis=1), expected)


def test_origin_shifts_z_alone(tmp_path: Path) -> None:
    """A cbmsim file is read relative to its target and written for a target at -50 m."""
    columns = {"x": [1.0], "y": [2.0], "z": [30.0], "px": [0.0], "py": [0.0], "pz": [9.0], "id": [13]}
    table = Table.of(columns, {"x": "cm", "y": "cm", "z": "cm"})
    path = tmp_path / "x.root"
    write(table, path, layout={"name": "fairship-muons", "origin": "target"})
    with uproot.open(path) as file:
        assert file["pythia8-Geant4"]["z"].array()[0] == pytest.approx(-49.7, abs=1e-5)
        assert file["pythia8-Geant4"]["x"].array()[0] == pytest.approx(0.01)
    for origin in ("target", -50, "-50 m", "-5000 cm"):
        back = read(path, layout={"name": "fairship-muons", "origin": origin})
        assert back["z"][0] == pytest.approx(0.3, abs=1e-5), origin
    assert read(path, layout="fairship-muons")["z"][0] == pytest.approx(-49.7, abs=1e-5)


@pytest.mark.shared
def test_origin_of_fairship_is_a_place_in_its_global_frame() -> None:
    path = shared_file("muons/fairship_cbmsim.root")
    for origin, z in [("global", -7228.5), ("target", -144.0), (-7228.5, 0.0), ("-72.285 m", 0.0)]:
        table = read(path, layout={"name": "fairship", "origin": origin}, limit=3)
        assert table["z"].tolist() == [z] * 3, origin


@pytest.mark.parametrize("origin", ["targt", "3 inch", "nan", float("inf"), True, "-70.845"])
def test_an_unclear_origin_is_refused(origin: object, tmp_path: Path) -> None:
    for layout in ("fairship", "fairship-muons"):
        with pytest.raises(ConfigError, match=r"origin = .* give \"global\", \"target\", a number"):
            write(Table.of({"z": np.zeros(1)}), tmp_path / "x.root", layout={"name": layout, "origin": origin})


def test_an_unknown_place_of_the_muon_is_refused(tmp_path: Path) -> None:
    write(Table.of({"z": np.zeros(1)}), tmp_path / "x.root")
    with pytest.raises(ConfigError, match=r"no at 'hits' of the layout 'fairship'; nearest: hit"):
        read(tmp_path / "x.root", layout={"name": "fairship", "at": "hits"})


def test_fairship_is_not_written_and_needs_its_branches(tmp_path: Path) -> None:
    table = Table.of({"x": np.zeros(1)})
    with pytest.raises(ConfigError, match=r"layout 'fairship' is for reading; layout = 'fairship-muons' writes"):
        write(table, tmp_path / "x.root", layout="fairship")
    write(table, tmp_path / "x.root", tree="cbmsim")
    with pytest.raises(DataError, match=r"has no branch 'vetoPoint\.fTrackID': it is not a FairShip simulation file"):
        read(tmp_path / "x.root", layout="fairship")


@pytest.mark.shared
def test_fairship_muons_has_the_branches_of_the_reference(tmp_path: Path) -> None:
    reference = shared_file("muons/mugan_output.root")
    columns = {name: np.linspace(1, 2, 10) for name in ("z", "px", "py", "pz")}
    write(Table.of({**columns, "id": np.full(10, -13)}), tmp_path / "x.root", layout="fairship-muons")
    with uproot.open(reference) as one, uproot.open(tmp_path / "x.root") as other:
        assert one.keys() == other.keys()
        expected, written = one["pythia8-Geant4"], other["pythia8-Geant4"]
        assert expected.keys() == written.keys()
        assert expected.typenames() == written.typenames()
        assert [branch.title for branch in expected] == [branch.title for branch in written]
        assert expected.title == written.title
        for name in ("event_id", "parentid", "pythiaid", "ecut", "w", "release_time", "mother_id", "process_id"):
            assert written[name].array()[0] == expected[name].array()[0], name


def test_fairship_muons_converts_units_and_fills_up(tmp_path: Path) -> None:
    columns = {"z": [-4977.0, -5000.0], "px": [100.0, 200.0], "py": [0.0, 1.0], "pz": [10.0, 20.0], "id": [13, -13]}
    units = {"z": "cm", "px": "MeV", "pz": "GeV"}
    with Sink(tmp_path / "x.root", units=units, layout="fairship-muons") as sink:
        sink.write({**columns, "extra": [1.0, 2.0]})
    table = read(tmp_path / "x.root", layout="fairship-muons", weight="w")
    assert table.names == BRANCHES
    assert table.units["z"] == "m"
    assert all(table[name].dtype == np.float32 for name in BRANCHES)
    np.testing.assert_allclose(table["z"], [-49.77, -50.0], rtol=1e-6)
    np.testing.assert_allclose(table["px"], [0.1, 0.2], rtol=1e-6)
    np.testing.assert_array_equal(table["pythiaid"], table["id"])
    assert (table["x"].tolist(), table["w"].tolist()) == ([0, 0], [1, 1])
    with pytest.raises(DataError, match=r"no column 'id' to write as 'fairship-muons'; nearest: z"):
        write(Table.of({"z": np.ones(1)}), tmp_path / "y.root", layout="fairship-muons")
    with pytest.raises(DataError, match=r"column 'z' is in 'inch'; 'fairship-muons' converts from m, cm, mm"):
        write(Table.of({"z": np.ones(1)}, {"z": "inch"}), tmp_path / "y.root", layout="fairship-muons")
