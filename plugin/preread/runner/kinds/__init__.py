"""Kinds of work: one file for each says what begins it, who does it, and what is said of it.

`kind` is what they have in common, `registry` lists them, those of other packages included, and
`reading` makes one of a reader and its writers. A kind knows no other kind.
"""
