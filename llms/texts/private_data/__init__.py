"""Private data in texts: found by form, check digits and the words around it, and replaced by typed placeholders.

Here belongs how each kind of private data looks, in English and Chinese. What is done with it - logs without it,
templates with slots in its place, replies that are held back - is decided above.
"""

from llms.texts.private_data.finding import Finder, find_by_form, find_private, put_placeholders, replace_private
from llms.texts.private_data.spans import PrivateKind, PrivateSpan

__all__ = [
    "Finder",
    "PrivateKind",
    "PrivateSpan",
    "find_by_form",
    "find_private",
    "put_placeholders",
    "replace_private",
]
