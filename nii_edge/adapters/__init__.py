"""The ports made real: sockets, files, runtimes. Foreign exceptions are translated here."""
