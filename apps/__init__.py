"""The applications: command line, server, settings, and the one place that puts the parts together.

Here belongs every side effect: reading settings and files, opening ports, printing. No decision about an answer,
an alert or a list is made here.
"""
