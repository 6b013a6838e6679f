"""All files of the two collections of odd ones: an image or a reason, within bounds."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "dicom"

# In a process of its own, so that a decoder that crashes or takes memory fails this test alone.
READ_ALL = """
import sys
from pathlib import Path
from preread.imaging import UnreadableImage, open_image

for path in sorted(Path(sys.argv[1]).rglob("*.dcm")):
    try:
        image = open_image(path.read_bytes(), max_bytes=2**28)
        for frame, _ in zip(image.frames, range(10)):
            shown = frame.display()
            assert shown.shape == frame.pixels.shape
            assert 0 <= shown.min() <= shown.max() <= 1
        print(path.name, "image", image.number_of_frames, sep="\\t")
    except UnreadableImage as error:
        assert str(error) and "\\n" not in str(error)
        print(path.name, "refused", error, sep="\\t")
"""


def bound_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))


def outcomes(folder: str) -> dict[str, tuple[str, str]]:
    path = SHARED / folder
    if not path.is_dir():
        pytest.skip(f"{path.name}: the shared data are not beside the project")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ_ALL, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=bound_memory,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = (line.split("\t") for line in done.stdout.splitlines())
    return {name: (outcome, detail) for name, outcome, detail in rows}


@pytest.mark.shared_data
def test_variety() -> None:
    found = outcomes("variety")
    unread = {name: detail for name, (outcome, detail) in found.items() if outcome == "refused"}
    kinds = ("SEG", "SR", "RTSTRUCT", "RWV", "ANN", "ECG")
    images = {name: reason for name, reason in unread.items() if not name.startswith(kinds)}
    # What no decoder of pydicom's takes: retired kinds of JPEG.
    assert len(found) >= 150
    assert all("4.53" in why or "4.55" in why for why in images.values())
    assert len(images) == 2
    assert sum(outcome == "image" for outcome, _ in found.values()) >= 129


@pytest.mark.shared_data
def test_malformed() -> None:
    found = outcomes("malformed")
    assert len(found) >= 350
    assert found["BASELINE_valid_ct.dcm"] == ("image", "1")
    for part in ("rows_0", "columns_0", "truncated"):
        odd = [outcome for name, (outcome, _) in found.items() if part in name]
        assert "image" not in odd
