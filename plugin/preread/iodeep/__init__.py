"""Networks kept as DICOM objects: the IOD, the parser of its JSON, matching, ROI prediction.

After Contino et al., "IODeep: an IOD for the introduction of deep learning in the DICOM standard".
Importing the package is cheap: OpenVINO is imported only by what runs a network, and torch only by
what converts an object or builds a file.
"""
