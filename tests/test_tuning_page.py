"""The page of a tuning, and the truth beside the answer: told where it is known, never used."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_tuning import BRIEF, SPOTS, emulator, seen

from calque.errors import DataError
from calque.run import Run
from calque.table import Table
from calque.tuning import Tuned, tune
from calque.tuning.truth import TOLD, Against


@pytest.fixture(scope="module")
def crude() -> Run:
    """An emulator that has learnt next to nothing."""
    return emulator(2)


def with_truth(n: int) -> Table:
    """Images beside the parameters that made them."""
    vectors, data = seen(n)
    return data.with_columns(dict(zip(SPOTS.names, vectors.T, strict=True)))


def test_truth_is_compared_and_not_used(crude: Run) -> None:
    """The same answer to the last bit, whatever the columns of the parameters say."""
    data = with_truth(400)
    wrong = data.with_columns({"place": -data["place"]})
    blind, told, misled = (tune(crude, table, simulator=SPOTS, **BRIEF)
                           for table in (data.select(["image"]), data, wrong))
    assert blind.truth is None
    assert "truth" not in blind.to_dict()
    for other in (told, misled):
        assert {key: value for key, value in other.to_dict().items() if key != "truth"} == blind.to_dict()
        places = zip(blind.draws, other.draws, strict=True)
        assert all(np.array_equal(one["place"], two["place"]) for one, two in places)
    assert str(told).splitlines()[:3] == str(blind).splitlines()[:3]
    assert TOLD in str(told)
    assert TOLD not in str(blind)
    assert told.to_dict()["truth"]["mean"]["place"] == pytest.approx(-misled.to_dict()["truth"]["mean"]["place"])
    assert blind.floor is not None
    assert abs(blind.floor[0] - 0.5) < 5 * blind.floor[1]


def test_the_comparison_with_truth_is_what_it_says() -> None:
    """Two members, one width and one error off."""
    draws = tuple(Table.of({"a": np.array([-1.0, 1.0]) + shift}) for shift in (0.0, 2.0))
    found = Tuned(("a",), draws, (), 10, (0.5, 0.1), "simulated", truth=Table.of({"a": [-2.0, 2.0]}))
    assert found.against == [Against("a", 0.0, 2.0, 0.5, pytest.approx(1 / np.sqrt(2)), (0.5, 0.0),
                                     pytest.approx(np.nan, nan_ok=True))]
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["truth"]["width_pull"] == {"a": None}


def test_a_truth_that_is_no_number_is_refused(crude: Run) -> None:
    data = with_truth(200)
    holes = data.with_columns({"place": np.where(np.arange(200) == 3, np.nan, data["place"])})
    with pytest.raises(DataError, match=r"true parameter 'place' of .* is not finite in 1 events \(first rows \[3\]"):
        tune(crude, holes, simulator=SPOTS, **BRIEF)

