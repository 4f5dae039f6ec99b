"""One module for each operation on Redis: its input, how it is written, how its results are read; beside its Lua.

The two files of an operation must agree, and nothing else needs to know how it travels.
"""
