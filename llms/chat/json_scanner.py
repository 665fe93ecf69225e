"""JSON values followed while they are written: where one ends, and what stands inside its strings."""


class JsonScanner:
    """Follows the characters of an object or a list, one by one.

    Example:
        >>> scanner = JsonScanner()
        >>> [scanner.step(char) for char in '{"a": "}"}']
        [False, False, False, False, False, False, False, False, False, True]
    """

    def __init__(self) -> None:
        self.in_string = False
        self._depth = 0
        self._is_escaped = False

    @property
    def is_open(self) -> bool:
        """Whether a value was begun and has not ended."""
        return self._depth > 0

    def step(self, char: str) -> bool:
        """Take the next character and return whether the value ends with it."""
        if self.in_string:
            if self._is_escaped:
                self._is_escaped = False
            elif char == "\\":
                self._is_escaped = True
            elif char == '"':
                self.in_string = False
        elif char == '"':
            self.in_string = self.is_open
        elif char in "{[":
            self._depth += 1
        elif char in "}]" and self._depth:
            self._depth -= 1
            return not self._depth
        return False


class MarkGuard:
    r"""Escapes the marks of tool calls inside the strings of a call, where they are the model's words.

    Whoever reads the answer afterwards may take every mark for one. JSON reads `\u003c` as the character that it
    stands for, so the arguments stay the same.

    Args:
        opening: what opens a call whose body is JSON, such as `<tool_call>`; "" for a dialect without: nothing changes.
        closing: what closes it; "" where nothing does.
        reasoning: what opens and closes reasoning, in which nothing is a call.
        prefix: what the prompt already wrote of the answer.

    Example:
        >>> guard = MarkGuard("<tool_call>", "</tool_call>", ("<think>", "</think>"))
        >>> guard.feed('1 < 2 <tool_call>{"name": "f", "arguments": {"q": "</tool_call>"}}</tool_call>')
        '1 < 2 <tool_call>{"name": "f", "arguments": {"q": "\\u003c/tool_call>"}}</tool_call>'
    """

    def __init__(self, opening: str, closing: str, reasoning: tuple[str, str], *, prefix: str = "") -> None:
        self._opening = opening
        self._closing = closing
        self._reasoning = reasoning
        self._scanner: JsonScanner | None = None  # while a call is open
        self._is_reasoning = False
        self._longest = max(map(len, (opening, closing, *reasoning)))
        self._recent = ""  # outside of JSON
        self.feed(prefix)

    def feed(self, text: str) -> str:
        """Return the text with what must be escaped escaped."""
        return "".join(map(self._guarded, text)) if self._opening else text

    def _guarded(self, char: str) -> str:
        scanner = self._scanner
        if scanner is not None and (scanner.is_open or char in "{["):
            was_in_string = scanner.in_string
            scanner.step(char)
            return f"\\u{ord(char):04x}" if was_in_string and char == self._opening[0] else char
        self._recent = (self._recent + char)[-self._longest :]
        begins, ends = self._reasoning
        if self._is_reasoning:
            self._is_reasoning = not self._recent.endswith(ends)
        elif scanner is not None:
            if self._closing and self._recent.endswith(self._closing):
                self._scanner = None
        elif self._recent.endswith(begins):
            self._is_reasoning = True
        elif self._recent.endswith(self._opening):
            self._scanner = JsonScanner()
        return char
