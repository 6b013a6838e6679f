// "AI ROI": asking for a network to look for regions, and telling how that fares.

import { get, post, Refused } from "./api.js";
import { countSkipped } from "./skipped.js";

const POLL = 500; // milliseconds
const UNDER_WAY = { pending: "waits for its turn", running: "is being looked at" };

export class Asking {
  /**
   * @param words gets what there is to say, `progress` is shown while something is under way.
   * @param found is called with the UID of a proposal, and may give the words for it.
   */
  constructor(words, progress, found) {
    [this.words, this.progress, this.found] = [words, progress, found];
    this.latest = 0;
  }

  /** Ask about `instances` or `series` of an id, called `what`; the latest wish is watched. */
  async about(level, id, what) {
    const number = ++this.latest;
    const say = (words, isUnderWay = false) => {
      if (number !== this.latest) return;
      if (this.words.textContent !== words) this.words.textContent = words;
      this.progress.hidden = !isUnderWay;
    };
    try {
      const path = `preread/${level}/${encodeURIComponent(id)}/propose`;
      let task = await post(path, { Asynchronous: true });
      while (task.State in UNDER_WAY) {
        if (number !== this.latest) return;
        const again = task.Reason ? ` (again, after: ${task.Reason})` : "";
        say(`AI ROI: ${what} ${UNDER_WAY[task.State]}${again}`, true);
        await new Promise((resolve) => setTimeout(resolve, POLL));
        const { Tasks } = await get(path);
        task = Tasks.find((one) => one.ID === task.ID);
        if (!task) throw new Refused(404, "it is not stored any more");
      }
      // Shown before it is told: who reads of regions may decide about them at once.
      if (number === this.latest && task.Proposal) await this.found(task.Proposal);
      say(`AI ROI: ${what}: ${outcome(task)}`);
    } catch (error) {
      const failed = error instanceof Refused ? "" : "this page has failed: ";
      say(`AI ROI: ${what}: ${failed}${error.message}`);
    }
  }
}

function outcome({ State, Reason, Regions, DnnUID, Skipped }) {
  if (State === "failed") return `failed: ${Reason}`;
  if (State !== "done") return `not looked at: ${Reason}`;
  const skipped = countSkipped(Skipped);
  if (!Regions) return `no region found by the network ${DnnUID}${skipped}`;
  return (Regions === 1 ? "1 region found" : `${Regions} regions found`) + skipped;
}
