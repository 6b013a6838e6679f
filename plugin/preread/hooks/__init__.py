"""What runs inside Orthanc: the only code that imports ``orthanc``.

Each callback takes milliseconds and lets no exception out; no network, no model, no lock of
Orthanc's own. What takes longer belongs in the runner.
"""
