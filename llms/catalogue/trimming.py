"""Trimming of encoders for many languages: only the pieces of words that some languages need are kept.

Most weights of such an encoder are the vectors of pieces in scripts that a user never sees. A text's pieces are found
among those that stand in it, so where all pieces in its script are kept, it is cut as before and gets the same vector.
"""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llms.catalogue.adding import AddedModel, add_folder, find_added
from llms.encoder.cosine_floor import PROBE_TEXTS
from llms.errors import ModelFileError, ModelFolderError, OptionValueError
from llms.loading import resolve_model

_WEIGHTS, _TOKENIZER = "model.safetensors", "tokenizer.json"
_WORD_VECTORS = re.compile(r"(^|\.)(word_embeddings|embed_tokens|tok_embeddings)\.weight$")
_OTHER_TOKENIZERS = ("*.model", "vocab.txt", "merges.txt", "openvino", "README.md")  # of all pieces
_MOST_DIFFERENCE = 1e-3
_LATIN = "a-zA-Z\u00c0-\u024f\u0300-\u036f\u1e00-\u1eff"
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003347f"
_CYRILLIC, _ARABIC = "\u0400-\u052f", "\u0600-\u06ff\u0750-\u077f"
# the letters of each language; digits, marks and symbols are kept for all
LETTERS = {
    "en": "a-zA-Z",
    "zh": _HAN,
    "ja": f"{_HAN}\u3040-\u30ff",
    "ko": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af",
    **dict.fromkeys(("de", "fr", "es", "it", "pt", "nl", "pl", "cs", "sv", "tr", "vi", "id"), _LATIN),
    **dict.fromkeys(("ru", "uk", "bg"), _CYRILLIC),
    **dict.fromkeys(("ar", "fa", "ur"), _ARABIC),
    "el": "\u0370-\u03ff",
    "he": "\u0590-\u05ff",
    "hi": "\u0900-\u097f",
    "th": "\u0e00-\u0e7f",
}


def trim_model(reference: str | Path, languages: Sequence[str], *, name: str = "") -> AddedModel:
    """Add a copy of an encoder that knows only the pieces of these languages, and return it.

    Its vectors of texts in these languages are those of the whole one; that is checked before it is added. Letters of
    other languages are unknown to it.

    Args:
        reference: an encoder whose tokenizer is a Unigram model, such as multilingual-e5-small.
        languages: codes such as "zh" and "en".
        name: what the copy is called; the model's name and the languages if empty.

    Raises:
        OptionValueError: for a language that is not known here, or none.
        ModelNotFoundError: if the model is not on this machine.
        ModelFileError: if its tokenizer is of another kind, or its weights are not where they are looked for.
        ModelFolderError: if a model of this name is there already and is another one, or the vectors differ.
    """
    if unknown := [language for language in languages if language not in LETTERS]:
        msg = f"the letters of {unknown[0]!r} are not known here; there are {', '.join(sorted(LETTERS))}"
        raise OptionValueError(msg)
    if not languages:
        msg = "name the languages to keep, such as zh,en"
        raise OptionValueError(msg)
    folder = resolve_model(reference)
    chosen = (name or "-".join([Path(reference).name, *languages])).lower()
    source = f"{Path(reference).name} trimmed to {', '.join(languages)}"
    if existing := find_added(chosen):
        if existing.source != source:
            msg = f"there is a model {chosen} already, from {existing.source}; give another name with --name"
            raise ModelFolderError(msg)
        return existing

    def make(target: Path) -> str:
        write_trimmed(folder, target, languages)
        _compare(folder, target, languages)
        return source

    whole = find_added(str(reference).lower())
    return add_folder(chosen, make, licence=whole.licence if whole else "", languages=languages)


def write_trimmed(folder: Path, target: Path, languages: Sequence[str]) -> None:
    """Write the encoder of `folder` into `target` with only the pieces that the languages need.

    Raises:
        ModelFileError: if its tokenizer is no Unigram model, or its word vectors are not found.
    """
    content = _read_tokenizer(folder)
    if (kind := content["model"].get("type")) != "Unigram":
        msg = f"{folder} has a {kind} tokenizer; only a Unigram one, which cuts by score, can do with fewer pieces"
        raise ModelFileError(msg)
    pieces = [piece for piece, _ in content["model"]["vocab"]]
    if content["model"].get("unk_id") is None or any(token["id"] >= len(pieces) for token in content["added_tokens"]):
        msg = f"{folder / _TOKENIZER} has tokens beyond its pieces, or none for unknown ones; it cannot be trimmed"
        raise ModelFileError(msg)
    kept = _kept_ids(content, languages, prompts=_prompts(folder))
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(_WEIGHTS, *_OTHER_TOKENIZERS))
    _write_tokenizer(content, kept, target)
    _write_weights(folder, target, kept, num_pieces=len(content["model"]["vocab"]))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    new_id = {old: new for new, old in enumerate(kept)}
    ids = {key: new_id[value] for key, value in config.items() if key.endswith("_token_id") and value in new_id}
    config |= {"vocab_size": len(kept), **ids}
    (target / "config.json").write_text(json.dumps(config, indent=2), "utf-8")


def _read_tokenizer(folder: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((folder / _TOKENIZER).read_text("utf-8"))
        content["model"].get("type"), content["added_tokens"], content["model"]["vocab"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        msg = f"{folder} has no usable {_TOKENIZER} ({error}); only an encoder with one can be trimmed"
        raise ModelFileError(msg) from error
    return content


def _kept_ids(content: dict[str, Any], languages: Sequence[str], *, prompts: str) -> list[int]:
    """Return the ids of the pieces to keep, in ascending order."""
    letters = re.compile(f"[{''.join(dict.fromkeys(LETTERS[language] for language in languages))}]")
    special = {token["content"] for token in content["added_tokens"]}
    kept = []
    for id_, (piece, _) in enumerate(content["model"]["vocab"]):
        is_needed = all(letters.match(char) or not _is_letter(char) for char in piece)
        # whatever pieces stand in a prompt may be those it is cut into
        if is_needed or piece in special or id_ == content["model"]["unk_id"] or piece.strip("▁") in prompts:
            kept.append(id_)
    return kept


def _is_letter(character: str) -> bool:
    return character.isalpha() or "\u0300" <= character <= "\u036f" or "\u0900" <= character <= "\u0e7f"


def _prompts(folder: Path) -> str:
    path = folder / "config_sentence_transformers.json"
    found = json.loads(path.read_text("utf-8")).get("prompts") if path.is_file() else None
    return " ".join((found or {}).values())


def _write_tokenizer(content: dict[str, Any], kept: Sequence[int], target: Path) -> None:
    """Write the tokenizer with the pieces kept, which have new ids."""
    new_id = {old: new for new, old in enumerate(kept)}
    model = content["model"]
    model["vocab"] = [model["vocab"][id_] for id_ in kept]
    model["unk_id"] = new_id[model["unk_id"]]
    for token in content["added_tokens"]:
        token["id"] = new_id[token["id"]]
    for token in ((content.get("post_processor") or {}).get("special_tokens") or {}).values():
        token["ids"] = [new_id[id_] for id_ in token["ids"]]
    if content.get("padding"):
        content["padding"]["pad_id"] = new_id[content["padding"]["pad_id"]]
    (target / _TOKENIZER).write_text(json.dumps(content, ensure_ascii=False), "utf-8")


def _write_weights(folder: Path, target: Path, kept: Sequence[int], *, num_pieces: int) -> None:
    from safetensors.torch import load_file, save_file

    if not (folder / _WEIGHTS).is_file():
        msg = f"{folder} has no {_WEIGHTS}; weights in several files cannot be trimmed"
        raise ModelFileError(msg)
    weights = load_file(folder / _WEIGHTS)
    names = [name for name, tensor in weights.items() if _WORD_VECTORS.search(name) and len(tensor) >= num_pieces]
    if len(names) != 1:
        msg = f"{folder / _WEIGHTS} has no word vectors for its {num_pieces:,} pieces, or several; it cannot be trimmed"
        raise ModelFileError(msg)
    weights[names[0]] = weights[names[0]][list(kept)].contiguous()
    save_file(weights, target / _WEIGHTS, metadata={"format": "pt"})


def _compare(folder: Path, target: Path, languages: Sequence[str]) -> None:
    """Refuse a copy whose vectors are not those of the whole encoder."""
    from llms.encoder.local_embeddings import LocalEmbeddings

    texts = [text for language in languages for text in PROBE_TEXTS.get(language, ())]
    if not texts:
        return
    whole, trimmed = (LocalEmbeddings(path, engine="torch", precision="float32") for path in (folder, target))
    difference = float(np.abs(whole.embed_array(texts) - trimmed.embed_array(texts)).max())
    if not difference <= _MOST_DIFFERENCE:
        msg = f"the trimmed encoder gives other vectors (by {difference:.4f}); {folder.name} cannot be trimmed"
        raise ModelFolderError(msg)
