"""The command line. Each command reads its options, asks the core for one operation and shows the answer.

Nothing heavy is imported before it is needed: ``gotoai serve`` has to be quick to start.
"""
