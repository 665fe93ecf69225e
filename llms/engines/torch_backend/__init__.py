"""Generation with transformers on PyTorch."""

__all__: list[str] = []
