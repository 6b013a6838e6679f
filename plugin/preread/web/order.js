// The slices of a series that nothing was proposed for, in the order in which they lie.

import { get } from "./api.js";

const MOST_FRAMES = 65535; // of an image, whatever its header says

/**
 * Return all frames of a series' images, in the order of the images' places along the patient;
 * where they have none, of their numbers; where they have none either, as they arrived.
 *
 * @param series Orthanc's id.
 * @param images of it, as the ledger knows them, in the order of their arrival.
 */
export async function placesOf(series, images) {
  // Deleted meanwhile: then each image says for itself that it is not there.
  const stored = await get(`series/${encodeURIComponent(series)}/instances`).catch(() => []);
  const tags = new Map(stored.map(({ ID, MainDicomTags }) => [ID, MainDicomTags]));
  const known = images.map(({ ID }) => tags.get(ID) ?? {});
  return inOrder(known).flatMap((at) => {
    const { ID } = images[at];
    return Array.from({ length: frames(known[at]) }, (_, frame) => ({
      image: ID,
      frame,
      original: ID,
    }));
  });
}

/** Return the places of images in their order; what not all of them have does not count. */
export function inOrder(images) {
  const keys = [alongNormal(images), images.map(({ InstanceNumber }) => number(InstanceNumber))];
  const counted = keys.filter((key) => key.every(Number.isFinite));
  const difference = (a, b) => {
    for (const key of counted) if (key[a] !== key[b]) return key[a] - key[b];
    return a - b;
  };
  return images.map((_, at) => at).sort(difference);
}

/** Return how far each image lies along the normal of the first, in mm; NaN if it does not say. */
function alongNormal(images) {
  const [a, b, c, d, e, f] = numbers(images[0]?.ImageOrientationPatient, 6);
  const normal = [b * f - c * e, c * d - a * f, a * e - b * d];
  if (!(Math.hypot(...normal) > 0.5)) return images.map(() => NaN);
  return images.map(({ ImageOrientationPatient, ImagePositionPatient }) => {
    if (numbers(ImageOrientationPatient, 6).some(Number.isNaN)) return NaN;
    const position = numbers(ImagePositionPatient, 3);
    return position.reduce((sum, value, axis) => sum + value * normal[axis], 0);
  });
}

function frames({ NumberOfFrames }) {
  const count = Math.trunc(number(NumberOfFrames));
  return count >= 1 ? Math.min(count, MOST_FRAMES) : 1;
}

function numbers(text, count) {
  const found = String(text ?? "").split("\\").map(number);
  return found.length === count ? found : Array(count).fill(NaN);
}

function number(text) {
  return Number.parseFloat(String(text ?? ""));
}
