"""Inside of a parser's process: the function that parses files, prepared once and asked for each."""

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from retrievers.errors import DocumentError, NoTextError


def prepare(parser: str) -> Callable[[Mapping[str, Any], bytes], Mapping[str, Any]]:
    """Return what answers requests with the documents of a file.

    Args:
        parser: the function that parses, as `module:name`.
    """
    sys.modules["numpy"] = None  # type: ignore[assignment]  # openpyxl would load it, and needs it for nothing here
    module, _, name = parser.partition(":")
    parse = getattr(importlib.import_module(module), name)

    def work(request: Mapping[str, Any], raw: bytes) -> Mapping[str, Any]:
        path = Path(request["path"])
        try:
            documents = parse(raw, path, source=request["source"])
        except MemoryError:
            raise
        except NoTextError as error:
            return {"no_text": str(error)}
        except DocumentError as error:
            return {"error": str(error)}
        except Exception as error:  # a fault of a reader stops the reading of this file only
            return {"error": f"{path} cannot be read: {type(error).__name__}: {error}; save it anew"}
        return {"documents": [[found.page_content, found.metadata] for found in documents]}

    return work
