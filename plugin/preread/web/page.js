// The review page: studies with results, their slices, and what is decided about regions.

import { get, post, Refused } from "./api.js";
import { Asking } from "./asking.js";
import { Decisions } from "./decisions.js";
import { nearest, pulled } from "./editing.js";
import { listenTo } from "./keys.js";
import { placesOf } from "./order.js";
import { imagesOf, listPredictions } from "./predictions.js";
import { listRegions } from "./regions.js";
import { listReviews } from "./reviews.js";
import { listSkipped } from "./skipped.js";
import { listStudies } from "./studies.js";
import { Stack } from "./slices.js";
import { COLOURS, View } from "./view.js";
import { Windowing } from "./windowing.js";

const GRASP = 12; // pixels of the page around a line in which it can be taken
const POLL = 500; // milliseconds

const at = (id) => document.getElementById(id);
const view = new View(at("image"));

let stack = null;
let decisions = null; // of the proposal that is shown
let proposal = null;
let series = ""; // Orthanc's id of that which is looked at, as it arrived
let images = new Map(); // its images, as the ledger knows them
let index = 0;
let chosen = 0; // number of the region that keys are about; 0: none
let isEditing = false;
let opened = 0; // how often something was opened: a late answer takes nothing's place

const windowing = new Windowing(at("window"), () => stack?.ready(index), redraw);

// What is looked at.

async function showProposal(uid, isWanted = () => true) {
  const mine = ++opened;
  const told = await get(`preread/proposals/${encodeURIComponent(uid)}`);
  if (mine !== opened || !isWanted()) return;
  const places = told.Images.flatMap(({ ID, Original, Frames }) =>
    Array.from({ length: Frames }, (_, frame) => ({ image: ID, frame, original: Original })),
  );
  // What is proposed for one slice is shown among the others, where they are there already.
  const isHere = series === told.OriginalSeries && places.every((one) => find(one) >= 0);
  proposal = told;
  decisions = new Decisions(told);
  at("message").textContent = "";
  at("reload").hidden = true;
  if (told.Scope && isHere) [chosen, isEditing] = [0, false];
  else begin(places, told.OriginalSeries);
  for (const region of told.Regions) {
    region.slice = find({ original: told.Images[region.Image].Original, frame: region.Frame });
  }
  describe();
  const order = inOrder();
  if (order.length) await choose(order[0].Number);
  else await go(0);
}

async function showSeries(id) {
  const mine = ++opened;
  const told = await imagesOf(id);
  const places = await placesOf(id, told);
  if (mine !== opened) return;
  proposal = decisions = null;
  begin(places, id, told);
  describe();
  await go(0);
}

/** The slice of an image as it arrived, and a frame of it; -1 if it is not among those shown. */
function find({ original, frame }) {
  const places = stack?.places ?? [];
  return places.findIndex((one) => one.original === original && one.frame === frame);
}

function begin(places, id, known) {
  stack?.stop();
  stack = new Stack(places);
  stack.onprogress = tellProgress;
  [index, chosen, isEditing] = [0, 0, false];
  windowing.reset();
  for (const told of ["slice", "drawn", "fetched", "here"]) delete document.body.dataset[told];
  [series, images] = [id, new Map()];
  const learn = (told) => {
    if (series === id) images = new Map(told.map((one) => [one.ID, one]));
    redraw();
  };
  if (known) learn(known);
  else imagesOf(id).then(learn, () => {}); // deleted meanwhile: then nothing is said of them
  for (const button of ["ask-slice", "ask-series"]) at(button).disabled = !places.length;
}

function tellProgress() {
  document.body.dataset.fetched = String(stack.fetched);
  document.body.dataset.here = String(stack.here);
}

async function go(to) {
  if (!stack?.length) return;
  index = Math.min(stack.length - 1, Math.max(0, to));
  const [mine, wanted] = [stack, index];
  mine.around(wanted);
  const ready = mine.ready(wanted);
  if (ready) return draw(ready); // at once: no turn of the event loop between key and picture
  at("caption").textContent = `Slice ${wanted + 1} of ${mine.length} is being fetched`;
  try {
    const slice = await mine.get(wanted);
    if (mine === stack && wanted === index) draw(slice);
  } catch (error) {
    if (mine === stack && wanted === index) fail(error);
  }
}

function draw(slice) {
  const window = windowing.of(slice);
  const here = proposal ? proposal.Regions.filter((one) => one.slice === index) : [];
  view.show(
    slice,
    window,
    here.map((region) => ({
      polygon: decisions.polygon(region),
      colour: COLOURS[decisions.status(region.Number)],
      selected: region.Number === chosen,
      handles: isEditing && region.Number === chosen,
    })),
  );
  const words = [`Slice ${index + 1} of ${stack.length}`];
  if (here.length) words.push(here.length === 1 ? "1 region" : `${here.length} regions`);
  at("caption").textContent = words.join(" · ");
  listPredictions(at("predictions"), images.get(stack.places[index]?.original));
  windowing.tell(window);
  document.body.dataset.slice = String(index);
  document.body.dataset.drawn = String(view.drawn);
}

function redraw() {
  const slice = stack?.ready(index);
  if (slice) draw(slice);
}

// Regions.

/** The regions from the first slice to the last. */
function inOrder() {
  return proposal ? [...proposal.Regions].sort((a, b) => a.slice - b.slice) : [];
}

function region() {
  return proposal?.Regions.find((one) => one.Number === chosen);
}

async function choose(number) {
  chosen = number;
  isEditing = false;
  showRegions();
  await go(region()?.slice ?? index);
}

async function step(by) {
  const order = inOrder();
  if (!order.length) return;
  const now = order.findIndex((one) => one.Number === chosen);
  await choose(order[(now + by + order.length) % order.length].Number);
}

function decide(verdict) {
  if (!region()) return;
  decisions.decide(chosen, verdict);
  isEditing = false;
  showRegions();
  redraw();
}

function decideRest(verdict) {
  if (!decisions) return;
  decisions.decideRest(verdict);
  showRegions();
  redraw();
}

function edit(on) {
  isEditing = Boolean(on && region());
  redraw();
}

function restore() {
  if (!region()) return;
  decisions.restore(chosen);
  isEditing = false;
  showRegions();
  redraw();
}

function showRegions() {
  listRegions(at("regions"), inOrder(), decisions, chosen, choose, async (number, verdict) => {
    await choose(number);
    decide(verdict);
  });
  const missing = decisions ? decisions.missing : 0;
  at("submit").textContent = missing ? `Store review (${missing} undecided)` : "Store review";
  at("submit").disabled = missing > 0 || Boolean(decisions?.isBeingStored);
}

function describe() {
  at("review").hidden = !proposal;
  at("status").textContent = proposal
    ? `${proposal.Network.Name} ${proposal.Network.Version} · ${proposal.Status}`
    : "No proposal for this series";
  at("stale").textContent = proposal?.Stale ? `Stale: ${proposal.Stale}` : "";
  listSkipped(at("skipped"), proposal?.Skipped ?? []);
  listReviews(at("history"), proposal?.Reviews ?? []);
  showRegions();
}

// Asking for regions.

const asking = new Asking(at("asked"), at("asking"), async (uid) => {
  const isWanted = () => !decisions?.changed; // else what is decided would be lost
  if (isWanted()) await showProposal(uid, isWanted);
  await list();
});

function ask(isAll) {
  const place = stack?.places[index];
  if (!place) return;
  if (isAll) asking.about("series", series, "the series");
  else asking.about("instances", place.original, `slice ${index + 1}`);
}

// Storing a review.

async function store(event) {
  event.preventDefault();
  if (!decisions || decisions.missing || decisions.isBeingStored) return;
  const [mine, decided] = [proposal, decisions];
  const isShown = () => proposal?.SOPInstanceUID === mine.SOPInstanceUID;
  const isWanted = () => isShown() && (decisions === decided || !decisions.changed);
  const reviewer = at("reviewer").value.trim();
  localStorage.setItem("preread reviewer", reviewer);
  at("submit").disabled = true;
  say("Being stored …");
  const body = decided.body(reviewer, at("comment").value);
  decided.isBeingStored = true;
  try {
    const path = `preread/proposals/${encodeURIComponent(mine.SOPInstanceUID)}`;
    let made = await post(`${path}/review`, { ...body, Asynchronous: true });
    while (made.State === "pending" || made.State === "running") {
      await new Promise((resolve) => setTimeout(resolve, POLL));
      const told = await get(path);
      made = told.Reviews.find((one) => one.Version === made.Version);
    }
    const here = index;
    if (isWanted()) await showProposal(mine.SOPInstanceUID, isWanted);
    if (isShown()) {
      await go(here);
      at("comment").value = "";
    }
    if (made.State === "done") say(`Stored: ${made.Outcome}, ${made.SOPInstanceUID}`);
    else say(`The decision stands, its object is not stored: ${made.Reason}`, true);
    await list();
  } catch (error) {
    decided.isBeingStored = false;
    fail(error);
    at("reload").hidden = !(isShown() && error instanceof Refused && error.status === 409);
    showRegions();
  }
}

function say(words, failed = false) {
  at("message").textContent = words;
  at("message").className = failed ? "failed" : "";
}

function fail(error) {
  say(error instanceof Refused ? error.message : `This page has failed: ${error.message}`, true);
}

// Keys, wheel and pointer.

const KEYS = [
  [["ArrowDown", "ArrowRight", "j"], "next slice", () => go(index + 1)],
  [["ArrowUp", "ArrowLeft", "k"], "previous slice", () => go(index - 1)],
  [["PageDown"], "ten slices on", () => go(index + 10)],
  [["PageUp"], "ten slices back", () => go(index - 10)],
  [["Home"], "first slice", () => go(0)],
  [["End"], "last slice", () => go(stack ? stack.length - 1 : 0)],
  [["n"], "next region", () => step(1)],
  [["p"], "previous region", () => step(-1)],
  [["a"], "accept the region", () => decide("accept")],
  [["r"], "reject the region", () => decide("reject")],
  [["u"], "decide nothing about it", () => decide(null)],
  [["A"], "accept the rest", () => decideRest("accept")],
  [["R"], "reject the rest", () => decideRest("reject")],
  [["e"], "redraw its line: pull at it", () => edit(!isEditing)],
  [["o"], "its line as it was proposed", () => restore()],
  [["Escape"], "end redrawing", () => edit(false)],
  [["i"], "AI ROI: a network looks at this slice", () => ask(false)],
  [["I"], "AI ROI of the whole series", () => ask(true)],
  [["["], "narrower window", () => windowing.set(({ width }) => ({ width: width / 1.15 }))],
  [["]"], "wider window", () => windowing.set(({ width }) => ({ width: width * 1.15 }))],
  [["-"], "window lower", () => windowing.set((w) => ({ center: w.center - w.width / 20 }))],
  [["+", "="], "window higher", () => windowing.set((w) => ({ center: w.center + w.width / 20 }))],
  [["0"], "window of the image", () => windowing.set(null)],
];

function onWheel(event) {
  event.preventDefault();
  if (event.deltaY) go(index + Math.sign(event.deltaY));
}

function onPointerDown(event) {
  const slice = stack?.ready(index);
  if (!slice) return;
  at("image").focus();
  const from = view.toImage(event);
  if (isEditing && nearest(decisions.polygon(region()), from) * view.scale < GRASP) {
    const [number, line] = [chosen, decisions.polygon(region())];
    drag(event, (moved) => {
      decisions.edit(number, pulled(line, from, view.toImage(moved)));
      redraw();
    }, showRegions);
    return;
  }
  const under = closest(from);
  if (under && !isEditing) {
    choose(under.Number).catch(fail);
    return;
  }
  const { center, width } = windowing.now;
  drag(event, (moved) => {
    const share = Math.max(width, 1) / 300;
    windowing.set(() => ({
      center: center + (moved.clientY - event.clientY) * share,
      width: Math.max(1, width + (moved.clientX - event.clientX) * share),
    }));
  });
}

function closest(point) {
  const here = proposal ? proposal.Regions.filter((one) => one.slice === index) : [];
  const near = here.filter((one) => nearest(decisions.polygon(one), point) * view.scale < GRASP);
  return near[0];
}

function drag(event, moved, ended = () => {}) {
  const canvas = at("image");
  canvas.setPointerCapture(event.pointerId);
  const end = () => {
    canvas.removeEventListener("pointermove", moved);
    ended();
  };
  canvas.addEventListener("pointermove", moved);
  canvas.addEventListener("pointerup", end, { once: true });
}

// Beginning.

const open = { proposal: showProposal, series: showSeries };

async function list() {
  await listStudies(at("studies"), at("where"), (kind, ...what) => open[kind](...what).catch(fail));
}

async function start() {
  at("reviewer").value = localStorage.getItem("preread reviewer") ?? "";
  listenTo(KEYS, at("keys"), fail);
  at("ask-slice").addEventListener("click", () => ask(false));
  at("ask-series").addEventListener("click", () => ask(true));
  at("accept-all").addEventListener("click", () => decideRest("accept"));
  at("reject-all").addEventListener("click", () => decideRest("reject"));
  at("review").addEventListener("submit", store);
  at("reload").addEventListener("click", () => showProposal(proposal.SOPInstanceUID).catch(fail));
  at("image").addEventListener("wheel", onWheel, { passive: false });
  at("image").addEventListener("pointerdown", onPointerDown);
  addEventListener("beforeunload", (event) => {
    if (decisions?.changed) event.preventDefault();
  });
  describe();
  await list();
  const wanted = new URLSearchParams(location.search).get("proposal");
  if (wanted) await showProposal(wanted);
  document.body.dataset.ready = "yes";
}

start().catch(fail);
