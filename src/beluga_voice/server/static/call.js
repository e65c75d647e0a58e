// One call: the websocket, the microphone and the loudspeaker. It knows nothing of the page.
//
// When the connection is lost the call tries to come back with the token it was given: what was
// received plays on, what the person says is kept for a moment, and the server goes on with the
// sample that is due. Every sample has a position, which both sides count.

const INPUT_RATE = 16000;
const OUTPUT_RATE = 24000;
const MAX_UNSENT_BYTES = INPUT_RATE * 2; // one second; a slower network gets gaps, not old sound
const FRAME_BYTES = (INPUT_RATE / 50) * 2;
const KEPT_FRAMES = 250; // five seconds of the person's speech, while there is no connection
const FRAMES_AT_ONCE = 50;
const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 4000;
const HEARD_MS = 250;
const START_MS = 4000; // a browser without a sound card never starts a context, and never says so
const PING_MS = 5000;
const MAX_ROUND_TRIP_MS = 2000;
const SILENCE_MS = 12000; // a server that says nothing for so long is not there
const MOVING = 1012; // the close code of a server that another one takes the call over from
const COME_AGAIN = new Set(["server_full", "server_stopping", "provider_full", "session_failed"]);

export class Call extends EventTarget {
  constructor({ token }) {
    super();
    this.token = token;
    this.droppedFrames = 0;
    this.playback = { queuedMs: 0, playedMs: 0, dropped: 0, gaps: 0, isPlaying: false };
    this.clears = 0;
    this.sentFrames = 0;
    this.isMuted = false;
    this.isOver = false;
    this.isStarted = false;
    this.isAudible = false;
    this.isLost = false;
    this.losses = 0;
    this.position = 0;
    this.event = 0;
    this.kept = [];
    this.unsent = [];
    this.roundTripMs = 0;
  }

  get dropped() {
    return this.droppedFrames + this.playback.dropped;
  }

  get hasMicrophone() {
    return this.stream !== undefined;
  }

  // Must be called from a click or key, or the browser keeps the loudspeaker silent.
  async open({ withMicrophone }) {
    await this.openLoudspeaker();
    if (withMicrophone) {
      try {
        await this.openMicrophone();
      } catch (error) {
        this.emit("nomicrophone", { name: error.name });
      }
    }
    if (!this.isOver) this.openSocket();
  }

  sendText(text) {
    this.sendMessage({ type: "text", text });
  }

  interrupt() {
    this.clear();
    this.sendMessage({ type: "interrupt" });
  }

  mute(isMuted) {
    this.isMuted = isMuted;
    for (const track of this.stream?.getAudioTracks() ?? []) track.enabled = !isMuted;
  }

  clear(position) {
    this.player?.port.postMessage({ type: "clear", position });
  }

  close() {
    if (this.isOver) return;
    this.clear();
    if (!this.isLost) this.sendMessage({ type: "stop" });
    this.socket?.close(1000);
    this.finish({ wasAsked: true });
  }

  // ── sound ──────────────────────────────────────────────────────────────────────────────────

  async openLoudspeaker() {
    this.output = new AudioContext({ sampleRate: OUTPUT_RATE, latencyHint: "interactive" });
    await this.output.audioWorklet.addModule("/static/playback-worklet.js");
    this.player = new AudioWorkletNode(this.output, "playback", {
      numberOfInputs: 0,
      outputChannelCount: [1],
      processorOptions: { rate: OUTPUT_RATE },
    });
    this.player.port.onmessage = ({ data }) => {
      if (data.type === "played") {
        this.playback = data;
        this.tellHeard(data);
      }
      this.emit(data.type, data);
    };
    this.player.connect(this.output.destination);
    this.output.onstatechange = () => this.soundStarts();
    if (await starts(this.output)) this.soundStarts();
    else if (!this.isOver) this.emit("noloudspeaker");
  }

  // It may be long after the start of the call: what came before was not played.
  soundStarts() {
    if (this.isAudible || this.output.state !== "running") return;
    this.isAudible = true;
    this.player.port.postMessage({ type: "position", position: this.position });
  }

  async openMicrophone() {
    if (!navigator.mediaDevices) throw new DOMException("insecure page", "SecurityError");
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
    if (this.isOver) {
      for (const track of stream.getTracks()) track.stop();
      return;
    }
    this.stream = stream;
    stream.getAudioTracks()[0].onended = () => {
      if (!this.isOver) this.emit("nomicrophone", { name: "Ended" });
    };
    const { context, source } = await listen(stream);
    this.input = context;
    this.recorder = new AudioWorkletNode(context, "capture", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { rate: INPUT_RATE },
    });
    this.recorder.port.onmessage = ({ data }) => this.sendFrame(data);
    source.connect(this.recorder);
    starts(context).then((isRunning) => {
      if (!isRunning && !this.isOver) this.emit("nomicrophone", { name: "NotStarted" });
    });
  }

  sendFrame({ pcm, peak }) {
    if (!this.isStarted || this.isOver) return;
    this.emit("recorded", { peak: this.isMuted ? 0 : peak });
    if (this.isLost) {
      this.kept.push(pcm);
      if (this.kept.length > KEPT_FRAMES) {
        this.kept.shift();
        this.droppedFrames += 1;
      }
      return;
    }
    if (this.socket.bufferedAmount > MAX_UNSENT_BYTES) {
      this.droppedFrames += 1;
      return;
    }
    this.sentFrames += 1;
    this.socket.send(pcm);
  }

  // ── the wire ───────────────────────────────────────────────────────────────────────────────

  openSocket() {
    const isBack = this.isLost;
    const url = new URL(isBack ? "/ws?resume" : "/ws", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const protocols = ["beluga.v1"];
    if (this.token) protocols.push(`beluga.token.${this.token}`);
    const socket = new WebSocket(url, protocols);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.heardAt = performance.now();
      const first = isBack
        ? { type: "resume", token: this.ticket.token, position: this.position, event: this.event }
        : { type: "start", input_rate: INPUT_RATE, output_rate: OUTPUT_RATE, resume: true };
      socket.send(JSON.stringify({ ...first, version: 1 }));
    };
    socket.onmessage = ({ data }) => this.receive(data);
    socket.onclose = ({ code, reason }) => this.closed(code, reason);
    this.socket = socket;
    this.heardAt = performance.now();
  }

  sendMessage(message) {
    if (this.isLost) this.unsent.push(message);
    else if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  closed(code, reason) {
    // An orderly end is one; anything else is a loss, if there is a call to come back to.
    if (this.isOver) return;
    if (this.ticket && code !== 1000 && !this.isRefused) this.lose(code, reason);
    else this.finish({ wasAsked: false, code, reason });
  }

  // ── losing the connection, and coming back ─────────────────────────────────────────────────

  lose(code, reason) {
    const { socket } = this;
    if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
    socket?.close();
    this.socket = undefined;
    const now = performance.now();
    if (!this.isLost) {
      this.isLost = true;
      this.losses += 1;
      this.lostAt = now;
      this.pauseMs = 0;
      this.emit("lost", { isMoving: code === MOVING });
    }
    if (now - this.lostAt + this.pauseMs > this.ticket.seconds * 1000) {
      this.finish({ wasAsked: false, code, reason });
      return;
    }
    // At random, so that those whom a server lost together do not come back together.
    const pauseMs = this.pauseMs * (0.5 + Math.random() / 2);
    this.retrying = setTimeout(() => this.openSocket(), pauseMs);
    this.pauseMs = Math.min(MAX_PAUSE_MS, Math.max(FIRST_PAUSE_MS, 2 * this.pauseMs));
  }

  // The browser knows that there is no network, or that there is one again.
  networkChanged(isOnline) {
    if (this.isOver || !this.ticket) return;
    if (!isOnline && !this.isLost) this.lose(1006, "offline");
    else if (isOnline && this.isLost && this.socket === undefined) {
      clearTimeout(this.retrying);
      this.pauseMs = 0;
      this.openSocket();
    }
  }

  resumed({ resume, position, has_moved: hasMoved }) {
    this.ticket = resume;
    this.position = position;
    if (hasMoved) this.event = 0;
    this.player.port.postMessage({ type: "position", position });
    this.isLost = false;
    this.tellHeard(this.playback, { isUrgent: true });
    for (let i = 0; i < this.kept.length; i += FRAMES_AT_ONCE) {
      const frames = this.kept.slice(i, i + FRAMES_AT_ONCE);
      const joined = new Uint8Array(frames.length * FRAME_BYTES);
      frames.forEach((frame, k) => joined.set(new Uint8Array(frame), k * FRAME_BYTES));
      this.socket.send(joined);
      this.sentFrames += frames.length;
    }
    this.kept = [];
    const unsent = this.unsent;
    this.unsent = [];
    for (const message of unsent) this.sendMessage(message);
    this.emit("resumed", { hasMoved });
  }

  watch() {
    this.watching = setInterval(() => {
      const isTrying = this.socket !== undefined;
      if (isTrying && performance.now() - this.heardAt > SILENCE_MS) this.lose(1006, "silent");
      else if (!this.isLost) this.ping();
    }, PING_MS);
    this.ping();
  }

  ping() {
    this.pingedAt = performance.now();
    this.sendMessage({ type: "ping" });
  }

  // What waits in the ring was received and not heard.
  tellHeard({ position = 0, queuedMs = 0 }, { isUrgent = false } = {}) {
    if (!this.ticket || this.isLost || this.isOver) return;
    const now = performance.now();
    const heard = Math.max(0, Math.floor(position - (queuedMs * OUTPUT_RATE) / 1000));
    if (!isUrgent && (heard === this.toldHeard || now - this.toldAt < HEARD_MS)) return;
    this.toldHeard = heard;
    this.toldAt = now;
    // What the worklet has played comes out of the loudspeaker a little later, and this message
    // takes half as long as a ping.
    const ago = this.roundTripMs / 2 - ((this.output?.outputLatency || 0) * 1000);
    this.sendMessage({
      type: "heard",
      position: Math.min(heard, this.position),
      event: this.event,
      ago_ms: Math.round(ago),
    });
  }

  receive(data) {
    if (this.isOver) return;
    this.heardAt = performance.now();
    if (data instanceof ArrayBuffer) {
      this.position += data.byteLength / 2;
      if (this.isAudible) this.player.port.postMessage({ type: "audio", pcm: data }, [data]);
      else this.tellHeard({ position: this.position });
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "clear") {
      this.clears += 1;
      this.position = message.position ?? this.position;
      this.clear(message.position);
      this.emit("clear");
    } else if (message.type === "event") {
      this.event = message.event.n + 1;
      if (message.event.type === "barged_in") this.clear();
      this.emit("happened", message.event);
    } else if (message.type === "started") {
      this.isStarted = true;
      this.ticket = message.resume;
      if (this.ticket) this.watch();
      this.emit("started", message);
    } else if (message.type === "pong") {
      this.roundTripMs = Math.min(performance.now() - this.pingedAt, MAX_ROUND_TRIP_MS);
    } else if (message.type === "resumed") {
      this.resumed(message);
    } else if (message.type === "transfer") {
      this.emit("transferred", message);
    } else if (message.type === "error") {
      // While we are coming back, a server that is busy is asked again.
      if (this.isLost && COME_AGAIN.has(message.code)) return;
      this.isRefused ||= message.is_fatal && message.code !== "too_slow";
      this.emit("refused", message);
    }
  }

  finish(detail) {
    if (this.isOver) return;
    this.isOver = true;
    clearTimeout(this.retrying);
    clearInterval(this.watching);
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.recorder?.port.postMessage("close");
    this.emit("over", { ...detail, wasStarted: this.isStarted });
    // What has been said and sent may still be heard, unless the person hung up.
    const rest = detail.wasAsked ? 0.1 : this.playback.queuedMs / 1000 + 0.2;
    setTimeout(() => {
      this.player?.port.postMessage({ type: "close" });
      for (const context of [this.input, this.output]) {
        if (context && context.state !== "closed") context.close();
      }
    }, rest * 1000);
  }

  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

// Whether a context runs. One that does not start now may still do so later.
async function starts(context) {
  const patience = new Promise((resolve) => setTimeout(resolve, START_MS));
  await Promise.race([context.resume().catch(() => {}), patience]); // it may be closed meanwhile
  return context.state === "running";
}

// A context at the call's rate where the browser has one; else its own, and the worklet converts.
async function listen(stream) {
  let context;
  let source;
  try {
    context = new AudioContext({ sampleRate: INPUT_RATE, latencyHint: "interactive" });
    source = context.createMediaStreamSource(stream);
  } catch {
    await context?.close();
    context = new AudioContext({ latencyHint: "interactive" });
    source = context.createMediaStreamSource(stream);
  }
  await context.audioWorklet.addModule("/static/capture-worklet.js");
  return { context, source };
}
