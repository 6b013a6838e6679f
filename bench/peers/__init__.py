"""Other de-identifiers: how each is installed, run, and told what to do."""
