"""What Orthanc loads (``"PythonScript": "plugin/preread_plugin.py"``).

Orthanc embeds Debian's Python, which knows neither this folder nor the virtual environment: the
folder is put on its path here, the environment by `preread.hooks.bootstrap`.
"""

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
importlib.import_module("preread.hooks.bootstrap").start()
