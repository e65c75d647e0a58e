// Changes the sample rate of a stream, with a low-pass at the lower rate's Nyquist frequency.
//
// A polyphase windowed-sinc filter (Kaiser, beta 8: about 80 dB of stop band). It keeps the tail of
// what it was given, so pieces of any length join without a seam.

const ZERO_CROSSINGS = 20;
const BETA = 8;
const PASS = 0.9;

function gcd(a, b) {
  return b === 0 ? a : gcd(b, a % b);
}

function besselI0(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > sum * 1e-10; k += 1) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

export class Resampler {
  constructor(from, to) {
    const divisor = gcd(from, to);
    this.phases = to / divisor;
    this.step = from / divisor;
    const stretch = Math.max(1, from / to);
    this.half = Math.ceil(ZERO_CROSSINGS * stretch);
    this.taps = 2 * this.half;
    this.kernels = [];
    const cutoff = PASS / stretch;
    for (let phase = 0; phase < this.phases; phase += 1) {
      const kernel = new Float32Array(this.taps);
      let sum = 0;
      for (let k = 0; k < this.taps; k += 1) {
        const t = k - this.half + 1 - phase / this.phases;
        const x = Math.PI * cutoff * t;
        const sinc = Math.abs(x) < 1e-9 ? 1 : Math.sin(x) / x;
        const inside = 1 - (t / this.half) ** 2;
        kernel[k] = inside > 0 ? sinc * besselI0(BETA * Math.sqrt(inside)) : 0;
        sum += kernel[k];
      }
      for (let k = 0; k < this.taps; k += 1) kernel[k] /= sum;
      this.kernels.push(kernel);
    }
    this.reset();
  }

  reset() {
    this.kept = new Float32Array(this.taps - 1);
    this.phase = 0;
    this.skip = 0;
  }

  process(input) {
    if (this.phases === 1 && this.step === 1) return input;
    const { taps, phases, step } = this;
    const all = new Float32Array(this.kept.length + input.length);
    all.set(this.kept);
    all.set(input, this.kept.length);
    const output = new Float32Array(Math.ceil((input.length * phases) / step) + 2);
    let made = 0;
    let at = this.skip;
    while (at + taps <= all.length) {
      const kernel = this.kernels[this.phase];
      let sum = 0;
      for (let k = 0; k < taps; k += 1) sum += all[at + k] * kernel[k];
      output[made] = sum;
      made += 1;
      this.phase += step;
      at += Math.floor(this.phase / phases);
      this.phase %= phases;
    }
    const keepFrom = Math.min(at, all.length);
    this.kept = all.slice(keepFrom);
    this.skip = at - keepFrom;
    return output.subarray(0, made);
  }
}
