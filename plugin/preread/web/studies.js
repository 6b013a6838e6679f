// The list of studies with results: what networks propose, and series that models have read.

import { get } from "./api.js";

const MOST = 200;

export async function listStudies(list, where, show) {
  const wanted = new URLSearchParams(location.search).get("study");
  const filter = wanted ? `?study=${encodeURIComponent(wanted)}&` : "?";
  const [proposals, read] = await Promise.all([
    get(`preread/proposals${filter}limit=1000`),
    get(`preread/studies?limit=${MOST}`),
  ]);
  const studies = new Map();
  const of = (id) => {
    if (!studies.has(id)) studies.set(id, { proposals: [], series: [] });
    return studies.get(id);
  };
  for (const one of proposals) {
    if (one.Status !== "superseded" || one.Version) of(one.Study).proposals.push(one);
  }
  for (const one of read) {
    if (!wanted || [one.ID, one.StudyInstanceUID].includes(wanted)) of(one.ID).series = one.Series;
  }
  const entries = [...studies].slice(0, MOST);
  list.replaceChildren(...entries.map(([id, found]) => entry(id, found, show)));
  where.textContent = entries.length ? "" : "There are no studies with results yet.";
}

function entry(id, found, show) {
  const item = document.createElement("li");
  const title = document.createElement("strong");
  title.textContent = id.slice(0, 8);
  name(id, title);
  const parts = document.createElement("ul");
  const part = (words, ...what) => {
    const row = document.createElement("li");
    const button = document.createElement("button");
    row.className = "part";
    button.type = "button";
    button.textContent = words;
    button.addEventListener("click", () => {
      for (const other of document.querySelectorAll("#studies button")) {
        other.removeAttribute("aria-current");
      }
      button.setAttribute("aria-current", "true");
      show(...what);
    });
    row.append(button);
    parts.append(row);
    return button;
  };
  for (const one of found.proposals) {
    const count = one.Regions === 1 ? "1 region" : `${one.Regions} regions`;
    const scope = one.Scope ? "one image, " : "";
    const words = `${one.Network.Name}: ${scope}${count}, ${one.Status}${one.Stale ? ", stale" : ""}`;
    part(words, "proposal", one.SOPInstanceUID).dataset.proposal = one.SOPInstanceUID;
  }
  for (const { ID, Images } of found.series) {
    part(`Series ${ID.slice(0, 8)}: ${Images} read`, "series", ID).dataset.series = ID;
  }
  item.append(title, parts);
  return item;
}

/** Put what a person knows a study by in place of its id. */
async function name(id, title) {
  try {
    const { MainDicomTags: study, PatientMainDicomTags: patient } = await get(`studies/${id}`);
    const words = [patient.PatientName, study.StudyDate, study.StudyDescription];
    title.textContent = words.filter(Boolean).join(" · ") || id.slice(0, 8);
  } catch {
    title.textContent = `${id.slice(0, 8)} (not stored any more)`;
  }
}
