"""DICOM pixels to arrays: decoding, modality LUT, VOI window, resampling.

What is here knows nothing of Orthanc, of models or of results.
Every file that cannot be shown raises one ``UnreadableImage`` with the reason.
"""
