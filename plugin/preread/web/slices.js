// Frames as numbers, fetched once, kept, and fetched before they are asked for.

import { call, get } from "./api.js";

const MOST_BYTES = 384 * 2 ** 20;
const AT_ONCE = 4;

/** One frame: stored values as the modality means them, or a picture where those are not to be had. */
export class Slice {
  constructor(columns, rows, values, picture, tags) {
    const number = (name, otherwise) => {
      const value = Number.parseFloat(String(tags[name] ?? "").split("\\")[0]);
      return Number.isFinite(value) ? value : otherwise;
    };
    const [down, across] = String(tags.PixelSpacing ?? "").split("\\").map(Number);
    this.columns = columns;
    this.rows = rows;
    this.values = values;
    this.picture = picture;
    this.slope = number("RescaleSlope", 1) || 1;
    this.intercept = number("RescaleIntercept", 0);
    this.inverted = tags.PhotometricInterpretation === "MONOCHROME1";
    this.aspect = down > 0 && across > 0 ? down / across : 1;
    this.tags = tags;
    this.bytes = 4 * columns * rows;
  }

  /** The window that the image asks for, or one that shows all that is in it. */
  get ownWindow() {
    const [center, width] = ["WindowCenter", "WindowWidth"].map((name) =>
      Number.parseFloat(String(this.tags[name] ?? "").split("\\")[0]),
    );
    if (Number.isFinite(center) && width > 0) return { center, width };
    let low = Infinity;
    let high = -Infinity;
    for (const value of this.values ?? [0, 255]) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    low = low * this.slope + this.intercept;
    high = high * this.slope + this.intercept;
    return { center: (low + high) / 2, width: Math.max(1, Math.abs(high - low)) };
  }
}

/** Read a portable arbitrary map of one channel (16 bits, the high byte first). */
export function readMap(buffer) {
  const head = new TextDecoder("ascii").decode(buffer.slice(0, 512));
  const end = head.indexOf("ENDHDR\n") + 7;
  const field = (name) => Number(new RegExp(`^${name} (\\d+)$`, "m").exec(head)?.[1]);
  const [columns, rows, depth, most] = ["WIDTH", "HEIGHT", "DEPTH", "MAXVAL"].map(field);
  if (end < 7 || depth !== 1 || most !== 65535) throw new Error("not a map of one channel");
  const view = new DataView(buffer, end);
  if (view.byteLength < 2 * columns * rows) throw new Error("the map is cut short");
  const values = new Int16Array(columns * rows);
  for (let i = 0; i < values.length; i++) values[i] = view.getInt16(2 * i, false);
  return { columns, rows, values };
}

async function load({ image, frame }) {
  const path = `instances/${image}`;
  const tags = get(`${path}/simplified-tags`);
  tags.catch(() => {}); // told below, unless the image fails first
  try {
    const headers = { Accept: "image/x-portable-arbitrarymap" };
    const answer = await call(`${path}/frames/${frame}/image-int16`, { headers });
    const { columns, rows, values } = readMap(await answer.arrayBuffer());
    return new Slice(columns, rows, values, null, await tags);
  } catch {
    // Colour, or an encoding that Orthanc does not give as numbers.
    const answer = await call(`${path}/frames/${frame}/preview`);
    const picture = await createImageBitmap(await answer.blob());
    return new Slice(picture.width, picture.height, null, picture, await tags);
  }
}

/** The frames of a series, nearest first, as many as memory allows. */
export class Stack {
  constructor(places) {
    this.places = places;
    this.kept = new Map(); // by place, those on their way among them
    this.failed = new Set(); // not fetched again unless somebody looks there
    this.bytes = 0;
    this.fetched = 0;
    this.busy = 0;
    this.at = 0;
    this.step = 1;
    this.onprogress = () => {};
  }

  get length() {
    return this.places.length;
  }

  /** How many frames are here: not those that are still on their way. */
  get here() {
    let count = 0;
    for (const entry of this.kept.values()) if (entry.slice) count += 1;
    return count;
  }

  /** The frame if it is here, and at once. */
  ready(index) {
    return this.kept.get(index)?.slice;
  }

  async get(index) {
    const entry = this.kept.get(index) ?? this.#fetch(index);
    this.kept.delete(index);
    this.kept.set(index, entry); // the latest used comes last
    return entry.promise;
  }

  /** Say which frame is looked at: what lies ahead is fetched first. */
  around(index) {
    if (index !== this.at) this.step = Math.sign(index - this.at);
    this.at = index;
    this.#ahead();
  }

  stop() {
    this.places = [];
  }

  #fetch(index) {
    const entry = { slice: null, promise: null };
    this.busy += 1;
    this.fetched += 1;
    this.kept.set(index, entry);
    entry.promise = load(this.places[index]).then(
      (slice) => {
        entry.slice = slice;
        this.bytes += slice.bytes;
        this.#shrink();
        return slice;
      },
      (error) => {
        this.kept.delete(index);
        this.failed.add(index);
        throw error;
      },
    );
    entry.promise
      .catch(() => {})
      .finally(() => {
        this.busy -= 1;
        this.onprogress();
        this.#ahead();
      });
    return entry;
  }

  #ahead() {
    while (this.busy < AT_ONCE) {
      const next = this.#next();
      if (next === undefined) return;
      this.#fetch(next);
    }
  }

  #next() {
    if (this.bytes > 0.8 * MOST_BYTES) return undefined;
    for (let away = 0; away < this.length; away++) {
      for (const index of [this.at + away * this.step, this.at - away * this.step]) {
        const is_there = index >= 0 && index < this.length;
        if (is_there && !this.kept.has(index) && !this.failed.has(index)) return index;
      }
    }
    return undefined;
  }

  #shrink() {
    for (const [index, entry] of this.kept) {
      if (this.bytes <= MOST_BYTES) return;
      if (entry.slice && index !== this.at) {
        this.kept.delete(index);
        this.bytes -= entry.slice.bytes;
      }
    }
  }
}
