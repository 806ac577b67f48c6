"""The bundled recording ``demo.mcap``, what is true of it, ``demo.json``, and the scanner it comes from: all
by tools/make_demo.py."""
