"""Taggers on OpenVINO: an exported graph with its own tokenizer, without torch."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from llms.arrays import FloatArray, IntArray
from llms.encoder.openvino import compile_graph
from llms.errors import EngineError
from llms.openvino_export import TOKENIZER, read_manifest
from llms.tagger.scheme import TagScheme
from llms.tagger.token_tagger import TokenTagger
from llms.tagger.tokenizer import TaggerTokenizer


class OpenVinoTagger(TokenTagger):
    """Texts in, outputs for each word out, through a graph written by `export_tagger`.

    Args:
        export: the folder with graph and tokenizer.
        settings: what the manifest says of the tokenizer and the tags.
        precision: "float32" computes in float32; the others in bfloat16 where this CPU multiplies it natively.
    """

    max_tokens = 2048

    def __init__(self, export: Path, *, settings: Mapping[str, Any], precision: str) -> None:
        from tokenizers import Tokenizer

        scheme = TagScheme(tuple(settings["tags"]), is_strict=settings["is_strict"])
        tokenizer = Tokenizer.from_file(str(export / TOKENIZER))
        super().__init__(TaggerTokenizer.from_settings(tokenizer, settings["tokenizer"]), scheme)
        self._request = compile_graph(export, precision, num_requests=1).create_infer_request()

    @override
    def _forward(self, rows: Sequence[tuple[IntArray, IntArray]]) -> FloatArray:
        try:
            self._request.infer(self.tokenizer.inputs(rows))
        except RuntimeError as error:
            msg = f"OpenVINO failed on {len(rows)} texts: {str(error).strip().splitlines()[-1]}"
            raise EngineError(msg) from error
        logits: FloatArray = self._request.get_output_tensor(0).data.copy()  # the next call writes over it
        return logits


def load_openvino_tagger(export: Path) -> OpenVinoTagger:
    """Return the tagger of a complete export; the same files are loaded once and then shared.

    Raises:
        EngineError: if the export is incomplete or OpenVINO cannot run it.
    """
    manifest = read_manifest(export)
    if not manifest:
        msg = f"{export} is no complete export; make it with export_tagger"
        raise EngineError(msg)
    return _load(export, str(manifest["files"]))


@functools.lru_cache(maxsize=8)
def _load(export: Path, _files: str) -> OpenVinoTagger:
    manifest = read_manifest(export)
    return OpenVinoTagger(export, settings=manifest["settings"], precision=manifest["identity"]["precision"])
