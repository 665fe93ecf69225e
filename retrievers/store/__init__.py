"""Parts of `FaissStore`: one file of documents as the truth, and indexes in memory that follow it.

Read in this order: `database` (the SQLite file: one writer, many readers), `document_table` (documents, vectors and
words in it), `vector_index` (immutable snapshots of the vectors, searched while they change), `ann` and
`generations` (approximate indexes and how they are saved), `metadata_columns` (fields for filters), and
`indexed_table`, which joins them.
"""
