"""IODeep's networks as REST services of their own: discovery and prediction, beside any PACS.

The article's WG-23 variant. Nothing here knows the plugin's hooks or the ledger; FastAPI and
uvicorn, the extra `service`, are imported only when a service is started.
"""
