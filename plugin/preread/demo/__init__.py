"""``make demo``: a node is started, images are sent, and what was read is shown.

No patient's images ship with Preread. The chest series is computed here and says so in its own
attributes.
"""
