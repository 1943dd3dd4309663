"""A figure's SVG made fit for a page: small, free of ids that collide, in colours that follow the theme."""

from __future__ import annotations

import re
from collections.abc import Mapping

from calque.judging.drawing.paper import FAKE, FIELD, LINES, QUIET, REAL

INKS = {REAL: "ink", "#ffffff": "paper", QUIET: "quiet", **{colour: f"line-{n}" for n, colour in enumerate(LINES, 1)},
        FAKE: "fake", FIELD: "field"}  # each becomes var(--NAME, COLOUR): themed on the page, as printed elsewhere
FONTS = "Helvetica,Arial,'Liberation Sans',sans-serif"  # of the same widths as the one that matplotlib measured

HEAD = re.compile(r"^.*?(?=<svg)|<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", re.DOTALL)
TAG = re.compile(r"<[^>]*>")  # matplotlib escapes what a label holds, so all else is text, and is left alone
ROOT = re.compile(r"<svg\b[^>]*?viewBox=\"([^\"]*)\"[^>]*>")
SPACE = re.compile(r"\s*\n\s*")
IMAGE = re.compile(r"(?<=;base64,)[^\"]+")
ID = re.compile(r"\sid=\"([^\"]*)\"")
REFERENCE = re.compile(r"url\(#([^)]*)\)|href=\"#([^\"]*)\"")
NUMBER = re.compile(r"(?<![\w.#])-?\d*\.\d{3,}(?![\w.])")
STYLE = re.compile(r"style=\"[^\"]*\"")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
FONT = re.compile(r"font-family: [^;\"]*")


def inline_svg(drawn: bytes, prefix: str) -> str:
    """Make matplotlib's SVG an element of a page; `prefix` keeps its ids apart from those of other figures."""
    text = re.sub(r">\s+<", "><", HEAD.sub("", drawn.decode())).strip()
    tags = TAG.findall(text)
    named = dict.fromkeys(first or second for tag in tags for first, second in REFERENCE.findall(tag))
    new = {old: f"{prefix}-{number}" for number, old in enumerate(named)}
    return ROOT.sub(opening, TAG.sub(lambda found: tidied(found[0], new), text), count=1)


def tidied(tag: str, new: Mapping[str, str]) -> str:
    """Shorten one tag; ids that something refers to are renamed, the others dropped."""
    tag = SPACE.sub(" ", IMAGE.sub(lambda found: "".join(found[0].split()), tag))
    tag = ID.sub(lambda found: f' id="{new[found[1]]}"' if found[1] in new else "", tag)
    tag = REFERENCE.sub(lambda found: f"url(#{new[found[1]]})" if found[1] else f'href="#{new[found[2]]}"', tag)
    return STYLE.sub(lambda found: themed(found[0]), NUMBER.sub(lambda found: rounded(found[0]), tag))


def opening(found: re.Match[str]) -> str:
    """Root element that scales with its place; text has no colour of its own and inherits this one."""
    return (f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{found[1]}" style="fill:var(--ink,{REAL})" focusable="false">')


def themed(style: str) -> str:
    """Replace inks by variables, with the ink itself where there is no page."""
    style = FONT.sub(f"font-family: {FONTS}", style)
    return COLOUR.sub(lambda found: variable(found[0]), style).replace("; ", ";").replace(": ", ":")


def variable(colour: str) -> str:
    """Variable of an ink; any other colour stays."""
    known = {ink.lower(): name for ink, name in INKS.items()}.get(colour.lower())
    return f"var(--{known},{colour})" if known else colour


def rounded(number: str) -> str:
    """Write a coordinate to a hundredth of a point.

    >>> rounded("12.345678"), rounded("-0.001234"), rounded("3.000000")
    ('12.35', '0', '3')
    """
    short = f"{float(number):.2f}".rstrip("0").rstrip(".")
    return "0" if short in ("-0", "") else short
