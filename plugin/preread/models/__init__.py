"""Cards, architectures, weights, engines and the ensemble.

Importing the package is cheap: torch and OpenVINO are imported only by what needs them.
Weights are safetensors, checked against the card's SHA-256; nothing is ever unpickled.
"""
