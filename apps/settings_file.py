"""Changes of a settings file that leave everything else in it as it was, comments included."""

import contextlib
import json
import re
import tomllib

from apps.errors import SettingsError

_SECTION = re.compile(r"^[ \t]*\[[ \t]*models[ \t]*\].*$", flags=re.MULTILINE)
_NEXT_SECTION = re.compile(r"^[ \t]*\[", flags=re.MULTILINE)
_ENCODER = re.compile(r"""^([ \t]*encoder[ \t]*=[ \t]*)("[^"\n]*"|'[^'\n]*')""", flags=re.MULTILINE)


def set_encoder(text: str, encoder: str) -> str:
    r"""Return the text of a settings file with another encoder.

    Raises:
        SettingsError: if the file says it in a way that is not understood here.

    Example:
        >>> print(set_encoder('[models]\nencoder = "old"  # mine\nchat = ""\n', "new"))
        [models]
        encoder = "new"  # mine
        chat = ""
        <BLANKLINE>
    """
    wanted = tomllib.loads(text)
    models = wanted.get("models", {})
    changed = _replace(text, json.dumps(encoder, ensure_ascii=False))
    with contextlib.suppress(tomllib.TOMLDecodeError):
        if tomllib.loads(changed) == {**wanted, "models": {**models, "encoder": encoder}}:
            return changed
    msg = f"the encoder cannot be changed there; write encoder = {encoder!r} below [models] yourself, and try again"
    raise SettingsError(msg)


def _replace(text: str, value: str) -> str:
    section = _SECTION.search(text)
    if section is None:
        return f"{text.rstrip()}\n\n[models]\nencoder = {value}\n".lstrip()
    following = _NEXT_SECTION.search(text, section.end())
    end = following.start() if following else len(text)
    body, num_found = _ENCODER.subn(lambda found: found[1] + value, text[section.end() : end], count=1)
    if not num_found:
        body = f"\nencoder = {value}{body}"
    return text[: section.end()] + body + text[end:]
