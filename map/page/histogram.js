// The histogram of capture times, on which a range can be drawn.

const BARS = 60;
const DAY = 86400;

export class Histogram {
  /** `choose(from, to)` receives seconds, from the first second of a day to the last one of a day. */
  constructor(canvas, choose) {
    this.canvas = canvas;
    this.bars = [];
    this.range = [null, null];
    this.listen(choose);
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** Counts the images, at least one of which has a time. */
  load({ time, head, rows }) {
    let [first, last] = [Infinity, -Infinity];
    for (let row = 0; row < rows; row++) {
      if (time[row] === head.missing.time) continue;
      first = Math.min(first, time[row]);
      last = Math.max(last, time[row]);
    }
    this.first = Math.floor(first / DAY) * DAY;
    this.last = Math.floor(last / DAY) * DAY + DAY - 1;
    this.bars = new Uint32Array(BARS);
    const width = (this.last + 1 - this.first) / BARS;
    for (let row = 0; row < rows; row++) {
      if (time[row] !== head.missing.time) this.bars[Math.floor((time[row] - this.first) / width)]++;
    }
  }

  listen(choose) {
    let start = null;
    const second = (event) => {
      const box = this.canvas.getBoundingClientRect();
      const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      return this.first + part * (this.last - this.first);
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      start = second(event);
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (start === null) return;
      const [from, to] = [start, second(event)].sort((a, b) => a - b);
      choose(Math.floor(from / DAY) * DAY, Math.floor(to / DAY) * DAY + DAY - 1);
    });
    const end = () => (start = null);
    this.canvas.addEventListener("pointerup", end);
    this.canvas.addEventListener("pointercancel", end);
    this.canvas.addEventListener("dblclick", () => choose(null, null));
  }

  draw() {
    const { canvas, bars } = this;
    const ratio = window.devicePixelRatio;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (width === 0) return;
    [canvas.width, canvas.height] = [width * ratio, height * ratio];
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    const most = Math.max(...bars);
    const step = width / BARS;
    const [from, to] = [this.range[0] ?? this.first, this.range[1] ?? this.last];
    bars.forEach((count, at) => {
      if (count === 0) return;
      const [begin, end] = [at, at + 1].map((edge) => this.first + ((this.last - this.first) * edge) / BARS);
      const inside = end > from && begin < to;
      context.fillStyle = style.getPropertyValue(inside ? "--accent" : "--bar");
      context.globalAlpha = inside ? 0.85 : 0.45;
      // A square root, so that rare days stay visible.
      const tall = Math.max(2, Math.sqrt(count / most) * (height - 2));
      context.fillRect(at * step + 0.5, height - tall, Math.max(1, step - 1), tall);
    });
    context.globalAlpha = 1;
    context.fillStyle = style.getPropertyValue("--line");
    context.fillRect(0, height - 1, width, 1);
  }
}
