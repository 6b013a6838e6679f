"""What is burned into pictures: which are looked at, how text is found and blanked, faces too.

Nothing here writes headers but what a look at the pixels changes; `policy` and `seal` are light
and run inside Orthanc's hook, so this module imports nothing, and the heavy ones wait outside.
"""
