"""Unsupervised visible-infrared person re-identification (TokenMatcher, AAAI 2025)."""

__version__ = "0.1.0"
