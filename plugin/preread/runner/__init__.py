"""The process that reads images: reserve, fetch, decode, infer, store, acknowledge.

It talks to Orthanc by HTTP only and may die at any moment without losing work.
What a model is, or how a result is encoded, does not belong here.
"""
