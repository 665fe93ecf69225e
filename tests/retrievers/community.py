"""The old class, whose import says that its package is no longer kept, and stores that it saved."""

import warnings

import numpy as np

from llms.fakes import HashedEmbeddings

__all__ = ["LongEmbeddings", "load_old", "old_class"]


class LongEmbeddings(HashedEmbeddings):
    """Vectors of length 3, so that every metric gives other scores."""

    def _embed(self, text):
        return (3 * np.array(super()._embed(text))).tolist()


def old_class():
    """langchain-community's FAISS."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langchain_community.vectorstores import FAISS
    return FAISS


def load_old(folder, embedding, **options):
    """The old store in a folder of our own making."""
    return old_class().load_local(str(folder), embedding, allow_dangerous_deserialization=True, **options)
