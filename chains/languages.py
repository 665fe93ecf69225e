"""Languages in which chains speak to people."""

from typing import Literal, TypeAlias

Language: TypeAlias = Literal["en", "zh"]
