"""Words of Chinese texts, which have no spaces between them."""

import functools
import logging
import tempfile
from typing import Any


@functools.cache
def chinese_cutter() -> Any:
    """Return jieba's cutter with its own dictionary; the first call takes about a second."""
    import jieba

    jieba.setLogLevel(logging.WARNING)
    cutter = jieba.Tokenizer()
    # jieba keeps its dictionary as a file that can run code when it is read; never take one that others may write
    with tempfile.TemporaryDirectory() as private:
        cutter.tmp_dir = private
        cutter.initialize()
    return cutter
