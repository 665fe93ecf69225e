"""Several languages in one service: each message goes to the chain of its language."""

from collections.abc import Mapping

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

from chains.customer_service.schema import ServiceReply, ServiceRequest
from chains.errors import ChainInputError
from llms.texts import CHINESE_SHARE, is_chinese

_CHINESE = "zh"


def build_language_router(
    chains: Mapping[str, Runnable[ServiceRequest, ServiceReply]], *, default: str
) -> Runnable[ServiceRequest, ServiceReply]:
    """Return a chain that gives each message to the chain of its language.

    Chinese is told from all other languages by its characters; every other message goes to the default.

    Args:
        chains: by language, such as "en" and "zh".
        default: the language of messages in no known one.

    Raises:
        ChainInputError: if there is no chain for the default.

    Example:
        >>> from chains.customer_service import ServiceReply
        >>> def answer(text):
        ...     return RunnableLambda(lambda _: ServiceReply(text=text, route="template", reason=""))
        >>> chain = build_language_router({"en": answer("Hello"), "zh": answer("您好")}, default="en")
        >>> chain.invoke({"text": "你好"}).text, chain.invoke({"text": "hi"}).text
        ('您好', 'Hello')
    """
    if default not in chains:
        msg = f"there is no chain for the default language {default!r}, only for {', '.join(sorted(chains)) or 'none'}"
        raise ChainInputError(msg)

    def reply(message: object, config: RunnableConfig) -> ServiceReply:
        chain = chains[
            _CHINESE if _CHINESE in chains and is_chinese(_text(message), min_share=CHINESE_SHARE) else default
        ]
        return chain.invoke(message, config)  # type: ignore[arg-type]  # the chain refuses what is no request

    return RunnableLambda(reply, name="customer_service_by_language").with_types(
        input_type=ServiceRequest, output_type=ServiceReply
    )


def _text(message: object) -> str:
    text = message.get("text") if isinstance(message, Mapping) else getattr(message, "text", message)
    return text if isinstance(text, str) else ""
