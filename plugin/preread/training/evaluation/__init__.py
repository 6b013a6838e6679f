"""Measuring models and ensembles of them, and telling of it: JSON, report, cards, README table.

Nothing here fits or changes weights; of a model's folder only the card is ever written. Importing
the package is cheap; torch is imported by the modules that need it.
"""
