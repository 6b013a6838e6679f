"""What was found, as DICOM: the private block in place or in a derived instance.

What is here turns bytes into bytes and knows nothing of Orthanc, the ledger or torch.
Pixel data passes through unchanged.
"""
