"""Many calls that wait, or have a picture decoded, leave Orthanc threads for all others."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from tests.integration.images import ct_series
from tests.integration.pacs import Pacs, eventually

THREADS = 12
SETTINGS: dict[str, Any] = {
    "Deidentify": {"Mode": "incoming"},
    "Runner": {"Start": False},
    "Rest": {"WaitSeconds": 600},
}


def children_of(pid: int) -> int:
    """Count the processes that a process has started and that run."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return sum(len(task.read_text().split()) for task in tasks)


def test_orthanc_answers_while_many_wait_and_many_send_pictures(
    make_pacs: Callable[..., Pacs], tmp_path: Path
) -> None:
    pacs = make_pacs(SETTINGS, configuration={"HttpThreadsCount": THREADS})
    process = pacs.launch()
    eventually(pacs.answers, 60)
    pacs.send(ct_series(tmp_path / "ct", 1).files)
    (instance,) = pacs.instances()

    def ask(path: str, body: Any) -> httpx.Response | None:
        try:
            return httpx.post(f"{pacs.url}/preread/{path}", json=body, timeout=600)
        except httpx.HTTPError:
            return None  # it waited until Orthanc was stopped

    with ThreadPoolExecutor(2 * THREADS) as asking:
        calls = [
            asking.submit(ask, f"instances/{instance}/analyze", {"Timeout": 600})
            for _ in range(2 * THREADS)
        ]
        quarter = THREADS // 4
        # Nobody reads: those that found a place wait, the others are answered.
        eventually(lambda: sum(one.done() for one in calls) >= 2 * THREADS - quarter, 60)
        assert pacs.answers()
        answered = [one.result() for one in calls if one.done()]
        assert len(answered) == 2 * THREADS - quarter
        assert all(one is not None and one.status_code == 202 for one in answered)
        pacs.send(ct_series(tmp_path / "more", 1).files)

        buffer = io.BytesIO()
        Image.new("L", (64, 64)).save(buffer, "PNG")
        uri = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        picture = {"Content": uri, "Tags": {"Modality": "CT", "PatientID": "A"}}
        sent = [asking.submit(ask, "images", picture) for _ in range(2 * THREADS - quarter)]
        most = 0
        while wait(sent, 0.1).not_done:
            most = max(most, children_of(process.pid))
        told = [one.result() for one in sent]
        statuses = Counter(one.status_code for one in told if one is not None)
        assert set(statuses) == {200, 503}
        assert statuses[200] >= 1
        assert most <= 2
        for one in told:
            assert one is not None
            assert one.status_code == 200 or int(one.headers["Retry-After"]) > 0
        assert len(pacs.instances()) == 2 + statuses[200]
        pacs.kill()
