"""Prompt files of the use cases: read, checked for their variables."""

from collections.abc import Iterable
from importlib import resources

from langchain_core.prompts import ChatPromptTemplate

from chains.errors import ChainInputError


def load_prompt(package: str, name: str, *, variables: Iterable[str]) -> ChatPromptTemplate:
    """Return the prompt `prompts/{name}.md` of a use case as system turn, and the question as user turn.

    Raises:
        ChainInputError: if the file's variables are not exactly those the chain fills.
    """
    text = _read(package, name)
    try:
        prompt = ChatPromptTemplate.from_messages([("system", text), ("human", "{question}")])
    except ValueError as error:
        msg = f"prompt {package}/{name} has a brace that is no variable: {error}; double it if it is meant as text"
        raise ChainInputError(msg) from error
    expected, found = {*variables, "question"}, set(prompt.input_variables)
    if found != expected:
        msg = f"prompt {package}/{name} has the variables {sorted(found)}, the chain fills {sorted(expected)}"
        raise ChainInputError(msg)
    return prompt


def _read(package: str, name: str) -> str:
    return (resources.files(package) / "prompts" / f"{name}.md").read_text("utf-8")
