// The list of a proposal's regions, a line for each, with what is decided about it.

/**
 * Put regions into a list, in the order given.
 *
 * @param choose is called with the number of one that is to be looked at,
 * @param decide with that of one, and the verdict.
 */
export function listRegions(list, regions, decisions, chosen, choose, decide) {
  const rows = regions.map(({ Number: number, slice, Score }) => {
    const row = document.createElement("li");
    const status = decisions.status(number);
    const redrawn = decisions.edited.has(number) && status === "accepted" ? ", redrawn" : "";
    row.className = status;
    row.dataset.region = String(number);
    const name = `${number}: slice ${slice + 1}, ${Math.round(100 * Score)} %, ${status}${redrawn}`;
    const main = button(name, () => choose(number));
    main.setAttribute("aria-current", String(number === chosen));
    row.append(
      main,
      button("✓", () => decide(number, "accept"), `Accept region ${number}`),
      button("✗", () => decide(number, "reject"), `Reject region ${number}`),
    );
    return row;
  });
  list.replaceChildren(...rows);
  list.querySelector('[aria-current="true"]')?.scrollIntoView({ block: "nearest" });
}

function button(text, act, label) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}
