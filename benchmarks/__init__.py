"""Every figure of the project, measured beside its baseline; each module is a command of its own."""

from apps.settings import prepare_process

prepare_process()  # before NumPy and torch are loaded, as the command line does
