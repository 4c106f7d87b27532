// @ts-check
/** Every word that people read, in one table: by code for errors, by name for the rest; and how they are filled in. */

/** @typedef {import("./index.d.ts").Language} Language */
/** @typedef {import("./index.d.ts").Text} Text */
/** @typedef {import("./index.d.ts").Texts} Texts */
/** @typedef {import("./index.d.ts").TextValues} TextValues */

/**
 * `{name}` and the like are filled in. Of a list, the first text counts whose values are all there; of an object, the
 * plural that the language has for `{count}`.
 *
 * @type {Language}
 */
export const ENGLISH = {
  locale: "en",
  texts: {
    // Refused by the slot's rules.
    too_large: ["{size} is too large: at most {limit} is allowed", "Too large"],
    type_not_accepted: ["This type is not accepted: only {accept}", "This type is not accepted"],
    active_content: "Files that a browser would run (HTML, SVG, scripts) are not allowed",
    too_many_entries: [{ one: "Only one file is allowed", other: "Only {count} files are allowed" }, "Too many files"],
    unknown_slot: "Not offered by this server",
    forbidden: "You are not allowed to upload here",
    bad_name: "The file has no usable name",
    bad_size: "The file's size is not valid",
    bad_meta: "The file's details are not valid",
    content_mismatch: ["This is not really a {extension} file", "The content does not match the file's type"],
    size_exceeded: "The file grew while it was sent. Choose it again",
    // Of the file itself.
    file_unreadable: [{ one: "One file or folder could not be opened", other: "{count} files or folders could not be opened" }, "The file could not be opened. Choose it again"],
    file_changed: "The file changed while it was sent. Choose it again",
    checksum_mismatch: "The file arrived damaged. Try again",
    too_many_files: { one: "One file was left out: at most {limit} can be added at once", other: "{count} files were left out: at most {limit} can be added at once" },
    // Of the server and the way to it.
    storage_failed: "The server could not store the file",
    storage_denied: "The storage refused the file",
    storage_full: "The server's storage is full",
    storage_throttled: "The server's storage is busy",
    rate_limited: "Too much at once. It is tried again later",
    draining: "The server is restarting",
    unreachable: "The server cannot be reached",
    unauthenticated: "You are not signed in",
    session_closed: "The connection was lost",
    superseded: "It continues in another tab",
    locked: "Already uploading in another tab",
    in_use: "It is being saved right now. Try again",
    expired: "The server waited too long for it",
    idle_timeout: "The server waited too long for it",
    cancelled: "Cancelled",
    unknown_event: "The server does not know this action",
    event_failed: "The action failed",
    "already saved": "Already saved: {name}",
    gone: "No longer on the server: {name}. Choose it again",
    paused: "A file is paused. Resume or remove it, then send again",
    // States of an upload.
    waiting: "Waiting",
    uploading: "Uploading",
    speed: "{speed}/s, {left} left",
    storing: "Storing",
    processing: "Finishing",
    complete: "Done",
    "on pause": "Paused",
    reconnecting: "Reconnecting",
    "waits for network": "Waiting for the network",
    unfinished: "Not finished",
    "pick again": "Choose this file again to continue",
    removing: "Removing",
    // Buttons.
    pause: "Pause",
    resume: "Resume",
    retry: "Retry",
    cancel: "Cancel",
    remove: "Remove",
    hide: "Hide",
    continue: "Continue",
    forget: "Forget",
    // Announcements.
    uploaded: { one: "{name} uploaded", other: "{count} files uploaded" },
    failed: "{name}: {error}",
    "left out": { one: "One system file was left out", other: "{count} system files were left out" },
    seconds: "{count} s",
    minutes: "{count} min",
    hours: "{count} h",
    bytes: "{count} B",
    "image/*": "images",
    "audio/*": "audio",
    "video/*": "videos",
    "text/*": "texts",
    "font/*": "fonts",
    required: "Please choose a file",
  },
};

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];

/** The words of a page: its own, else its language's, else English. */
export class Words {
  /** @type {Intl.PluralRules} */
  #plurals;
  /** Making one costs more than using it. @type {Map<string, Intl.NumberFormat>} */
  #formats = new Map();

  /** @param {Language} [language] @param {Texts} [own] */
  constructor(language = ENGLISH, own = {}) {
    this.locale = language.locale;
    this.tables = [own, language.texts, ENGLISH.texts];
    this.#plurals = new Intl.PluralRules(this.locale);
  }

  /**
   * The text for a code or a name; empty if there is none.
   *
   * @param {string} key
   * @param {TextValues} [values]
   */
  text(key, values = {}) {
    for (const table of this.tables) {
      const found = this.#fill(table[key], values);
      if (found) return found;
    }
    return "";
  }

  /** @param {Text | Text[] | undefined} entry @param {TextValues} values @returns {string} empty where a value is missing */
  #fill(entry, values) {
    if (!entry) return "";
    if (Array.isArray(entry)) {
      for (const one of entry) {
        const found = this.#fill(one, values);
        if (found) return found;
      }
      return "";
    }
    if (typeof entry === "function") return this.#fill(entry(values), values);
    if (typeof entry === "object") {
      if (values.count === undefined) return "";
      return this.#fill(entry[this.#plurals.select(values.count)] ?? entry.other, values);
    }
    let missing = false;
    const text = entry.replace(/\{(\w+)\}/g, (_, name) => {
      const value = values[/** @type {keyof TextValues} */ (name)];
      missing ||= value === undefined;
      return typeof value === "number" ? this.number(value) : String(value);
    });
    return missing ? "" : text;
  }

  /** @param {number} value @param {string} [unit] @param {number} [digits] after the point */
  number(value, unit = "", digits = 0) {
    const key = unit + digits;
    const format = this.#formats.get(key) ?? new Intl.NumberFormat(this.locale, {
      ...(unit && { style: "unit", unit }), minimumFractionDigits: digits, maximumFractionDigits: digits,
    });
    this.#formats.set(key, format);
    return format.format(value);
  }

  /** A size for people, in units of 1000. @param {number} bytes */
  size(bytes) {
    let unit = 0;
    for (; bytes >= 999.5 && unit < UNITS.length - 1; unit++) bytes /= 1000;
    if (!unit) return this.text("bytes", { count: Math.round(bytes) });
    const digits = bytes < 10 && bytes % 1 ? 1 : 0;
    return this.number(bytes, UNITS[unit], digits);
  }

  /** A time for people. @param {number} seconds */
  time(seconds) {
    if (seconds < 99) return this.text("seconds", { count: seconds });
    if (seconds < 5940) return this.text("minutes", { count: Math.round(seconds / 60) });
    return this.text("hours", { count: Math.round(seconds / 3600) });
  }

  /** An accept list for people: `.pdf,.txt,image/*` is "PDF, TXT, images". @param {string} accept */
  kinds(accept) {
    const kinds = accept.split(/[\s,]+/).filter(Boolean).map((entry) => {
      if (entry.startsWith(".")) return entry.slice(1).toUpperCase();
      const [kind, subtype = ""] = entry.split("/");
      return subtype === "*" ? this.text(entry) || kind : subtype.replace(/^x-|\+.*$/g, "").toUpperCase();
    });
    return new Intl.ListFormat(this.locale, { type: "unit", style: "short" }).format(new Set(kinds));
  }
}

export const ENGLISH_WORDS = new Words();
