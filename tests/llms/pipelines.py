"""Sentence encoders whose pipelines are put together in other ways."""

from pathlib import Path

__all__ = ["build_pipeline"]


def build_pipeline(
    source: Path, folder: Path, *, pooling: str | tuple[str, ...], include_prompt: bool = True, seed: int = 0
) -> Path:
    """Write the encoder in `source` with another pooling and a projection to 8 numbers, without normalisation."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense
    from sentence_transformers.sentence_transformer.modules import Pooling

    torch.manual_seed(seed)
    transformer = SentenceTransformer(str(source), device="cpu")[0]
    pool = Pooling(32, pooling_mode=pooling, include_prompt=include_prompt)
    dense = Dense(pool.pooling_output_dimension, 8, activation_function=torch.nn.Tanh())
    prompts = None if include_prompt else {"query": "where is "}
    SentenceTransformer(modules=[transformer, pool, dense], device="cpu", prompts=prompts).save_pretrained(
        str(folder), create_model_card=False
    )
    return folder
