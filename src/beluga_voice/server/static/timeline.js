// Draws both sides of the call on one time axis that moves with the clock.
//
// Loudness is kept in bins of 20 ms, in rings of two minutes, so an hour costs what a minute does.
// What was cut is drawn where it would have sounded: hatched, with the part that had arrived. While
// it is not known whether an interruption was one, and where it was none, the gap is outlined.

const BIN_SECONDS = 0.02;
const BINS = 6000;
const MARKS = 60;
const BAR = 4; // pixels: three of bar, one of gap
const FRAME_MS = 30; // at most so often is it drawn, whatever the screen can do
const AHEAD = 0.16; // the part of the width that lies in the future
const LOUD = 0.05; // a peak that is somebody speaking, for the eye
const SAME_SECONDS = 1.5; // what is told of one silence comes within this

class Lane {
  constructor() {
    this.peaks = new Float32Array(BINS);
    this.stamps = new Int32Array(BINS).fill(-1);
    this.next = 0;
  }

  add(now, peak) {
    const bin = Math.floor(now / BIN_SECONDS);
    // Frames come in small bursts: keep them in a row while they are near the clock.
    if (Math.abs(bin - this.next) > 8) this.next = bin;
    this.peaks[this.next % BINS] = peak;
    this.stamps[this.next % BINS] = this.next;
    this.next += 1;
  }

  at(bin) {
    return bin >= 0 && this.stamps[bin % BINS] === bin ? this.peaks[bin % BINS] : 0;
  }

  loudest(from, to) {
    let peak = 0;
    for (let bin = from; bin < to; bin += 1) peak = Math.max(peak, this.at(bin));
    return peak;
  }
}

export class Timeline {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.origin = undefined;
    this.end = undefined;
    this.clear();
    this.readColours();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.readColours();
      this.draw();
    });
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  clear() {
    this.caller = new Lane();
    this.agent = new Lane();
    this.stops = [];
    this.waits = [];
    this.losses = [];
    this.marks = [];
  }

  start() {
    this.clear();
    this.origin = performance.now();
    this.end = undefined;
    const { origin } = this;
    let drawn = 0;
    const frame = (now) => {
      if (this.origin !== origin) return; // a newer call draws itself
      if (now - drawn >= FRAME_MS) {
        this.draw();
        drawn = now;
      }
      if (this.end === undefined) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  stop() {
    if (this.origin !== undefined) this.end ??= this.now;
    this.draw();
  }

  get now() {
    if (this.end !== undefined) return this.end;
    return this.origin === undefined ? 0 : (performance.now() - this.origin) / 1000;
  }

  hearCaller(peak) {
    this.caller.add(this.now, peak);
  }

  hearAgent(peak) {
    this.agent.add(this.now, peak);
  }

  // The agent fell silent, and these peaks had arrived.
  fellSilent(peaks) {
    let stop = this.lastStop();
    if (!stop || stop.peaks.length) stop = this.addStop();
    stop.peaks = peaks;
    stop.start = this.agent.next;
  }

  // The person spoke over the agent. Whether that was an interruption may not be known yet.
  held() {
    const stop = this.lastStop() ?? this.addStop();
    stop.isOpen = true;
  }

  // It was none: the agent goes on.
  wentOn() {
    const stop = this.stops.findLast((one) => one.isOpen);
    if (!stop) return;
    stop.isOpen = false;
    stop.pause = { from: stop.at, to: this.now };
  }

  // A response was cut, so many milliseconds before its end.
  cut(milliseconds) {
    const stop = this.stops.findLast((one) => one.isOpen) ?? this.lastStop() ?? this.addStop();
    stop.isOpen = false;
    stop.isCut = true;
    stop.bins = Math.ceil(milliseconds / 1000 / BIN_SECONDS);
  }

  lastStop() {
    const stop = this.stops.at(-1);
    return stop && !stop.isCut && !stop.pause && this.now - stop.at < SAME_SECONDS ? stop : undefined;
  }

  addStop() {
    return add(this.stops, { at: this.now, start: this.agent.next, peaks: [], bins: 0, isOpen: false, isCut: false });
  }

  // What became of each time the agent fell silent.
  get silences() {
    return this.stops.map(({ isOpen, pause }) => (pause && "pause") || (isOpen ? "open" : "cut"));
  }

  // There is no connection, until `found`.
  lost() {
    add(this.losses, { from: this.now, to: undefined });
  }

  found() {
    for (const loss of this.losses) loss.to ??= this.now;
  }

  // Something worth a word happened.
  mark(label) {
    add(this.marks, { at: this.now, label });
  }

  // For how long the person has been quiet, in milliseconds; 0 if they were not heard lately.
  get quietMilliseconds() {
    const last = this.caller.next - 1;
    const loudest = this.caller.loudest(last - 150, last + 1);
    if (loudest < LOUD) return 0;
    let bins = 0;
    while (bins < 150 && this.caller.at(last - bins) < loudest * 0.15) bins += 1;
    return bins * BIN_SECONDS * 1000;
  }

  waited(milliseconds) {
    add(this.waits, { from: this.now - milliseconds / 1000, to: this.now, milliseconds });
  }

  // ── drawing ────────────────────────────────────────────────────────────────────────────────

  readColours() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(name).trim();
    this.colours = {
      you: read("--you"),
      agent: read("--agent"),
      grid: read("--line"),
      text: read("--quiet"),
      now: read("--strong"),
      wait: read("--wait"),
      waitText: read("--wait-text"),
      both: read("--both"),
    };
    this.font = `11px ${read("--sans")}`;
    this.boldFont = `600 11px ${read("--sans")}`;
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = this.canvas.getBoundingClientRect();
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.draw();
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const width = this.canvas.width / ratio;
    const height = this.canvas.height / ratio;
    const { pen, colours } = this;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const binsPerBar = width < 520 ? 5 : 3;
    const secondsPerPixel = (binsPerBar * BIN_SECONDS) / BAR;
    const nowX = Math.round(width * (1 - AHEAD));
    const now = this.now;
    const x = (seconds) => nowX + (seconds - now) / secondsPerPixel;
    const axis = 20;
    const laneHeight = (height - axis) / 2;
    const lanes = [laneHeight / 2, laneHeight * 1.5];

    this.drawAxis({ x, width, height, axis, left: now - nowX * secondsPerPixel, secondsPerPixel });
    const lastBar = Math.floor(now / BIN_SECONDS / binsPerBar);
    const bars = Math.ceil(nowX / BAR) + 1;
    pen.fillStyle = colours.both;
    for (let bar = lastBar - bars; bar <= lastBar; bar += 1) {
      const [from, to] = [bar * binsPerBar, (bar + 1) * binsPerBar];
      if (Math.min(this.caller.loudest(from, to), this.agent.loudest(from, to)) < LOUD) continue;
      pen.fillRect(x(from * BIN_SECONDS), 4, BAR, height - axis - 8);
    }
    pen.fillStyle = colours.grid;
    for (const middle of lanes) pen.fillRect(0, middle - 0.5, nowX, 1);
    for (const loss of this.losses) this.drawLoss(loss, x, height - axis);
    for (const wait of this.waits) this.drawWait(wait, x, laneHeight);
    for (const stop of this.stops) this.drawStop(stop, x, lanes[1], laneHeight);
    this.drawMarks(x, width);

    for (const [lane, colour, middle] of [
      [this.caller, colours.you, lanes[0]],
      [this.agent, colours.agent, lanes[1]],
    ]) {
      pen.fillStyle = colour;
      pen.beginPath();
      for (let bar = lastBar - bars; bar <= lastBar; bar += 1) {
        const peak = lane.loudest(bar * binsPerBar, (bar + 1) * binsPerBar);
        if (peak < 0.004) continue;
        const size = barHeight(peak, laneHeight);
        const left = x(bar * binsPerBar * BIN_SECONDS);
        pen.roundRect(left, middle - size / 2, BAR - 1, size, 1.5);
      }
      pen.fill();
    }
    pen.fillStyle = colours.now;
    pen.globalAlpha = this.origin === undefined || this.end !== undefined ? 0.25 : 0.8;
    pen.fillRect(nowX, 4, 1.5, height - axis - 4);
    pen.globalAlpha = 1;
  }

  drawAxis({ x, width, height, axis, left, secondsPerPixel }) {
    const { pen, colours } = this;
    pen.font = this.font;
    pen.textBaseline = "middle";
    pen.textAlign = "center";
    const every = 60 * secondsPerPixel > 1 ? 2 : 1;
    const last = left + width * secondsPerPixel;
    for (let second = Math.max(0, Math.ceil(left)); second <= last; second += 1) {
      if (second % every) continue;
      pen.fillStyle = colours.grid;
      pen.fillRect(Math.round(x(second)), 0, 1, height - axis);
      pen.fillStyle = colours.text;
      if (x(second) < width - 14) pen.fillText(clock(second), x(second), height - axis / 2 + 1);
    }
  }

  drawWait({ from, to, milliseconds }, x, laneHeight) {
    const { pen, colours } = this;
    const left = x(from);
    const width = Math.max(2, x(to) - left);
    if (left + width < 0) return;
    const label = `${Math.round(milliseconds)} ms`;
    pen.fillStyle = colours.wait;
    pen.beginPath();
    pen.roundRect(left, laneHeight - 9, width, 18, 5);
    pen.fill();
    pen.font = this.boldFont;
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    pen.fillStyle = colours.waitText;
    pen.fillText(label, left + width + 5, laneHeight + 0.5);
  }

  drawLoss({ from, to }, x, height) {
    const { pen, colours } = this;
    const left = x(from);
    const width = Math.max(2, x(to ?? this.now) - left);
    if (left + width < 0) return;
    pen.globalAlpha = 0.16;
    pen.fillStyle = colours.text;
    pen.fillRect(left, 4, width, height - 8);
    pen.globalAlpha = 1;
    this.write("no connection", { left: left + 6, y: 12, room: width - 8, colour: colours.text });
  }

  drawMarks(x, width) {
    const { pen, colours } = this;
    this.marks.forEach(({ at, label }, index) => {
      const left = Math.round(x(at));
      if (left < -200) return;
      pen.fillStyle = colours.text;
      pen.fillRect(left, 4, 1, 16);
      const next = this.marks[index + 1];
      this.write(label, { left: left + 5, y: 10, room: (next ? x(next.at) : width) - left - 10, colour: colours.text });
    });
  }

  // A label where there is room for it.
  write(text, { left, y, room, colour }) {
    const { pen } = this;
    pen.font = this.font;
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    if (pen.measureText(text).width > room) return;
    pen.fillStyle = colour;
    pen.fillText(text, left, y);
  }

  drawStop(stop, x, middle, laneHeight) {
    if (stop.pause || stop.isOpen) this.drawPause(stop, x, middle, laneHeight);
    else this.drawCut(stop, x, middle, laneHeight);
  }

  drawPause(stop, x, middle, laneHeight) {
    const { pen, colours } = this;
    const left = x(stop.at);
    const width = Math.max(3, x(stop.pause?.to ?? this.now) - left);
    if (left + width < 0) return;
    const size = laneHeight * 0.56;
    pen.save();
    pen.strokeStyle = colours.agent;
    pen.lineWidth = 1.25;
    pen.setLineDash([4, 3]);
    pen.beginPath();
    pen.roundRect(left + 0.5, middle - size / 2, width - 1, size, 6);
    pen.stroke();
    pen.restore();
    pen.fillStyle = colours.agent;
    for (const offset of [-4, 1]) pen.fillRect(left + width / 2 + offset, middle - 6, 3, 12);
  }

  drawCut(cut, x, middle, laneHeight) {
    const { pen, colours } = this;
    const known = cut.peaks.length;
    let bins = Math.max(cut.bins, known);
    // It ends where the next thing the agent said begins, which is not within a fifth of a second.
    for (let bin = cut.start + 10; bin < Math.min(cut.start + bins, this.agent.next); bin += 1) {
      if (this.agent.at(bin) > 0.004 && this.agent.at(bin - 1) > 0.004) bins = bin - cut.start;
    }
    const left = x(cut.start * BIN_SECONDS);
    const width = x((cut.start + bins) * BIN_SECONDS) - left;
    if (bins <= 0 || left + width < 0) return;
    pen.save();
    pen.beginPath();
    const size = laneHeight * 0.56;
    pen.roundRect(left, middle - size / 2, width, size, 6);
    pen.clip();
    pen.globalAlpha = 0.1;
    pen.fillStyle = colours.agent;
    pen.fillRect(left, middle - size / 2, width, size);
    pen.globalAlpha = 0.45;
    pen.strokeStyle = colours.agent;
    pen.lineWidth = 1;
    pen.beginPath();
    for (let at = left - size; at < left + width; at += 7) {
      pen.moveTo(at, middle + size / 2);
      pen.lineTo(at + size, middle - size / 2);
    }
    pen.stroke();
    pen.restore();
    pen.save();
    pen.globalAlpha = 0.5;
    pen.fillStyle = colours.agent;
    for (let i = 0; i < Math.min(known, bins); i += 3) {
      const bar = barHeight(Math.max(...cut.peaks.slice(i, i + 3)), laneHeight);
      pen.fillRect(x((cut.start + i) * BIN_SECONDS), middle - bar / 2, BAR - 1, bar);
    }
    pen.globalAlpha = 1;
    pen.fillRect(left - 1, middle - size / 2 - 4, 2, size + 8);
    pen.restore();
  }
}

function add(list, item) {
  list.push(item);
  if (list.length > MARKS) list.shift();
  return item;
}

// Speech is mostly quiet: a root makes the small peaks visible and keeps the loud ones apart.
function barHeight(peak, laneHeight) {
  return Math.max(2, Math.min(1, peak) ** 0.6 * (laneHeight - 14));
}

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
