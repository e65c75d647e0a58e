// One call: the websocket, the microphone and the loudspeaker. It knows nothing of the page.

const INPUT_RATE = 16000;
const OUTPUT_RATE = 24000;
const MAX_UNSENT_BYTES = INPUT_RATE * 2; // one second; a slower network gets gaps, not old sound

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

  clear() {
    this.player?.port.postMessage({ type: "clear" });
  }

  close() {
    if (this.isOver) return;
    this.clear();
    this.sendMessage({ type: "stop" });
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
      if (data.type === "played") this.playback = data;
      this.emit(data.type, data);
    };
    this.player.connect(this.output.destination);
    await this.output.resume();
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
    await context.resume();
  }

  sendFrame({ pcm, peak }) {
    if (!this.isStarted || this.isOver) return;
    this.emit("recorded", { peak: this.isMuted ? 0 : peak });
    if (this.socket.bufferedAmount > MAX_UNSENT_BYTES) {
      this.droppedFrames += 1;
      return;
    }
    this.sentFrames += 1;
    this.socket.send(pcm);
  }

  // ── the wire ───────────────────────────────────────────────────────────────────────────────

  openSocket() {
    const url = new URL("/ws", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const protocols = ["beluga.v1"];
    if (this.token) protocols.push(`beluga.token.${this.token}`);
    this.socket = new WebSocket(url, protocols);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () =>
      this.sendMessage({ type: "start", version: 1, input_rate: INPUT_RATE, output_rate: OUTPUT_RATE });
    this.socket.onmessage = ({ data }) => this.receive(data);
    this.socket.onclose = ({ code, reason }) => this.finish({ wasAsked: false, code, reason });
  }

  sendMessage(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  receive(data) {
    if (this.isOver) return;
    if (data instanceof ArrayBuffer) {
      this.player.port.postMessage({ type: "audio", pcm: data }, [data]);
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "clear") {
      this.clears += 1;
      this.clear();
      this.emit("clear");
    } else if (message.type === "event") {
      if (message.event.type === "barged_in") this.clear();
      this.emit("happened", message.event);
    } else if (message.type === "started") {
      this.isStarted = true;
      this.emit("started", message);
    } else if (message.type === "error") {
      this.emit("refused", message);
    }
  }

  finish(detail) {
    if (this.isOver) return;
    this.isOver = true;
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
