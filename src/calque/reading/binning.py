"""Binning files: the layers of a calorimeter in r and α, as FastCaloGAN and CaloChallenge write them in XML."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

from calque.errors import ConfigError, DataError, FileError, unknown
from calque.geometry import Edges, Geometry, Segment, lengths
from calque.reading.files import readable


def read_binning(path: str | Path, particle: str | None = None) -> Geometry:
    """The geometry of a binning file: images (α, r) named `layer_…` by the layer's id, layers without bins left out.

    `particle` is a name or pdg code, needed where the file has several. r is in mm, α runs from −π to π (Δη is r cos α,
    Δφ is r sin α). The file has no z: it counts layers, and layer 12 lies at z = 12. Raises FileError, ConfigError for
    a particle that is not there, DataError for what is no binning (CaloChallenge, arXiv:2410.21611).
    """
    path = readable(Path(path).expanduser())
    try:
        bins = ElementTree.parse(path).getroot().findall("Bin")
    except (ElementTree.ParseError, OSError, UnicodeError) as error:
        raise FileError(f"cannot read {path} as a binning (XML): {error}") from error
    if not bins:
        raise DataError(f"no <Bin> in {path}: it is no binning file")
    chosen = choose(path, bins, particle)
    segments = [layer for element in chosen.findall("Layer") if (layer := segment(path, element)) is not None]
    names = [one.name for one in segments]
    if not names or len(set(names)) < len(names):
        raise DataError(f"{path} has no layer with bins, or one twice" + (f": {', '.join(names)}" if names else ""))
    return Geometry(f"{chosen.get('name', 'particle')} of {path.name}", tuple(segments), lengths("mm", "layers"))


def choose(path: Path, bins: list[ElementTree.Element], particle: str | None) -> ElementTree.Element:
    """The binning of a particle; raises ConfigError where there is none, or several are meant."""
    names = list(dict.fromkeys(element.get("name", "") for element in bins))
    codes = list(dict.fromkeys(element.get("pid", "") for element in bins))
    if particle is not None and str(particle) not in (*names, *codes):
        raise ConfigError(unknown("particle", str(particle), names, f"in {path}"))
    found = [one for one in bins if particle is None or str(particle) in (one.get("name"), one.get("pid"))]
    if len(found) > 1 and len(names) > 1 and particle is None:
        raise ConfigError(f"{path} has binnings of {', '.join(names)}; name one, as in particle = {names[0]!r}")
    if len(found) > 1:
        raise ConfigError(f"{path} has {len(found)} binnings of {found[0].get('name')}, in ranges of eta; leave one")
    return found[0]


def segment(path: Path, element: ElementTree.Element) -> Segment | None:
    """One layer; None where it has no bins."""
    number, radii, turns = (element.get(name, "") for name in ("id", "r_edges", "n_bin_alpha"))
    try:
        layer, edges, bins = int(number), tuple(float(text) for text in radii.split(",")), int(turns)
    except ValueError:
        raise DataError(f"layer id={number!r} of {path} has r_edges={radii!r} and n_bin_alpha={turns!r}, which are not "
                        "all numbers") from None
    if len(edges) < 2:
        return None
    if bins < 1 or edges[0] < 0:
        raise DataError(f"layer {layer} of {path} has {bins} bins in alpha and begins at r = {edges[0]:g}")
    return Segment(f"layer_{layer}", ("alpha", "r"), (circle(bins), edges), (layer - 0.5, layer + 0.5), layer)


def circle(bins: int) -> Edges:
    """Borders of equal bins from −π to π."""
    return tuple(math.pi * (2 * step / bins - 1) for step in range(bins + 1))
