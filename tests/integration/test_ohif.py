"""OHIF beside a real Orthanc: regions lie on the lesions, as it holds and as it draws them.

The lesions are a phantom's, so what is compared with is known by construction and not read from
anything that Preread writes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from pydicom.dataset import Dataset
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation
from skimage import measure

from preread.ledger.proposal import Proposal
from preread.phantom import Acquisition, Kind, Volume, make_volume
from preread.phantom.writing import write_phantom
from tests.integration.pacs import Pacs, eventually
from tests.integration.proposing import Found, dataset, propose
from tests.ohif_server import NoViewerError, OhifServer, viewer

CHROMIUM = shutil.which("chromium")
# Nothing but a graphics card draws by itself in a browser without a screen.
DRAWN_BY_SOFTWARE: Final = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SETTINGS: Final[dict[str, Any]] = {"Deidentify": {"Mode": "incoming"}, "Models": {"Run": []}}
SEED: Final = 2  # three solid nodules, of 14 to 24 mm
TITLE: Final = "Preread regions: U-Net"
RED, GREEN = 0, 1  # places in the colour of a pixel
# Pixels, of what may be below one: a line that is one row off would be 0.6 away in the mean.
CLOSE: Final = 0.4
PATIENCE: Final = 120_000  # milliseconds

Line = NDArray[np.float64]
"""(n, 2): column and row of the original image, centres of pixels at whole numbers."""
Lines = dict[int, list[Line]]
"""By slice, from 0."""
Held = dict[int, tuple[int, Line]]
"""Slice and line of each region, by its number."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def build() -> Path:
    try:
        return viewer()
    except NoViewerError as error:
        pytest.skip(f"no OHIF: {error}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # In a container there is nobody but root, for whom Chromium has no sandbox.
        arguments = ["--no-sandbox", *DRAWN_BY_SOFTWARE]
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield made
        made.close()


@dataclass(frozen=True)
class Scan:
    """A phantom in the archive.

    Attributes
    ----------
    sent
        What was sent, slice by slice, without pixels.
    truth
        The outlines of the voxels that belong to a lesion.
    lines
        The lines along which the lesions were cut from the phantom.
    """

    sent: Sequence[Dataset]
    truth: Lines
    lines: Lines

    def pixels(self, slice_: int, world: NDArray[np.float64]) -> Line:
        """Return where points of the patient lie in a slice, by PS3.3 C.7.6.2.1.1."""
        image = self.sent[slice_]
        across, down = np.reshape(np.array(image.ImageOrientationPatient, dtype=float), (2, 3))
        between_rows, between_columns = map(float, image.PixelSpacing)
        away = world - np.array(image.ImagePositionPatient, dtype=float)
        assert np.abs(away @ np.cross(across, down)).max() < 0.05, "not in the plane of the slice"
        return np.column_stack((away @ across / between_columns, away @ down / between_rows))


def scan(folder: Path, *, tilted: bool) -> tuple[Scan, list[Path]]:
    """Make a chest; `tilted` lies askew in the patient, with pixels that are not square."""
    volume = make_volume(Kind.CHEST, SEED, Acquisition(slice_thickness=5.0, size=256))
    files = list(write_phantom(volume, folder).images)
    sent = []
    for file in files:
        image = pydicom.dcmread(file)
        if tilted:
            tilt(image)
            image.save_as(file)
        del image.PixelData
        sent.append(image)
    lines: Lines = {}
    for mask in volume.masks():
        for slice_ in range(mask.slices.start, mask.slices.stop):
            lines.setdefault(slice_, []).extend(mask.contours(slice_))
    lines = {slice_: found for slice_, found in sorted(lines.items()) if found}
    return Scan(sent, outlines(volume), lines), files


def tilt(image: Dataset) -> None:
    """Turn an image's place in the patient, and stretch it along its columns."""
    turn = Rotation.from_euler("xyz", (25, -10, 15), degrees=True)
    axes = np.reshape(np.array(image.ImageOrientationPatient, dtype=float), (2, 3))
    turned = [*turn.apply(axes).ravel(), *turn.apply(np.array(image.ImagePositionPatient, float))]
    numbers = [f"{value:.10f}" for value in turned]
    image.ImageOrientationPatient, image.ImagePositionPatient = numbers[:6], numbers[6:]
    image.PixelSpacing = [1.9, float(image.PixelSpacing[1])]


def outlines(volume: Volume) -> Lines:
    """Return the outlines of the lesions' voxels, half-way to those outside."""
    found: Lines = {}
    for slice_, plane in enumerate(volume.labels(volume.masks()) > 0):
        # scikit-image has no types.
        lines = measure.find_contours(plane.astype(float), 0.5)  # type: ignore[no-untyped-call]
        if lines:
            found[slice_] = [line[:-1, ::-1] for line in lines]
    return found


def along(lines: Sequence[Line]) -> Line:
    """Return points along closed lines, no further than a tenth of a pixel apart."""
    points = []
    for line in lines:
        for start, end in zip(line, np.roll(line, -1, axis=0), strict=True):
            steps = max(1, int(np.ceil(np.hypot(*(end - start)) / 0.1)))
            points.append(start + np.arange(steps)[:, np.newaxis] / steps * (end - start))
    return np.concatenate(points)


def apart(ones: Line, others: Line) -> float:
    """Return the mean distance of points to the others' nearest, the larger of both ways."""
    there, back = KDTree(others).query(ones)[0], KDTree(ones).query(others)[0]
    return max(float(there.mean()), float(back.mean()))


class Viewer:
    """OHIF with a study, and what the browser complained of and asked for."""

    def __init__(self, url: str, page: Page) -> None:
        self.url, self.page = url, page
        self.asked: list[str] = []
        self.refused: list[str] = []
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda one: self.asked.append(one.url))
        page.on(
            "response",
            lambda one: self.refused.append(one.url) if one.status >= 400 else None,
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        for words in ("Skip all", "Confirm and hide"):  # the tour, and what it is not for
            # One lies on the other, where the mouse would not reach it.
            page.add_locator_handler(
                page.get_by_text(words), lambda found: found.dispatch_event("click")
            )

    def open(self, study: str) -> None:
        """Open a study and its regions, as somebody does who clicks."""
        self.page.goto(f"{self.url}/viewer?StudyInstanceUIDs={study}")
        self.page.get_by_text(TITLE).dblclick()
        self.page.get_by_role("button", name="Yes", exact=True).click()
        self.page.wait_for_function(f"({_CONTOURS})().length > 0")

    def contours(self) -> list[tuple[int, str, NDArray[np.float64]]]:
        """Return number, SOPInstanceUID of the image and (n, 3) points of what OHIF holds."""
        found = self.page.evaluate(_CONTOURS)
        return [
            (number, image.split("/instances/")[1].split("/")[0], np.array(line))
            for number, image, line in found
        ]

    def drawn(self, image: str, colour: int = RED) -> NDArray[np.float64]:
        """Show an image; return where in the patient pixels of a colour are drawn, (n, 3)."""
        box = eventually(lambda: self.page.evaluate(_SHOW, image), PATIENCE / 1000, "the slice")
        clip = {"x": box[0], "y": box[1], "width": box[2], "height": box[3]}
        taken = Image.open(BytesIO(self.page.screenshot(clip=clip))).convert("RGB")  # type: ignore[arg-type]
        shown = np.asarray(taken, dtype=int)
        others = np.delete(shown, colour, axis=2).max(axis=2)
        rows, columns = np.nonzero(shown[..., colour] - others > 60)
        middles = np.column_stack((columns, rows)) + 0.5
        return np.reshape(np.array(self.page.evaluate(_WORLD, middles.tolist())), (-1, 3))


_CONTOURS: Final = """() =>
    cornerstoneTools.annotation.state.getAllAnnotations()
        .filter((one) => one.data.contour && one.data.segmentation)
        .map(({ data, metadata }) => [
            data.segmentation.segmentIndex, metadata.referencedImageId,
            data.contour.polyline.map((point) => Array.from(point))])
"""
_SHOW: Final = """async (uid) => {
    const [{ viewport }] = cornerstone.getEnabledElements();
    const element = viewport.element;
    // OHIF may put another element in its place, or turn to another slice, at the same moment: then
    // nothing is told, and the caller asks again.
    const told = (event, act) => new Promise((resolve) => {
        const late = setTimeout(() => resolve(false), 5000);
        element.addEventListener(event, () => resolve(!clearTimeout(late)), { once: true });
        act();
    });
    const { IMAGE_RENDERED } = cornerstone.Enums.Events;
    const { ANNOTATION_RENDERED } = cornerstoneTools.Enums.Events;
    const index = viewport.getImageIds().findIndex((id) => id.includes(`/instances/${uid}/`));
    if (viewport.getCurrentImageIdIndex() !== index
        && !await told(IMAGE_RENDERED, () => viewport.setImageIdIndex(index))) return null;
    const render = cornerstoneTools.utilities.triggerAnnotationRenderForViewportIds;
    if (!await told(ANNOTATION_RENDERED, () => render([viewport.id]))) return null;
    if (viewport.getCurrentImageIdIndex() !== index) return null;
    const { left, top, width, height } = viewport.canvas.getBoundingClientRect();
    return [left, top, width, height];
}"""
_WORLD: Final = """(points) => {
    const [{ viewport }] = cornerstone.getEnabledElements();
    return points.map((point) => Array.from(viewport.canvasToWorld(point)));
}"""


@pytest.fixture
def node(make_pacs: Callable[..., Pacs]) -> Pacs:
    return make_pacs(SETTINGS).start()


@pytest.fixture
def ohif(build: Path, node: Pacs, browser: Browser) -> Iterator[Viewer]:
    with OhifServer(build, node.url) as server:
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        made = Viewer(server.url, context.new_page())
        yield made
        context.close()
    assert made.complaints == []
    assert made.refused == []
    # A site without a way out of its network sees the same.
    assert [url for url in made.asked if not url.startswith((server.url, "data:", "blob:"))] == []


def stored(pacs: Pacs, proposal: Proposal) -> dict[str, int]:
    """Return the slice that each stored image is, by its SOPInstanceUID."""
    images = [dataset(pacs, image.instance) for image in proposal.images]
    return {str(image.SOPInstanceUID): int(image.InstanceNumber) - 1 for image in images}


def proposed(pacs: Pacs, chest: Scan, files: Sequence[Path]) -> tuple[Proposal, list[Found]]:
    pacs.send(files)
    pacs.wait_until_read()
    regions = [Found(slice_, line) for slice_, found in chest.lines.items() for line in found]
    return propose(pacs, regions), regions


def held(ohif: Viewer, chest: Scan, slices: Mapping[str, int]) -> Held:
    """Return what OHIF holds."""
    return {
        number: (slices[image], chest.pixels(slices[image], points))
        for number, image, points in ohif.contours()
    }


@pytest.mark.parametrize("tilted", [False, True], ids=["straight", "tilted"])
@pytest.mark.timeout(600)
def test_a_proposal_lies_on_the_lesions(
    ohif: Viewer, node: Pacs, tmp_path: Path, *, tilted: bool
) -> None:
    chest, files = scan(tmp_path, tilted=tilted)
    proposal, regions = proposed(node, chest, files)
    slices = stored(node, proposal)
    ohif.open(proposal.place.StudyInstanceUID)

    found = held(ohif, chest, slices)
    assert sorted(found) == list(range(1, len(regions) + 1))
    assert {slice_ for slice_, _ in found.values()} == set(chest.truth)
    distances = {}
    for slice_, truth in chest.truth.items():
        here = [line for at, line in found.values() if at == slice_]
        distances[slice_] = apart(along(here), along(truth))
    assert max(distances.values()) < CLOSE, distances

    uids = {slice_: uid for uid, slice_ in slices.items()}
    drawn = {}
    for slice_, truth in chest.truth.items():
        places = ohif.drawn(uids[slice_])
        assert len(places), f"nothing is drawn on slice {slice_}"
        drawn[slice_] = apart(chest.pixels(slice_, places), along(truth))
    assert max(drawn.values()) < CLOSE, drawn
    empty = min(set(slices.values()) - set(chest.truth))
    assert len(ohif.drawn(uids[empty])) == 0


@pytest.mark.timeout(600)
def test_what_was_approved_last_is_what_is_shown(ohif: Viewer, node: Pacs, tmp_path: Path) -> None:
    chest, files = scan(tmp_path, tilted=False)
    proposal, regions = proposed(node, chest, files)
    slices = stored(node, proposal)
    moved = regions[4].polygon + np.array([6.0, -3.0])

    def review(
        version: int, others: str, *decisions: dict[str, Any]
    ) -> dict[int, tuple[int, Line]]:
        body = {
            "Version": version,
            "Reviewer": "Doe^Jane",
            "Others": others,
            "Regions": decisions,
        }
        path = f"/preread/proposals/{proposal.place.SOPInstanceUID}/review"
        told = node.http.post(path, json=body, timeout=90)
        assert told.status_code == 200, told.text
        ohif.open(proposal.place.StudyInstanceUID)
        return held(ohif, chest, slices)

    redrawn = {"Region": 5, "Decision": "accept", "Polygon": moved.tolist()}
    found = review(0, "accept", {"Region": 2, "Decision": "reject"}, redrawn)
    wanted = {number: one.polygon for number, one in enumerate(regions, start=1)} | {5: moved}
    del wanted[2]
    assert set(found) == set(wanted)
    for number, (slice_, line) in found.items():
        assert slice_ == regions[number - 1].frame
        assert apart(along([line]), along([wanted[number]])) < 0.1, number

    found = review(1, "reject", {"Region": 7, "Decision": "accept"})
    assert set(found) == {7}
    slice_, line = found[7]
    assert apart(along([line]), along([regions[6].polygon])) < 0.1
    uids = {at: uid for uid, at in slices.items()}
    places = ohif.drawn(uids[slice_], GREEN)
    assert len(places), "nothing is drawn"
    assert apart(chest.pixels(slice_, places), along([regions[6].polygon])) < CLOSE
    for colour in (RED, GREEN):
        assert len(ohif.drawn(uids[regions[12].frame], colour)) == 0
