"""Message for a model that the OpenVINO engine cannot run."""


def refusal(reason: str) -> str:
    """Return the message for a model that must run elsewhere."""
    return f"this model cannot run on the OpenVINO engine: {reason}, so the torch engine is used"
