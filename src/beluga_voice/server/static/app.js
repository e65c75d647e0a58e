// The page: wires the call to what is seen, and keeps what is seen bounded.

import { Call } from "./call.js";
import { Timeline, clock } from "./timeline.js";
import { Waterfall } from "./waterfall.js";

const MAX_BUBBLES = 200;
const PAUSE_MS = 250; // a shorter quiet is within a sentence
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
const RUNGS = {
  nudge: ["Asking the service again", "asked again"],
  swap: ["Trying another service", "another service"],
  sound: ["Still waiting", "still waiting"],
  transfer: ["Handing the call over", "handed over"],
  end: ["Giving up", "given up"],
};
const ENDS = {
  closed: "The server has ended the call.",
  failed: "The call could not go on.",
  timeout: "The call has ended: its time was over.",
  ended: "The agent has ended the call.",
  transferred: "Somebody else has the call now.",
};
const MICROPHONE = {
  NotAllowedError: ["The microphone is blocked", "Allow it in the address bar, then try again. Typing works meanwhile."],
  NotFoundError: ["No microphone was found", "Plug one in, then try again. Typing works meanwhile."],
  NotReadableError: ["The microphone is in use", "Close the program that uses it, then try again. Typing works meanwhile."],
  SecurityError: ["Browsers give no microphone to this page", "Open it over https, or on localhost. Typing works meanwhile."],
  NotStarted: ["The microphone does not start", "Look whether another program keeps the sound card. Typing works meanwhile."],
  Ended: ["The microphone was unplugged", "Plug it in and start a new call. Typing works meanwhile."],
};

const $ = (id) => document.getElementById(id);
const timeline = new Timeline($("timeline"));
const waterfall = new Waterfall({ rows: $("turns"), scale: $("turns-median") });

let call;
let token = "";
let ticking = [];
let pendingTexts = [];
let counts;
let responses = new Map();
let notes = new Map();
let interim;
let shownState = "idle";

// ── the call ─────────────────────────────────────────────────────────────────────────────────

async function startCall({ withMicrophone }) {
  if (call && !call.isOver) return;
  $("toasts").replaceChildren(); // they are about the call before
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
  on("lost", lost);
  on("resumed", resumed);
  on("transferred", ({ to }) => toast("The call goes on elsewhere", `It goes on at ${to}.`));
  on("over", over);
  on("nomicrophone", ({ name }) => noMicrophone(name));
  on("noloudspeaker", () =>
    toast("The loudspeaker does not start", "Connect one, or look whether another program keeps it. What the agent says is written here."),
  );
  on("recorded", ({ peak }) => timeline.hearCaller(peak));
  on("played", ({ peak }) => timeline.hearAgent(peak));
  on("cleared", ({ unplayed }) => {
    if (unplayed.length > 0) timeline.fellSilent(unplayed);
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
  waterfall.grow();
  shownState = "idle";
  showState("idle");
  showControls();
  $("clock").textContent = "0:00";
  ticking = [setInterval(tick, 500), setInterval(grow, 100)];
  for (const text of pendingTexts) sendText(text);
  pendingTexts = [];
}

function lost({ isMoving }) {
  showState("reconnecting");
  $("interrupt").disabled = true;
  timeline.lost();
  const text = isMoving ? "Another server takes the call over…" : "The connection was lost. Coming back to the call…";
  note(text, { key: `loss ${call.losses}`, isSpoken: true });
}

function resumed({ hasMoved }) {
  showState(shownState);
  timeline.found();
  const text = hasMoved ? "Back in the call, on another server." : "Back in the call.";
  note(text, { key: `loss ${call.losses}`, isSpoken: true });
}

function over({ wasAsked, wasStarted, code, reason }) {
  for (const one of ticking) clearInterval(one);
  timeline.found();
  timeline.stop();
  waterfall.stop();
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
    tenant_full: "You are in other calls",
    provider_full: "The speech service is busy",
    resume_refused: "The call is over",
  };
  const texts = {
    server_stopping: "It takes no more calls. Try again in a moment.",
    resume_refused: "The server does not know this call any more. Start a new one.",
  };
  const again = { label: "Reconnect", act: () => startCall({ withMicrophone: true }) };
  toast(titles[code] ?? "The server refused a message", texts[code] ?? capital(message), isFatal ? again : undefined);
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
      shownState = event.state;
      showState(event.state);
      if (event.state === "idle") waterfall.forget();
      break;
    case "user_speech_started":
      waterfall.forget();
      break;
    case "user_speech_ended":
      if (event.was_ignored) waterfall.forget();
      else waterfall.begin("transcription", timeline.now);
      break;
    case "transcription":
      transcribed(event);
      break;
    case "agent_response_started":
      response(event.response_id);
      break;
    case "agent_response_text":
      addWords(event.response_id, event.delta);
      waterfall.reach("synthesis", timeline.now);
      break;
    case "agent_response_ended":
      endResponse(event);
      break;
    case "turn_measured":
      timeline.waited(event.total_ms);
      waterfall.add(event);
      break;
    case "barged_in":
      bargedIn(event);
      break;
    case "agent_response_resumed":
      wentOn(event);
      break;
    case "function_called":
      note(`Uses ${event.name}…`, { key: event.call_id });
      break;
    case "function_answered":
      note(`${event.is_error ? "Failed" : "Used"} ${event.name}, ${Math.round(event.duration_ms)} ms.`, { key: event.call_id });
      break;
    case "error_occurred":
      toast(event.is_fatal ? "The call could not go on" : "Something failed", capital(event.message));
      break;
    default:
      waited(event);
      break;
  }
  showCounts();
}

// What is done for a person who waits, by the session or by whoever keeps its services.
function waited(event) {
  switch (event.type) {
    case "user_idle":
      timeline.mark("idle");
      note(`Nobody has said anything for ${Math.round(event.idle_ms / 1000)} s.`, { key: `idle after ${waterfall.turns}` });
      break;
    case "dead_air": {
      const [text, label] = RUNGS[event.rung] ?? ["Waiting", "waiting"];
      timeline.mark(label);
      note(`${text} (${(event.waited_ms / 1000).toFixed(0)} s without an answer).`, { key: `dead air after ${waterfall.turns}` });
      break;
    }
    case "service_switched":
      timeline.mark(event.following ?? "no service");
      note(event.following ? `${event.previous} failed; ${event.following} goes on.` : `${event.previous} failed, and no service is left.`);
      break;
    case "reconnecting":
      if (event.attempt <= 1) {
        counts.losses += 1;
        timeline.mark("service lost");
      }
      note(`The service was lost. A new connection is being made, attempt ${event.attempt}.`, { key: `service ${counts.losses}` });
      break;
    case "reconnected":
      timeline.mark("service back");
      note("The service was lost, and is back.", { key: `service ${counts.losses}` });
      break;
    case "session_ended":
      if (ENDS[event.reason]) note(ENDS[event.reason], { isSpoken: true });
      break;
    default:
      break;
  }
}

// It may be an interruption, or not: a response that was cut ends, another one goes on.
function bargedIn({ response_id: id, decision_ms: decisionMs }) {
  counts.barges += 1;
  timeline.held();
  const entry = responses.get(id);
  if (!entry) return;
  entry.bubble.classList.add("paused");
  entry.silence = `the agent fell silent ${Math.round(decisionMs)} ms after your first sound.`;
  entry.note = note(capital(entry.silence));
}

function wentOn({ response_id: id, paused_ms: pausedMs }) {
  counts.barges -= 1;
  timeline.wentOn();
  const entry = responses.get(id);
  if (!entry?.note) return;
  entry.bubble.classList.remove("paused");
  entry.note.textContent = `That was no interruption: the agent went on after ${Math.round(pausedMs)} ms.`;
  entry.note = undefined;
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
    waterfall.reach("thinking", timeline.now);
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
  const { bubble: element, note: barge, silence } = response(id);
  element.classList.remove("pending", "paused");
  if (barge && outcome === "cut") barge.textContent = `You took the floor; ${silence}`;
  responses.delete(id);
  if (!text) {
    element.remove();
    return;
  }
  keepAtEnd(() => {
    element.textContent = text;
    const split = splitAt(text, heard);
    if (outcome === "heard" || !text.slice(split).trim()) return;
    const rest = document.createElement("s");
    rest.className = "unheard";
    rest.textContent = text.slice(split).trimEnd();
    const label = document.createElement("small");
    label.textContent =
      outcome === "failed"
        ? "not finished"
        : `cut after ${(heardMs / 1000).toFixed(1)} of ${(made / 1000).toFixed(1)} s`;
    element.replaceChildren(text.slice(0, split), rest, label);
    element.classList.add("cut");
  });
  if (outcome === "cut") timeline.cut(made - heardMs);
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

// A note with a key takes the place of the one before it.
function note(text, { key, isSpoken } = {}) {
  const old = key && notes.get(key);
  const element = old || document.createElement("p");
  element.className = "note";
  element.textContent = text;
  if (!old) append(element);
  if (key) notes.set(key, element);
  if (notes.size > 20) notes.delete(notes.keys().next().value);
  if (isSpoken) speak(text);
  return element;
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
  counts = { barges: 0, losses: 0 };
  responses = new Map();
  notes = new Map();
  interim = undefined;
  waterfall.clear();
  showCounts();
}

function showCounts() {
  const { turns, median } = waterfall;
  $("turns-empty").hidden = turns > 0;
  $("m-turns").textContent = turns;
  $("m-barges").textContent = counts.barges;
  $("m-dropped").textContent = call?.dropped ?? 0;
  $("m-latency").textContent = median === undefined ? "–" : `${Math.round(median)} ms`;
}

// The row of the coming turn follows the clock. Until the turn is over, all that is known of it is
// that the person has paused.
function grow() {
  if (shownState === "speaking" && !call.isLost) {
    const quiet = timeline.quietMilliseconds;
    if (quiet >= PAUSE_MS) waterfall.pausing(quiet, timeline.now);
    else if (waterfall.isPausing) waterfall.forget();
  } else if (waterfall.coming) waterfall.grow(timeline.now);
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
    sendText(text);
    return;
  }
  pendingTexts.push(text);
  startCall({ withMicrophone: false });
}

function sendText(text) {
  call.sendText(text);
  waterfall.forget();
  waterfall.begin("thinking", timeline.now);
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
window.addEventListener("offline", () => call?.networkChanged(false));
window.addEventListener("online", () => call?.networkChanged(true));

// What the page measures, for tests and bug reports; nothing that was said.
window.beluga = {
  measure: () => ({
    isStarted: Boolean(call?.isStarted),
    isOver: call?.isOver ?? true,
    isLost: call?.isLost ?? false,
    losses: call?.losses ?? 0,
    received: call?.position ?? 0,
    clears: call?.clears ?? 0,
    sentFrames: call?.sentFrames ?? 0,
    dropped: call?.dropped ?? 0,
    silences: timeline.silences,
    ...call?.playback,
  }),
};

resetCounts();
showState("off");
showControls();
describe();
