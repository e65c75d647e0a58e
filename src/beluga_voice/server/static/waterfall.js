// Shows where the time of each turn went: one row for each of the last turns, and one that grows.
//
// The session measures a turn when its answer begins to sound. Until then the row of the coming
// turn is filled by the page's own clock, from what it is told and from the quiet of the microphone;
// the session's numbers take its place.

const SHOWN_TURNS = 8;
const MAX_LATENCIES = 500;
const PARTS = ["endpointing", "transcription", "thinking", "synthesis", "delivery", "playout"];
const MIN_WIDEST = 1000; // milliseconds that fill a row while there is no turn to compare with

export class Waterfall {
  constructor({ rows, scale }) {
    this.rows = rows;
    this.scale = scale;
    this.clear();
  }

  clear() {
    this.turns = 0;
    this.latencies = [];
    this.coming = undefined;
    this.rows.replaceChildren();
    this.live = undefined;
    this.showMedian();
  }

  get median() {
    const sorted = [...this.latencies].sort((a, b) => a - b);
    const middle = Math.floor(sorted.length / 2);
    if (sorted.length % 2) return sorted[middle];
    return sorted.length ? (sorted[middle - 1] + sorted[middle]) / 2 : undefined;
  }

  // ── the coming turn ────────────────────────────────────────────────────────────────────────

  // The person has been quiet for so long, and may be done.
  pausing(milliseconds, now) {
    if (this.coming && !this.isPausing) return;
    this.coming ??= { parts: {}, part: "endpointing", since: now };
    this.coming.parts.endpointing = milliseconds;
    this.coming.since = now;
    this.grow(now);
  }

  // No turn is coming any more.
  stop() {
    this.coming = undefined;
    this.live?.item.remove();
    this.live = undefined;
  }

  // The person goes on, or nobody answers: there is nothing to wait for.
  forget() {
    if (!this.coming) return;
    this.coming = undefined;
    this.grow();
  }

  get isPausing() {
    return this.coming?.part === "endpointing";
  }

  // The turn is over: an answer is due, and this is what it waits for first.
  begin(part, now) {
    this.coming ??= { parts: {}, part: undefined, since: now };
    this.enter(part, now);
  }

  // What an answer that is due waits for from now on; never a part that is over.
  reach(part, now) {
    if (this.coming && !this.isPausing) this.enter(part, now);
  }

  enter(part, now) {
    const { coming } = this;
    if (PARTS.indexOf(part) <= PARTS.indexOf(coming.part)) return;
    if (coming.part) coming.parts[coming.part] = this.partAt(now);
    coming.part = part;
    coming.since = now;
    coming.parts[part] = 0;
    this.grow(now);
  }

  partAt(now) {
    const { parts, since } = this.coming;
    return this.isPausing ? parts.endpointing : (now - since) * 1000;
  }

  grow(now) {
    this.live ??= this.newRow();
    const row = this.live;
    row.title.textContent = "Next";
    if (!this.coming) {
      row.item.classList.remove("growing");
      row.total.textContent = "–";
      row.parts.textContent = "";
      row.bar.replaceChildren();
      row.item.dataset.total = 0;
      return;
    }
    const { coming } = this;
    coming.parts[coming.part] = this.partAt(now);
    const parts = Object.entries(coming.parts).map(([name, ms]) => ({ name, ms }));
    const total = parts.reduce((sum, { ms }) => sum + ms, 0);
    row.item.classList.add("growing");
    row.item.dataset.total = total;
    row.total.textContent = `${Math.round(total)} ms`;
    row.parts.textContent = `${coming.part}…`;
    this.fill(row.bar, parts);
    this.rescale();
  }

  // ── the turns that were measured ───────────────────────────────────────────────────────────

  add(event) {
    this.coming = undefined;
    this.turns += 1;
    this.latencies.push(event.total_ms);
    if (this.latencies.length > MAX_LATENCIES) this.latencies.shift();
    const row = this.live ?? this.newRow();
    this.live = undefined;
    row.item.classList.remove("growing");
    row.item.dataset.total = event.total_ms;
    row.title.textContent = `Turn ${this.turns}`;
    row.total.textContent = `${Math.round(event.total_ms)} ms`;
    const { parts, missing } = partsOf(event);
    row.parts.replaceChildren(
      ...parts.map(({ name, shown }) => {
        const number = document.createElement("span");
        number.className = `p-${name}`;
        number.title = name;
        number.textContent = shown;
        return number;
      }),
    );
    const said = parts.map(({ name, shown }) => `${name} ${shown}`);
    if (missing.length) {
      const line = document.createElement("p");
      line.className = "unmeasured";
      line.textContent = `not measured: ${missing.join("; ")}`;
      row.item.append(line);
    }
    row.bar.setAttribute("role", "img");
    row.bar.setAttribute("aria-label", `${Math.round(event.total_ms)} milliseconds: ${said.join(", ")}`);
    this.fill(row.bar, parts);
    while (this.rows.childElementCount > SHOWN_TURNS) this.rows.lastElementChild.remove();
    this.grow();
    this.rescale();
    this.showMedian();
  }

  newRow() {
    const item = document.createElement("li");
    const head = document.createElement("div");
    head.className = "turn-head";
    const title = document.createElement("span");
    const parts = document.createElement("span");
    parts.className = "numbers";
    parts.setAttribute("aria-hidden", "true");
    const total = document.createElement("strong");
    head.append(title, parts, total);
    const track = document.createElement("div");
    track.className = "track";
    const bar = document.createElement("div");
    bar.className = "stack";
    track.append(bar);
    item.append(head, track);
    this.rows.prepend(item);
    return { item, title, parts, total, bar };
  }

  fill(bar, parts) {
    const pieces = parts.map(({ name, ms, shown }, index) => {
      const piece = bar.children[index] ?? document.createElement("i");
      piece.className = `p-${name}`;
      piece.style.flexGrow = ms;
      piece.title = shown === undefined ? name : `${name}: ${shown} ms`;
      return piece;
    });
    bar.replaceChildren(...pieces);
  }

  rescale() {
    const rows = [...this.rows.children];
    const totals = rows.map((row) => Number(row.dataset.total));
    const widest = Math.max(...totals) || MIN_WIDEST;
    const full = this.turns ? widest : Math.max(widest, MIN_WIDEST);
    rows.forEach((row, index) => {
      row.querySelector(".stack").style.width = `${(100 * totals[index]) / full}%`;
    });
    const { median } = this;
    if (median !== undefined) this.rows.style.setProperty("--median", `${Math.min(100, (100 * median) / full)}%`);
  }

  showMedian() {
    const { median } = this;
    this.rows.classList.toggle("has-median", this.latencies.length > 1);
    this.scale.textContent =
      median === undefined ? "" : `median ${Math.round(median)} ms of ${this.turns} ${this.turns === 1 ? "turn" : "turns"}`;
  }
}

// Rounded along the way, so that the whole numbers shown add up to the total shown. The time of
// parts that were not measured is within the next one that was.
function partsOf(event) {
  let sum = 0;
  let waiting = [];
  const parts = [];
  const missing = [];
  for (const name of PARTS) {
    const ms = event[`${name}_ms`];
    if (ms === null || ms === undefined) {
      waiting.push(name);
      continue;
    }
    if (waiting.length) missing.push(`${waiting.join(" and ")} (within ${name})`);
    waiting = [];
    parts.push({ name, ms, shown: Math.round(sum + ms) - Math.round(sum) });
    sum += ms;
  }
  if (waiting.length) missing.push(waiting.join(" and "));
  return { parts, missing };
}
