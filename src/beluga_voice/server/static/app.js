// The page: wires the call to what is seen, and keeps what is seen bounded.

import { Call } from "./call.js";
import { Timeline, clock } from "./timeline.js";

const MAX_BUBBLES = 200;
const SHOWN_TURNS = 5;
const MAX_LATENCIES = 500;
const PARTS = ["endpointing", "transcription", "thinking", "synthesis", "delivery"];
const STATES = {
  off: "Not in a call",
  connecting: "Connecting",
  connected: "Ready",
  idle: "Ready",
  speaking: "Listening",
  processing: "Thinking",
  responding: "Speaking",
  reconnecting: "Reconnecting",
  disconnected: "Not in a call",
  error: "Trouble",
};
const MICROPHONE = {
  NotAllowedError: ["The microphone is blocked", "Allow it in the address bar, then try again. Typing works meanwhile."],
  NotFoundError: ["No microphone was found", "Plug one in, then try again. Typing works meanwhile."],
  NotReadableError: ["The microphone is in use", "Close the program that uses it, then try again. Typing works meanwhile."],
  SecurityError: ["Browsers give no microphone to this page", "Open it over https, or on localhost. Typing works meanwhile."],
  Ended: ["The microphone was unplugged", "Plug it in and start a new call. Typing works meanwhile."],
};

const $ = (id) => document.getElementById(id);
const timeline = new Timeline($("timeline"));

let call;
let token = "";
let ticking;
let pendingTexts = [];
let counts;
let responses = new Map();
let interim;

// ── the call ─────────────────────────────────────────────────────────────────────────────────

async function startCall({ withMicrophone }) {
  if (call && !call.isOver) return;
  resetCounts();
  call = new Call({ token });
  const own = call;
  const on = (type, act) =>
    own.addEventListener(type, ({ detail }) => {
      if (own === call) act(detail);
    });
  on("started", started);
  on("happened", happened);
  on("refused", refused);
  on("over", over);
  on("nomicrophone", ({ name }) => noMicrophone(name));
  on("recorded", ({ peak }) => timeline.hearCaller(peak));
  on("played", ({ peak }) => timeline.hearAgent(peak));
  on("cleared", ({ unplayed }) => {
    if (unplayed.length > 0) timeline.cut({ peaks: unplayed });
  });
  showState("connecting");
  showControls();
  try {
    await own.open({ withMicrophone });
  } catch (error) {
    // The browser gives up loading a worklet when the server is not there.
    const isServerGone = error.name === "AbortError";
    own.finish({ wasAsked: !isServerGone, code: 1006 });
    if (!isServerGone) toast("The call could not be started", `The browser says: ${error.message}`);
  }
}

function started() {
  timeline.start();
  showState("idle");
  showControls();
  $("clock").textContent = "0:00";
  ticking = setInterval(tick, 500);
  for (const text of pendingTexts) call.sendText(text);
  pendingTexts = [];
}

function over({ wasAsked, wasStarted, code, reason }) {
  clearInterval(ticking);
  timeline.stop();
  tick();
  dropInterim();
  showState("off");
  showControls();
  const again = { label: "Reconnect", act: () => startCall({ withMicrophone: true }) };
  if (wasAsked || code === 1000) return;
  if (call.wasRefused) return;
  if (code === 1001 || wasStarted) {
    toast("The server is gone", "The call was lost. It can be started again when the server is back.", again);
  } else {
    toast("The server does not answer", `Check that it is running${reason ? ` (${reason})` : ""}, then try again.`, again);
  }
}

function refused({ code, message, is_fatal: isFatal }) {
  call.wasRefused ||= isFatal;
  const titles = {
    server_full: "All lines are busy",
    server_stopping: "The server is stopping",
    idle: "The call was ended",
    too_fast: "Too much was sent",
    session_failed: "The call could not go on",
  };
  const again = { label: "Reconnect", act: () => startCall({ withMicrophone: true }) };
  toast(titles[code] ?? "The server refused a message", capital(message), isFatal ? again : undefined);
}

function noMicrophone(name) {
  const [title, text] = MICROPHONE[name] ?? ["The microphone does not work", "Try again. Typing works meanwhile."];
  toast(title, text);
  showControls();
  $("entry").focus();
}

// ── what happens in it ───────────────────────────────────────────────────────────────────────

function happened(event) {
  switch (event.type) {
    case "state_changed":
      showState(event.state);
      break;
    case "transcription":
      transcribed(event);
      break;
    case "agent_response_started":
      response(event.response_id);
      break;
    case "agent_response_text":
      addWords(event.response_id, event.delta);
      break;
    case "agent_response_ended":
      endResponse(event);
      break;
    case "turn_measured":
      measured(event);
      break;
    case "barged_in":
      counts.barges += 1;
      note(`You took the floor; the agent was silent ${Math.round(event.decision_ms)} ms after your first sound.`);
      break;
    case "function_called":
      note(`Uses ${event.name}…`, event.call_id);
      break;
    case "function_answered":
      note(`${event.is_error ? "Failed" : "Used"} ${event.name}, ${Math.round(event.duration_ms)} ms.`, event.call_id);
      break;
    case "error_occurred":
      toast(event.is_fatal ? "The call could not go on" : "Something failed", capital(event.message));
      break;
    case "reconnecting":
      toast("The service was lost", `A new connection is being made, attempt ${event.attempt}.`);
      break;
    default:
      break;
  }
  showCounts();
}

function transcribed({ utterance_id: id, text, is_final: isFinal }) {
  if (!text && isFinal) {
    dropInterim();
    return;
  }
  if (!interim || interim.id !== id) {
    dropInterim();
    interim = { id, bubble: bubble("you interim") };
    interim.bubble.setAttribute("aria-hidden", "true");
  }
  keepAtEnd(() => {
    interim.bubble.textContent = text;
  });
  if (isFinal) {
    interim.bubble.classList.remove("interim");
    interim.bubble.removeAttribute("aria-hidden");
    interim = undefined;
    speak(`You: ${text}`);
  }
}

function dropInterim() {
  interim?.bubble.remove();
  interim = undefined;
}

function response(id) {
  let entry = responses.get(id);
  if (!entry) {
    entry = { bubble: bubble("agent pending") };
    responses.set(id, entry);
    if (responses.size > 20) responses.delete(responses.keys().next().value);
  }
  return entry;
}

function addWords(id, delta) {
  const { bubble: element } = response(id);
  element.classList.remove("pending");
  keepAtEnd(() => element.append(delta));
}

function endResponse({ response_id: id, outcome, text, heard_text: heard, generated_ms: made, heard_ms: heardMs }) {
  const { bubble: element } = response(id);
  element.classList.remove("pending");
  responses.delete(id);
  if (!text) {
    element.remove();
    return;
  }
  keepAtEnd(() => {
    element.textContent = text;
    if (outcome === "heard") return;
    const split = splitAt(text, heard);
    const rest = document.createElement("s");
    rest.className = "unheard";
    rest.textContent = text.slice(split);
    const label = document.createElement("small");
    label.textContent =
      outcome === "failed"
        ? "not finished"
        : `cut after ${(heardMs / 1000).toFixed(1)} of ${(made / 1000).toFixed(1)} s`;
    element.replaceChildren(text.slice(0, split), rest, label);
    element.classList.add("cut");
  });
  if (outcome === "cut") timeline.cut({ milliseconds: made - heardMs });
  speak(`Agent: ${heard || text}`);
}

// Where the heard words end in all the words; white space may differ between the two.
function splitAt(text, heard) {
  let at = 0;
  for (const letter of heard.replace(/\s+/g, "")) {
    while (at < text.length && /\s/.test(text[at])) at += 1;
    if (!text.startsWith(letter, at)) break;
    at += letter.length;
  }
  return at;
}

// ── the transcript ───────────────────────────────────────────────────────────────────────────

function bubble(kind) {
  const element = document.createElement("p");
  element.className = `bubble ${kind}`;
  append(element);
  return element;
}

function note(text, key) {
  const old = key && document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  const element = old || document.createElement("p");
  element.className = "note";
  element.textContent = text;
  if (key) element.dataset.key = key;
  if (!old) append(element);
}

// What led to a response stands before it, though the response was announced earlier.
function append(element) {
  $("welcome")?.remove();
  keepAtEnd(() => {
    const box = $("transcript");
    const last = box.lastElementChild;
    if (last?.classList.contains("pending")) last.before(element);
    else box.append(element);
    while (box.childElementCount > MAX_BUBBLES) box.firstElementChild.remove();
  });
}

// Somebody who scrolled back to read is not torn away.
function keepAtEnd(change) {
  const box = $("transcript");
  const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
  change();
  if (isAtEnd) box.scrollTop = box.scrollHeight;
}

function speak(text) {
  const line = document.createElement("p");
  line.textContent = text;
  const box = $("spoken");
  box.append(line);
  while (box.childElementCount > 5) box.firstElementChild.remove();
}

// ── numbers ──────────────────────────────────────────────────────────────────────────────────

function resetCounts() {
  counts = { turns: 0, barges: 0, latencies: [], widest: 1000 };
  responses = new Map();
  interim = undefined;
  $("turns").replaceChildren();
  $("turns-empty").hidden = false;
  showCounts();
}

function measured(event) {
  counts.turns += 1;
  counts.latencies.push(event.total_ms);
  if (counts.latencies.length > MAX_LATENCIES) counts.latencies.shift();
  timeline.waited(event.total_ms);
  showTurn(event);
}

// Rounded along the way, so that the whole numbers shown add up to the total shown.
function partsOf(event) {
  let sum = 0;
  const parts = [];
  for (const name of PARTS) {
    const ms = event[`${name}_ms`];
    if (ms === null || ms === undefined) continue;
    parts.push({ name, ms, shown: Math.round(sum + ms) - Math.round(sum) });
    sum += ms;
  }
  return parts;
}

function showTurn(event) {
  $("turns-empty").hidden = true;
  const parts = partsOf(event);
  const item = document.createElement("li");
  item.dataset.total = event.total_ms;
  const head = document.createElement("div");
  head.className = "turn-head";
  const title = document.createElement("span");
  title.textContent = `Turn ${counts.turns}`;
  const total = document.createElement("strong");
  total.textContent = milliseconds(event.total_ms);
  head.append(title, total);
  const bar = document.createElement("div");
  bar.className = "stack";
  bar.setAttribute("role", "img");
  bar.setAttribute(
    "aria-label",
    `${Math.round(event.total_ms)} milliseconds: ${parts.map(({ name, shown }) => `${name} ${shown}`).join(", ")}`,
  );
  const numbers = document.createElement("div");
  numbers.className = "numbers";
  numbers.setAttribute("aria-hidden", "true");
  for (const { name, ms, shown } of parts) {
    const piece = document.createElement("i");
    piece.className = `p-${name}`;
    piece.style.flexGrow = ms;
    piece.title = `${name}: ${shown} ms`;
    bar.append(piece);
    const number = document.createElement("span");
    number.className = `p-${name}`;
    number.title = name;
    number.textContent = shown;
    numbers.append(number);
  }
  item.append(head, bar, numbers);
  $("turns").prepend(item);
  while ($("turns").childElementCount > SHOWN_TURNS) $("turns").lastElementChild.remove();
  const rows = [...$("turns").children];
  const widest = Math.max(...rows.map((row) => Number(row.dataset.total)));
  for (const row of rows) row.querySelector(".stack").style.width = `${Math.max(4, (100 * row.dataset.total) / widest)}%`;
}

function showCounts() {
  $("m-turns").textContent = counts.turns;
  $("m-barges").textContent = counts.barges;
  $("m-dropped").textContent = call?.dropped ?? 0;
  const sorted = [...counts.latencies].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  $("m-latency").textContent = sorted.length ? milliseconds(median) : "–";
}

function milliseconds(value) {
  return `${Math.round(value)} ms`;
}

function tick() {
  $("clock").textContent = clock(timeline.now);
  showCounts();
}

// ── controls ─────────────────────────────────────────────────────────────────────────────────

function showState(state) {
  $("state").dataset.state = state === "disconnected" ? "off" : state;
  $("state-text").textContent = STATES[state] ?? state;
  const isOn = call && !call.isOver;
  $("interrupt").disabled = !(isOn && state === "responding");
}

function showControls() {
  const isOn = Boolean(call && !call.isOver);
  $("talk").setAttribute("aria-pressed", String(isOn));
  $("talk-text").textContent = isOn ? "End call" : "Start call";
  document.body.classList.toggle("in-call", isOn);
  $("mute").disabled = !(isOn && call.hasMicrophone);
  if (!isOn) $("mute").setAttribute("aria-pressed", "false");
}

function toggleMute() {
  if ($("mute").disabled) return;
  const isMuted = !call.isMuted;
  call.mute(isMuted);
  $("mute").setAttribute("aria-pressed", String(isMuted));
  const label = isMuted ? "Unmute microphone" : "Mute microphone";
  $("mute").setAttribute("aria-label", label);
  $("mute").title = `${label} (M)`;
}

function interrupt() {
  if (!$("interrupt").disabled) call.interrupt();
}

function sendTyped(event) {
  event.preventDefault();
  const text = $("entry").value.trim();
  if (!text) return;
  $("entry").value = "";
  if (call?.isStarted && !call.isOver) {
    call.sendText(text);
    return;
  }
  pendingTexts.push(text);
  startCall({ withMicrophone: false });
}

function toast(title, text, action) {
  const box = document.createElement("div");
  box.className = "toast";
  box.setAttribute("role", "alert");
  const words = document.createElement("div");
  const strong = document.createElement("strong");
  strong.textContent = title;
  const line = document.createElement("p");
  line.textContent = text;
  words.append(strong, line);
  box.append(words);
  const remove = () => box.remove();
  if (action) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "primary";
    button.textContent = action.label;
    button.onclick = () => {
      remove();
      action.act();
    };
    box.append(button);
  } else {
    setTimeout(remove, 12000);
  }
  const close = document.createElement("button");
  close.type = "button";
  close.className = "close";
  close.setAttribute("aria-label", "Dismiss");
  close.textContent = "×";
  close.onclick = remove;
  box.append(close);
  $("toasts").append(box);
  while ($("toasts").childElementCount > 3) $("toasts").firstElementChild.remove();
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

// ── who is at the other end ──────────────────────────────────────────────────────────────────

async function describe() {
  let answer;
  try {
    answer = await fetch("/config.json", { headers: token ? { Authorization: `Bearer ${token}` } : {} });
  } catch {
    toast("The server does not answer", "Check that it is running.", { label: "Try again", act: describe });
    return false;
  }
  if (answer.status === 401) {
    $("token-wrong").hidden = !token;
    if (!$("token-dialog").open) $("token-dialog").showModal();
    return false;
  }
  if (!answer.ok) {
    toast("The server refuses this page", "Open it by the address it was started with.");
    return false;
  }
  const { s2s, stt, agent, tts, has_embedded_recognition: isEmbedded } = await answer.json();
  const parts = [
    [s2s, agent ? "hears and speaks" : "hears, thinks and speaks"],
    [stt, "recognises"],
    [agent, "answers"],
    [tts, "speaks"],
  ].filter(([name]) => name);
  let text = parts.map(([name, role]) => `${name} ${role}`).join(" · ");
  if (isEmbedded) {
    text += `${text ? ". " : ""}The embedded recogniser runs offline and knows few words well; good recognition is a provider away.`;
  }
  $("footnote").textContent = text;
  return true;
}

$("talk").onclick = () => {
  if (call && !call.isOver) call.close();
  else startCall({ withMicrophone: true });
};
$("mute").onclick = toggleMute;
$("interrupt").onclick = interrupt;
$("composer").onsubmit = sendTyped;
$("token-form").onsubmit = async (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  if (await describe()) $("token-dialog").close();
};
$("token-dialog").oncancel = (event) => event.preventDefault();
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") interrupt();
  const isTyping = event.target.closest("input, dialog");
  if (event.key.toLowerCase() === "m" && !isTyping && !event.ctrlKey && !event.metaKey) toggleMute();
});
window.addEventListener("pagehide", () => call?.close());

// What the page measures, for tests and bug reports; nothing that was said.
window.beluga = {
  measure: () => ({
    isStarted: Boolean(call?.isStarted),
    isOver: call?.isOver ?? true,
    clears: call?.clears ?? 0,
    sentFrames: call?.sentFrames ?? 0,
    dropped: call?.dropped ?? 0,
    ...call?.playback,
  }),
};

resetCounts();
showState("off");
showControls();
describe();
