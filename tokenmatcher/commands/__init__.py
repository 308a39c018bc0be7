"""The command line: what a user types, to calls of the library.

What a command takes is loaded after its flags have been read: PyTorch needs some seconds, and a wrong flag is told at
once.
"""
