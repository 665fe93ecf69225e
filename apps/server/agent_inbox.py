"""What the conversations of one workspace need while it is served."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from langchain_core.runnables import Runnable

from apps.articles import Articles
from apps.feedback import FeedbackStore
from apps.readers import read_templates
from apps.settings import Settings
from apps.wiring import open_conversations
from chains.customer_service import Conversations, ServiceReply, ServiceRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDesk:
    """The conversations of a workspace, the articles they cite, and what people thought of the answers.

    Attributes:
        titles: how intents are called in a question to the customer; others by their name.
    """

    conversations: Conversations
    articles: Articles
    feedback: FeedbackStore
    titles: Mapping[str, str]

    def title(self, intent: str) -> str:
        """Return how an intent is called."""
        return self.titles.get(intent, intent.replace("_", " "))


@contextlib.contextmanager
def open_desk(settings: Settings, chain: Runnable[ServiceRequest, ServiceReply]) -> Iterator[ServiceDesk]:
    """Open the desk of a workspace, whose conversations `chain` answers; errors as `open_conversations`."""
    folder = settings.records_folder(settings.customer_service)
    templates = folder / "templates.yaml"
    with (
        open_conversations(settings, chain=chain) as conversations,
        contextlib.closing(FeedbackStore(settings.feedback_file)) as feedback,
    ):
        yield ServiceDesk(
            conversations=conversations,
            articles=Articles(folder / "knowledge"),
            feedback=feedback,
            titles=read_templates(templates).titles if templates.exists() else {},
        )
