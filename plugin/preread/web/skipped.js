// The images of a series that no network looked at, a line for each.

export function listSkipped(list, skipped) {
  const items = skipped.map(({ ID, Reason }) => {
    const item = document.createElement("li");
    item.textContent = `Not looked at: image ${ID.slice(0, 8)}: ${Reason}`;
    return item;
  });
  list.replaceChildren(...items);
}

/** What is said of them behind how many regions were found; nothing where there are none. */
export function countSkipped(skipped) {
  if (!skipped?.length) return "";
  const [{ Reason }] = skipped;
  return skipped.length === 1
    ? `; 1 image not looked at: ${Reason}`
    : `; ${skipped.length} images not looked at, the first one: ${Reason}`;
}
