"""Texts with private data at known places, made from templates: for tests of the detectors and for their figures."""
