// The audio context of the page, its thread, and the microphone.

import { Trouble } from "./models.js";

const MICROPHONE_TROUBLE = {
  NotAllowedError:
    "The microphone was refused: allow it beside the address of this page, " +
    "or open a file.",
  NotFoundError: "There is no microphone: connect one, or open a file.",
  NotReadableError:
    "The microphone is in use by another program: close that, or open a file.",
};

/** One audio thread for the whole visit. */
export class Sound {
  #context = null;
  #node = null;
  #input = null;
  #ended = null;

  /**
   * @param {?number} rate - of the models, in Hz; null: of the sound card
   * @param {(message: object) => void} listener - of the audio thread
   */
  constructor(rate, listener) {
    this.rate = rate;
    this.listener = listener;
  }

  /** Seconds that the browser and the sound card add. */
  get latency() {
    const { baseLatency = 0, outputLatency = 0 } = this.#context ?? {};
    return baseLatency + outputLatency;
  }

  /** Play two tracks from a sample on. */
  async clip(tracks, settings) {
    await this.#open();
    this.#send({ what: "clip", ...tracks, ...settings });
  }

  /** Lead the microphone through a model, of its name and bytes. */
  async live(model, settings) {
    await this.#open();
    const stream = await this.#microphone();
    try {
      this.#input = this.#context.createMediaStreamSource(stream);
    } catch {
      // Firefox: a microphone has the rate of its card alone.
      await this.#close();
      this.rate = null;
      await this.#open();
      this.#input = this.#context.createMediaStreamSource(stream);
    }
    this.model(model, settings);
    this.#input.connect(this.#node);
  }

  /** Lead the microphone through another model. */
  model({ name, bytes }, settings) {
    this.#send({ what: "live", name, bytes, ...settings });
  }

  /** Go on with other tracks of the clip that plays. */
  exchange(tracks) {
    this.#send({ what: "exchange", ...tracks });
  }

  set(settings) {
    this.#send({ what: "set", ...settings });
  }

  /** Fade out, and let the microphone go. */
  async stop() {
    // Chromium keeps what it made of a microphone as long as the context, and
    // a context as long as its processor says that it goes on.
    const over = this.#input !== null;
    this.#input?.disconnect();
    if (this.#context?.state === "running") {
      const ended = new Promise((resolve) => (this.#ended = resolve));
      this.#send({ what: "stop", over });
      await ended;
    }
    if (over) await this.#close();
    else await this.#context?.suspend();
  }

  #send(message) {
    this.#node?.port.postMessage(message);
  }

  async #microphone() {
    if (!navigator.mediaDevices) {
      throw new Trouble(
        "The browser gives no microphone to this page: open it from " +
          "localhost or over https.",
      );
    }
    try {
      return await navigator.mediaDevices.getUserMedia({
        // What the browser itself would take away is the model's to find.
        audio: {
          channelCount: 1,
          echoCancellation: false,
          noiseSuppression: false,
          autoGainControl: false,
        },
      });
    } catch (error) {
      throw new Trouble(
        MICROPHONE_TROUBLE[error.name] ??
          `The microphone cannot be used (${error.message}): open a file.`,
      );
    }
  }

  async #open() {
    if (!this.#context) {
      const wanted = this.rate ? { sampleRate: this.rate } : {};
      const context = new AudioContext(wanted);
      if (!context.audioWorklet) {
        throw new Trouble(
          "The browser has no audio thread for this page: open it from " +
            "localhost or over https, in a browser of 2021 or newer.",
        );
      }
      await context.audioWorklet.addModule("worklet.js");
      this.#context = context;
      this.#node = new AudioWorkletNode(context, "edgebrain-player", {
        outputChannelCount: [1],
        channelCount: 1,
        channelCountMode: "explicit",
      });
      this.#node.port.onmessage = ({ data }) => {
        if (data.what === "ended" && this.#ended) {
          this.#ended();
          this.#ended = null;
        } else {
          this.listener(data);
        }
      };
      this.#node.connect(context.destination);
    }
    await this.#context.resume();
  }

  async #close() {
    this.#input?.mediaStream.getTracks().forEach((track) => track.stop());
    this.#input = null;
    this.#node.port.onmessage = null; // a port that listens is never freed
    this.#node.port.close();
    await this.#context.close();
    this.#node = null;
    this.#context = null;
  }
}
