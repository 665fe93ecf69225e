"""HTTP server over the applications: `create_app(settings)` in `app.py`, one module per concern beside it."""
