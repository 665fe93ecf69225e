"""Generation with OpenVINO: export of a model folder, and the engine that runs it."""

__all__: list[str] = []
