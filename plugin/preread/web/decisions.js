// What a reviewer decides of a proposal's regions, before it is sent.

const WORDS = { accept: "accepted", reject: "rejected" };

export class Decisions {
  constructor(proposal) {
    this.proposal = proposal;
    this.verdicts = new Map();
    this.edited = new Map();
    const last = proposal.Reviews.at(-1);
    for (const { Region, Decision, Polygon } of last ? last.Decisions : []) {
      this.verdicts.set(Region, Decision);
      if (Polygon) this.edited.set(Region, Polygon);
    }
    this.changed = false;
    this.isBeingStored = false; // what is decided meanwhile would be lost
  }

  /** proposed, accepted or rejected. */
  status(number) {
    return WORDS[this.verdicts.get(number)] ?? "proposed";
  }

  polygon(region) {
    return this.edited.get(region.Number) ?? region.Polygon;
  }

  decide(number, verdict) {
    if (this.isBeingStored) return;
    if (verdict) this.verdicts.set(number, verdict);
    else this.verdicts.delete(number);
    this.changed = true;
  }

  edit(number, polygon) {
    if (this.isBeingStored) return;
    this.edited.set(number, polygon);
    this.decide(number, "accept");
  }

  restore(number) {
    if (this.isBeingStored) return;
    this.edited.delete(number);
    this.changed = true;
  }

  decideRest(verdict) {
    for (const region of this.proposal.Regions) {
      if (!this.verdicts.has(region.Number)) this.decide(region.Number, verdict);
    }
  }

  get missing() {
    return this.proposal.Regions.length - this.verdicts.size;
  }

  /** The body of POST .../review. */
  body(reviewer, comment) {
    const rounded = (polygon) =>
      polygon.map((point) => point.map((value) => Math.round(1000 * value) / 1000));
    const regions = [...this.verdicts].map(([number, verdict]) => {
      const line = verdict === "accept" ? this.edited.get(number) : undefined;
      return { Region: number, Decision: verdict, ...(line && { Polygon: rounded(line) }) };
    });
    return {
      Version: this.proposal.Version,
      Reviewer: reviewer,
      Comment: comment,
      Regions: regions,
    };
  }
}
