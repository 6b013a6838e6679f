"""Data sets, splits, fitting, metrics and the card that comes of them.

Importing the package is cheap; torch is imported by the modules that need it.
"""
