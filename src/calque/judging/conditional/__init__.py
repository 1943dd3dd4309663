"""Measures of p(x | c): is the copy right for every context, not only on average?"""
