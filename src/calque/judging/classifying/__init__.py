"""Classifiers that are asked to tell generated rows from real ones."""
