"""Measures of nearest neighbours: copying and coverage."""
