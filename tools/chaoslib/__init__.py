"""The parts of tools/chaos.py: faults against the running system, and books the daemon does not write."""

import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[2]))  # the daemon beside this tool, not another one
