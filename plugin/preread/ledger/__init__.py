"""What has to be read, what has been, what failed, and the hooks' local journal.

What is here survives kill -9 at any moment; it stores no pixel and nothing identifying.
It knows neither Orthanc nor torch; the journal is importable without SQLAlchemy.
"""
