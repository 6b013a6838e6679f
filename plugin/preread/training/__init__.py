"""Data sets, fitting, metrics and the model folder that comes out.

What is here is run by people, never by the plugin or the runner.
It knows no patient: the paths of images are all that it keeps.
"""
