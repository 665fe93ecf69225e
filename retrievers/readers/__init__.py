"""One file format per module: its bytes to Markdown-like text, or a `DocumentError` that says what to do.

Here belongs what knows a format. Which file is read, what it is called and how large it may be is said in
`retrievers/documents.py`, which also puts the file's path before every message. Nothing here opens a file or a
connection, and importing this package loads no parser.
"""
