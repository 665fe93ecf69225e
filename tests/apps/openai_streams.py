"""Reading the streams of OpenAI's interface."""

import json

__all__ = ["read_chunks"]


def read_chunks(reply):
    """The chunks of a stream, whose end must be marked."""
    *lines, end = [line.removeprefix("data: ") for line in reply.text.split("\n\n") if line]
    assert end == "[DONE]"
    return [json.loads(line) for line in lines]
