// Turns the microphone into 20 ms frames of 16-bit samples at the rate of the call.

import { Resampler } from "./resample.js";

class Capture extends AudioWorkletProcessor {
  constructor({ processorOptions: { rate } }) {
    super();
    this.resampler = new Resampler(sampleRate, rate);
    this.frame = new Int16Array(rate / 50);
    this.filled = 0;
    this.peak = 0;
    this.isOpen = true;
    this.port.onmessage = () => {
      this.isOpen = false;
    };
  }

  process([input]) {
    if (input.length > 0) this.take(this.resampler.process(input[0]));
    return this.isOpen;
  }

  take(samples) {
    for (let i = 0; i < samples.length; i += 1) {
      const sample = Math.max(-1, Math.min(1, samples[i]));
      this.peak = Math.max(this.peak, Math.abs(sample));
      this.frame[this.filled] = Math.round(sample * 32767);
      this.filled += 1;
      if (this.filled === this.frame.length) this.give();
    }
  }

  give() {
    const { frame, peak } = this;
    this.frame = new Int16Array(frame.length);
    this.filled = 0;
    this.peak = 0;
    this.port.postMessage({ pcm: frame.buffer, peak }, [frame.buffer]);
  }
}

registerProcessor("capture", Capture);
