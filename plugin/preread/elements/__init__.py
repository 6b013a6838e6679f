"""DICOM's byte layer: where each element of a file lies, without parsing its value.

What is here knows encodings (PS3.5, PS3.10), not the meaning of attributes, and never copies
pixel data. Nothing here imports pydicom's dataset classes, Orthanc, or any other room.
"""
