"""Engines that run chat models: what is asked of them, and one folder per back end.

Read in this order: `engine` (the interface), `requests`, `calls`, `choosing`, `torch_backend`, `openvino_backend`.
"""

__all__: list[str] = []
