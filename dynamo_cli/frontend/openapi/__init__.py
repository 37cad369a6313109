"""The API's description: `document.py` makes /openapi.json of the types that read requests, `docs.html` is /docs."""
