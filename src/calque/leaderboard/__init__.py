"""Every kind on one sample, on one page: quality against speed."""

from calque.leaderboard.board import run_leaderboard

__all__ = ["run_leaderboard"]
