"""The page of a comparison: one HTML file that needs nothing but itself."""

from calque.judging.page.render import render_page, save_page

__all__ = ["render_page", "save_page"]
