// The window that slices are shown under: the image's own, or what somebody wants instead.

const PRESETS = {
  "Of the image": null,
  Lung: { center: -500, width: 1500 },
  "Soft tissue": { center: 40, width: 400 },
  Bone: { center: 400, width: 1800 },
  Brain: { center: 40, width: 80 },
};

export class Windowing {
  /**
   * @param form has the fields `center`, `width` and `preset`.
   * @param slice gives what is shown, if anything is.
   * @param changed is called when somebody wants another window.
   */
  constructor(form, slice, changed) {
    [this.form, this.slice, this.changed] = [form, slice, changed];
    this.wanted = null; // null: that of the image
    const preset = this.#field("preset");
    for (const name of Object.keys(PRESETS)) preset.append(new Option(name, name));
    preset.addEventListener("change", () => {
      const chosen = PRESETS[preset.value];
      this.set(chosen && (() => chosen));
      preset.blur();
    });
    for (const name of ["center", "width"]) {
      const field = this.#field(name);
      field.addEventListener("input", () => this.set(() => ({ [name]: field.valueAsNumber })));
    }
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  of(slice) {
    return this.wanted ?? slice.ownWindow;
  }

  get now() {
    return this.wanted ?? this.slice()?.ownWindow;
  }

  /** Change the window by what a function makes of it; without one it is the image's again. */
  set(change) {
    const now = this.now;
    if (!now) return;
    const next = change && { ...now, ...change(now) };
    if (next && !(Number.isFinite(next.center) && next.width > 0)) return;
    this.wanted = next;
    this.changed();
  }

  reset() {
    this.wanted = null;
  }

  /** Show a window in the fields, but not in one that somebody is writing into. */
  tell({ center, width }) {
    for (const [name, value] of [["center", center], ["width", width]]) {
      const field = this.#field(name);
      if (document.activeElement !== field) field.value = String(Math.round(value * 100) / 100);
    }
  }

  #field(name) {
    return this.form.elements.namedItem(name);
  }
}
