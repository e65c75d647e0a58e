// Plays what the agent says from a ring, and falls silent within two milliseconds when told to.
//
// Sound waits until a little of it is there, or for a moment, so that small delays of the network
// are not heard. Every 20 ms the page is told how loud it was, and the position of the last sample
// that was taken in; on a clear, what was not played.

import { Resampler } from "./resample.js";

const CAPACITY_SECONDS = 20;
const WAIT_SECONDS = 0.04;
const FADE_SECONDS = 0.002;
const GAP_SECONDS = 0.3;

class Playback extends AudioWorkletProcessor {
  constructor({ processorOptions: { rate } }) {
    super();
    this.resampler = new Resampler(rate, sampleRate);
    this.ring = new Float32Array(CAPACITY_SECONDS * sampleRate);
    this.bin = Math.round(sampleRate / 50);
    this.waitSamples = Math.round(WAIT_SECONDS * sampleRate);
    this.fadeSamples = Math.round(FADE_SECONDS * sampleRate);
    this.start = 0;
    this.count = 0;
    this.isPlaying = false;
    this.waited = 0;
    this.silentFor = Infinity;
    this.last = 0;
    this.fade = 0;
    this.peak = 0;
    this.inBin = 0;
    this.played = 0;
    this.position = 0;
    this.dropped = 0;
    this.gaps = 0;
    this.isOpen = true;
    this.port.onmessage = ({ data }) => this.obey(data);
  }

  obey(message) {
    if (message.type === "audio") this.add(new Int16Array(message.pcm));
    else if (message.type === "clear") this.clear(message.position);
    else if (message.type === "position") this.position = message.position;
    else if (message.type === "close") this.isOpen = false;
  }

  add(pcm) {
    this.position += pcm.length;
    const input = new Float32Array(pcm.length);
    for (let i = 0; i < pcm.length; i += 1) input[i] = pcm[i] / 32768;
    const samples = this.resampler.process(input);
    const { ring } = this;
    const room = Math.min(samples.length, ring.length - this.count);
    for (let i = 0; i < room; i += 1) ring[(this.start + this.count + i) % ring.length] = samples[i];
    this.count += room;
    if (room < samples.length) this.dropped += 1;
    if (!this.isPlaying && this.silentFor < GAP_SECONDS * sampleRate) {
      this.gaps += 1;
      this.silentFor = Infinity;
    }
  }

  clear(position) {
    this.position = position ?? this.position;
    const unplayed = [];
    for (let i = 0; i < this.count; i += this.bin) {
      let peak = 0;
      const end = Math.min(i + this.bin, this.count);
      for (let k = i; k < end; k += 1) {
        peak = Math.max(peak, Math.abs(this.ring[(this.start + k) % this.ring.length]));
      }
      unplayed.push(peak);
    }
    this.count = 0;
    this.isPlaying = false;
    this.waited = 0;
    this.silentFor = Infinity;
    this.fade = this.fadeSamples;
    this.resampler.reset();
    this.port.postMessage({ type: "cleared", unplayed });
  }

  process(_, [[output]]) {
    if (!this.isPlaying && this.count > 0) {
      this.waited += output.length;
      this.isPlaying = this.count >= this.waitSamples || this.waited >= this.waitSamples;
    }
    const available = this.isPlaying ? Math.min(output.length, this.count) : 0;
    for (let i = 0; i < available; i += 1) {
      const sample = this.ring[(this.start + i) % this.ring.length];
      output[i] = sample;
      this.peak = Math.max(this.peak, Math.abs(sample));
    }
    if (available > 0) this.last = output[available - 1];
    this.start = (this.start + available) % this.ring.length;
    this.count -= available;
    this.played += available;
    if (this.isPlaying && available < output.length) {
      this.isPlaying = false;
      this.waited = 0;
      this.silentFor = 0;
      this.fade = this.fadeSamples;
    }
    for (let i = available; i < output.length; i += 1) {
      output[i] = this.fade > 0 ? this.last * (this.fade / this.fadeSamples) : 0;
      this.fade = Math.max(0, this.fade - 1);
    }
    if (!this.isPlaying) this.silentFor += output.length;
    this.report(output.length);
    return this.isOpen;
  }

  report(samples) {
    this.inBin += samples;
    if (this.inBin < this.bin) return;
    this.inBin -= this.bin;
    this.port.postMessage({
      type: "played",
      peak: this.peak,
      isPlaying: this.isPlaying,
      queuedMs: (this.count * 1000) / sampleRate,
      playedMs: (this.played * 1000) / sampleRate,
      position: this.position,
      dropped: this.dropped,
      gaps: this.gaps,
    });
    this.peak = 0;
  }
}

registerProcessor("playback", Playback);
