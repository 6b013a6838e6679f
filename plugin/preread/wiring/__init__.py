"""What both processes, Orthanc's and the runner's, build from the settings: one file a part.

Nothing is decided here. What only one of them needs is built where it is used.
"""
