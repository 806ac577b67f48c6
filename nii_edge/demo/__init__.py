"""The bundled recording ``demo.mcap`` and what is in it, ``demo.json``; both by tools/draw_demo.py."""
