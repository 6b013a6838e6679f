"""Networks that draw regions: their data, their fitting, and what comes of it as an IODeep object.

Slices with outlines in, a trained network and its figures out. Nothing here knows Orthanc, and
nothing here is imported where networks run.
"""
