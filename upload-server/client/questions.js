// @ts-check
/** Events for the application's handlers, and their answers. */
import { UploadError, uuid } from "./upload.js";

/** @typedef {import("./protocol.js").Message} Message */
/** Its message is there when it may be sent. @typedef {{ message?: Record<string, unknown>, sent: boolean, done: (answer: Message) => void, fail: (error: Error) => void }} Question */

const UNANSWERED_MAX = 64;
/** An event that could not be sent for so long is not sent later, when no one expects it any more. */
const UNSENT_MS = 30_000;

export class Questions {
  /** @type {Map<string, Question>} */
  #open = new Map();

  /**
   * @param {import("./socket.js").Socket} socket
   * @param {(reason: { code?: string, reason?: string, error?: string, retry?: string }) => UploadError} error
   */
  constructor(socket, error) {
    this.socket = socket;
    this.error = error;
  }

  get size() {
    return this.#open.size;
  }

  /**
   * @param {string} event
   * @param {object} params
   * @param {Promise<{ ref: string }[]>} named uploads, once they are known
   * @param {AbortSignal} [signal]
   * @returns {Promise<Message>} the whole answer
   */
  ask(event, params, named, signal) {
    if (this.#open.size >= UNANSWERED_MAX) return Promise.reject(this.error({ code: "rate_limited", retry: "later" }));
    if (this.socket.connection.state === "closed") return Promise.reject(this.error({ code: "session_closed" }));
    if (signal?.aborted) return Promise.reject(this.error({ code: "cancelled" }));
    const id = uuid();
    return new Promise((done, fail) => {
      const late = setTimeout(() => !question.sent && this.#fail(id, this.error({ code: "unreachable", retry: "later" })), UNSENT_MS);
      const abort = () => this.#fail(id, this.error({ code: "cancelled" }));
      const settled = () => {
        clearTimeout(late);
        signal?.removeEventListener("abort", abort);
      };
      /** @type {Question} */
      const question = {
        sent: false,
        done: (answer) => (settled(), done(answer)),
        fail: (error) => (settled(), fail(error)),
      };
      this.#open.set(id, question);
      signal?.addEventListener("abort", abort);
      this.socket.want();
      void named.then((uploads) => {
        question.message = { type: "event", event, params, uploads: uploads.map(({ ref }) => ref), id };
        this.send();
      });
    });
  }

  /** Sends what could not be sent before. */
  send() {
    if (!this.socket.open) return;
    for (const question of this.#open.values()) {
      if (question.sent || !question.message) continue;
      this.socket.send(question.message);
      question.sent = true;
    }
  }

  /** @param {Message} message */
  answer(message) {
    const { id, ok, code, reason, error, retry } = message;
    const question = this.#open.get(id);
    this.#open.delete(id);
    if (ok) question?.done(message);
    else question?.fail(this.error({ code, reason, error, retry }));
  }

  /** Of what was sent, no one knows whether it arrived. */
  lost() {
    for (const [id, { sent }] of this.#open) if (sent) this.#fail(id, this.error({ code: "session_closed", retry: "later" }));
  }

  /** @param {UploadError} error */
  failAll(error) {
    for (const id of this.#open.keys()) this.#fail(id, error);
  }

  /** @param {string} id @param {UploadError} error */
  #fail(id, error) {
    const question = this.#open.get(id);
    this.#open.delete(id);
    question?.fail(error);
  }
}
