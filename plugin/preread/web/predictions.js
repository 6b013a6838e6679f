// What models say of images as wholes.

import { get } from "./api.js";

/** Return the images of a series as the ledger knows them, with what models say of each. */
export async function imagesOf(series) {
  return (await get(`preread/series/${encodeURIComponent(series)}`)).Instances;
}

/** Put what is said of an image into a list, a line for each model. */
export function listPredictions(list, image) {
  const lines = image ? image.Results.map(line) : [];
  if (image && !lines.length) lines.push(image.Reason || "not read by a model");
  list.replaceChildren(
    ...lines.map((words) => {
      const item = document.createElement("li");
      item.textContent = words;
      return item;
    }),
  );
}

function line({ Model, Version, Dataset, Class, Probabilities, Withheld, Reason, Warning }) {
  const name = [Model, Version].filter(Boolean).join(" ");
  if (Withheld) return `${name}: no class, ${Reason} (${Dataset})`;
  const caution = Warning ? `${Warning}: ` : "";
  const percent = (100 * Probabilities[Class]).toFixed(2);
  return `${name}: ${caution}${Class} ${percent} % (${Dataset})`;
}
