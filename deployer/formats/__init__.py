"""Bytes to values and back: Nix's formats, byte for byte, and the messages between a controller and a host.

Pure: nothing here opens a file or a socket. Standard library only, Python 3.9 and up, because it travels to hosts.
"""
