"""Reading what other stores left on disk, without their code and without running anything the files name.

Read in this order: `allowed_names` (the few classes a file of documents may name, and the plain values they become),
`inert_pickle` (a pickle as data), `pickled_documents` (the documents in it), `faiss_file` (the vectors of a FAISS file,
every length checked against the file), `pairing` (which vector belongs to which document). `langchain_faiss` joins
them behind one function, `retrievers.import_langchain_faiss`.
"""
