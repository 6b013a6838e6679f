"""De-identification of whole folders: many processes, resumable, DICOMDIR written anew.

The byte engine is `preread.deidentify`; what is here lists files, shares them out to processes,
files the results under their new identifiers and remembers what is done.
"""
