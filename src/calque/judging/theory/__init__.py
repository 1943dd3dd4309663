"""Exact results that a measure must reproduce: the lecture's examples, and Gaussians in closed form."""
