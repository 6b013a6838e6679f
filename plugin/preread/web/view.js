// A frame on the canvas, under a window, with its regions.

export const COLOURS = { proposed: "#ff4d4d", accepted: "#2ecc71", rejected: "#9a9a9a" };
const HANDLE = 7;

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.plane = document.createElement("canvas");
    this.window = { center: 0, width: 1 };
    this.slice = null;
    this.lines = [];
    this.table = new Uint32Array(65536);
    this.drawn = 0;
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** Show a frame with lines: `{polygon, colour, selected, handles}` in its pixels. */
  show(slice, window, lines) {
    const is_new = slice !== this.slice;
    const { center, width } = this.window;
    this.window = { ...window };
    if (is_new || center !== window.center || width !== window.width) {
      this.slice = slice;
      this.#expose();
    }
    this.lines = lines;
    this.draw();
  }

  /** Column and row under a place of the page; whole numbers are the centres of pixels. */
  toImage(event) {
    const box = this.canvas.getBoundingClientRect();
    const { scale, across, down } = this.#fit(box.width, box.height);
    return [
      (event.clientX - box.left - across) / scale - 0.5,
      (event.clientY - box.top - down) / (scale * this.slice.aspect) - 0.5,
    ];
  }

  /** Pixels of the page for one pixel of the frame. */
  get scale() {
    return this.#fit(this.canvas.clientWidth, this.canvas.clientHeight).scale;
  }

  #fit(width, height) {
    const { columns, rows, aspect } = this.slice;
    const scale = Math.min(width / columns, height / (rows * aspect));
    return {
      scale,
      across: (width - scale * columns) / 2,
      down: (height - scale * rows * aspect) / 2,
    };
  }

  /** Turn values into grey, PS3.3 C.11.2.1.2, by a table of all that a pixel can be. */
  #expose() {
    const { columns, rows, values, picture, slope, intercept, inverted } = this.slice;
    this.plane.width = columns;
    this.plane.height = rows;
    const context = this.plane.getContext("2d", { alpha: false });
    if (!values) {
      context.drawImage(picture, 0, 0);
      return;
    }
    const { center, width } = this.window;
    for (let stored = -32768; stored < 32768; stored++) {
      const value = stored * slope + intercept;
      const share = (value - (center - 0.5)) / Math.max(width - 1, 1e-6) + 0.5;
      const grey = Math.round(255 * Math.min(1, Math.max(0, inverted ? 1 - share : share)));
      this.table[stored & 0xffff] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
    }
    const image = context.createImageData(columns, rows);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < values.length; i++) pixels[i] = this.table[values[i] & 0xffff];
    context.putImageData(image, 0, 0);
  }

  draw() {
    const { canvas, context } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    if (!this.slice) return;
    const { scale, across, down } = this.#fit(width, height);
    const tall = scale * this.slice.aspect;
    context.drawImage(
      this.plane,
      across,
      down,
      scale * this.slice.columns,
      tall * this.slice.rows,
    );
    for (const line of this.lines) this.#line(line, scale, tall, across, down);
    this.drawn += 1;
  }

  #line({ polygon, colour, selected, handles }, scale, tall, across, down) {
    const { context } = this;
    const points = polygon.map(([c, r]) => [across + (c + 0.5) * scale, down + (r + 0.5) * tall]);
    context.beginPath();
    for (const [x, y] of points) context.lineTo(x, y);
    context.closePath();
    context.strokeStyle = colour;
    context.lineWidth = selected ? 2.5 : 1.25;
    context.stroke();
    if (!handles) return;
    context.fillStyle = colour;
    const every = Math.max(1, Math.floor(points.length / 24));
    for (let i = 0; i < points.length; i += every) {
      context.fillRect(points[i][0] - HANDLE / 2, points[i][1] - HANDLE / 2, HANDLE, HANDLE);
    }
  }
}
