// Which images are shown.

const ALL = { from: null, to: null, kind: "all", owner: -1, organization: -1, camera: -1, quality: 0, detection: -1 };

export class Filters {
  constructor(images) {
    this.images = images;
    this.mask = null;
    this.set(ALL);
  }

  /** Sets some of the filters. Times are seconds, inclusive; `null` is open. Numbers are those of columns, -1 for all. */
  set(changes) {
    Object.assign(this, changes);
    if (this.detection < 0) this.mask = null;
  }

  reset() {
    this.set(ALL);
  }

  isActive() {
    return Object.entries(ALL).some(([name, value]) => this[name] !== value);
  }

  /** The accepted kinds as bits. Images of an unknown kind are neither flat nor panoramas. */
  kindBits() {
    return { all: 0b1111, flat: 0b0110, pano: 0b1000 }[this.kind];
  }

  /** The accepted times. An image without a time is only accepted if both ends are open. */
  times() {
    const { missing } = this.images.head;
    if (this.from === null && this.to === null) return [0, missing.time];
    return [this.from ?? 0, Math.min(this.to ?? missing.time - 1, missing.time - 1)];
  }

  /** A function that tells whether a row is shown. */
  predicate() {
    const { time, kind, owner, organization, camera, quality, head } = this.images;
    const [from, to] = this.times();
    const bits = this.kindBits();
    const wants = { owner: this.owner, organization: this.organization, camera: this.camera, quality: this.quality };
    const { mask } = this;
    return (row) =>
      (mask === null || mask[row] === 1) &&
      time[row] >= from && time[row] <= to &&
      (bits >> kind[row]) & 1 &&
      (wants.owner < 0 || owner[row] === wants.owner) &&
      (wants.organization < 0 || organization[row] === wants.organization) &&
      (wants.camera < 0 || camera[row] === wants.camera) &&
      (wants.quality === 0 || (quality[row] >= wants.quality && quality[row] < head.missing.quality));
  }

  /** Number of images and of sequences that are shown. */
  count() {
    const { sequence, rows } = this.images;
    const accepts = this.predicate();
    let [shown, sequences, last] = [0, 0, -1];
    for (let row = 0; row < rows; row++) {
      if (!accepts(row)) continue;
      shown++;
      if (sequence[row] !== last) sequences++;
      last = sequence[row];
    }
    return { shown, sequences };
  }
}
