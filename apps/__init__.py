"""Applications: command line, server, settings, and the composition root.

Here belongs every side effect: reading settings and files, opening ports, printing. No decision about an answer,
an alert or a list is made here.
"""
