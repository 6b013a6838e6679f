"""Orthanc over HTTP: fetch a file, announce, store and delete an object of ours.

Both halves of what the runner announces to the receive hook are signed here. What an object means,
or what a network is, does not belong here; the hooks import the signature alone.
"""
