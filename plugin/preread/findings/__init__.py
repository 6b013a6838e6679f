"""What readers return and writers take: predictions, lesions, maps, and who found them.

Frozen dataclasses, and what a reader of series is. Nothing here knows DICOM objects, networks,
Orthanc or the ledger.
"""
