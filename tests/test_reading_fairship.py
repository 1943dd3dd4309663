"""FairShip's two layouts: simulated events read, muons for its background generator written."""

import numpy as np
import pytest
import uproot
from shared import shared_file

from calque.errors import ConfigError, DataError
from calque.reading import Sink, iterate, look, read, write
from calque.reading.fairship import COLUMNS, HIT, TRACK, join_hits
from calque.reading.fairship_muons import BRANCHES
from calque.table import Table


def plain_loop(branches: dict[str, list]) -> list[tuple[float, ...]]:
    rows = []
    for event in range(len(branches["vetoPoint.fTrackID"])):
        seen = set()
        for hit, track in enumerate(branches["vetoPoint.fTrackID"][event]):
            muon = abs(branches["vetoPoint.fPdgCode"][event][hit]) == 13
            if not muon or track in seen or not 0 <= track < len(branches["MCTrack.fW"][event]):
                continue
            seen.add(track)
            row = {name: branches[f"vetoPoint.{leaf}"][event][hit] for name, leaf in HIT.items()}
            row |= {name: branches[f"MCTrack.{leaf}"][event][track] for name, leaf in TRACK.items()}
            rows.append(tuple(row[name] for name in COLUMNS))
    return rows


def branch_names() -> list[str]:
    hits = [f"vetoPoint.{leaf}" for leaf in ("fTrackID", *HIT.values())]
    return hits + [f"MCTrack.{leaf}" for leaf in TRACK.values()]


@pytest.mark.shared
def test_fairship_agrees_with_a_plain_loop():
    path = shared_file("muons/fairship_cbmsim.root")
    with uproot.open(path) as file:
        branches = {name: file["cbmsim"][name].array(library="ak").tolist() for name in branch_names()}
    expected = np.array(plain_loop(branches))
    table = read(path, layout="fairship", weight="w")
    assert table.names == COLUMNS
    np.testing.assert_array_equal(np.stack([table[name] for name in COLUMNS], axis=1), expected)
    assert table.units == {"x": "cm", "y": "cm", "z": "cm", "px": "GeV", "py": "GeV", "pz": "GeV"}
    pieces = Table.concatenate(list(iterate(path, rows=17, layout="fairship", weight="w", where="id == 13")))
    chosen = read(path, layout="fairship", weight="w", where="id == 13")
    np.testing.assert_array_equal(pieces["px"], chosen["px"])
    assert look(path, layout="fairship").trees[0].rows == len(table)


def test_hits_are_joined_with_their_tracks():
    import awkward as ak

    random = np.random.default_rng(3)
    tracks, hits = random.integers(0, 5, 1000), random.integers(0, 9, 1000)

    def jagged(counts, draw):
        return ak.unflatten(draw(counts.sum()), counts)

    events = {}
    for name in branch_names():
        counts = hits if name.startswith("veto") else tracks
        events[name] = jagged(counts, lambda size: random.normal(size=size).astype(np.float32))
    # tracks that are negative, or beyond the event's; particles that are no muons
    events["vetoPoint.fTrackID"] = jagged(hits, lambda size: random.integers(-2, 7, size).astype(np.int32))
    events["vetoPoint.fPdgCode"] = jagged(hits, lambda size: random.choice([13, -13, 11, 22], size).astype(np.int32))
    found = join_hits(events)
    expected = np.array(plain_loop({name: array.tolist() for name, array in events.items()}))
    assert len(expected) > 200
    np.testing.assert_array_equal(np.stack([found[name] for name in COLUMNS], axis=1), expected)


def test_fairship_is_not_written_and_needs_its_branches(tmp_path):
    table = Table.of({"x": np.zeros(1)})
    with pytest.raises(ConfigError, match=r"layout 'fairship' is for reading; layout = 'fairship-muons' writes"):
        write(table, tmp_path / "x.root", layout="fairship")
    write(table, tmp_path / "x.root", tree="cbmsim")
    with pytest.raises(DataError, match=r"has no branch 'vetoPoint\.fTrackID': it is not a FairShip simulation file"):
        read(tmp_path / "x.root", layout="fairship")


@pytest.mark.shared
def test_fairship_muons_has_the_branches_of_the_reference(tmp_path):
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


def test_fairship_muons_converts_units_and_fills_up(tmp_path):
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
