"""Print the SHA-256 of what pyproject.toml requires, which the lock files are made for."""

import hashlib
import json
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
told = {name: project[name] for name in ("dependencies", "optional-dependencies")}
print(hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest())  # noqa: T201
