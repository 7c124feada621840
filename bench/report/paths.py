# SPDX-License-Identifier: BSD-3-Clause
"""Where things are. Importing it makes bench/common importable."""
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(1, os.path.join(ROOT, "bench", "common"))
