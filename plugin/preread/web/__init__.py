"""The review page: static files that browsers get as they are, no build step, no other server.

Only files lie here; `preread.hooks.views_web` serves them. They ask nothing but this Orthanc.
"""
