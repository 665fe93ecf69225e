"""The HTTP service over the chains: `create_app(settings)` in `app.py`, one module per concern beside it."""
