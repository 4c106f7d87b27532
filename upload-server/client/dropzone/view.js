// @ts-check
/** What the widget shows of a slot: where files are picked, how the connection is, sums, and the list. */
import { attend } from "../attend.js";
import { explain } from "../explain.js";
import { FRAME_MS } from "../frame.js";
import { shownIn } from "../shown.js";
import { button, el, write } from "./dom.js";
import { icon } from "./icons.js";
import { List } from "./list.js";
import { Offers } from "./offers.js";
import { Notices } from "./notices.js";
import { connectionText, percentOf, saidText, secondsToTry, totalText } from "./status.js";

/** @typedef {import("../index.d.ts").Uploads} Uploads */
/** @typedef {import("../index.d.ts").Upload} Upload */
/**
 * What the element tells its view.
 *
 * @typedef {object} Host
 * @property {() => string} slot
 * @property {(name: string) => string} attribute empty where it is not set
 * @property {() => boolean} isDisabled
 * @property {(uploads: Set<Upload>) => void} changed files came, ended or went
 * @property {(name: string, detail: unknown) => void} tell
 */

/** States in which the line about the connection is shown. */
const TROUBLED = new Set(["waiting", "offline", "unauthenticated", "closed"]);
const SUMS_MS = 120;
/** Between two drawings of rows that are there: faster is not seen, and each costs the browser a layout. */
const DRAW_MS = 100;

export class View {
  /** Shown here. @type {Set<Upload>} */
  #shown = new Set();
  /** @type {Set<Upload>} */
  #complete = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #drawTimer;
  #drawnAt = 0;
  /** There are rows to be made. */
  #isBehind = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #sumsTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #countdown;
  /** @type {(() => void)[]} */
  #ends = [];

  /** @param {ShadowRoot} root @param {Uploads} uploads @param {Host} host */
  constructor(root, uploads, host) {
    this.uploads = uploads;
    this.host = host;
    this.list = new List(uploads, /** @type {any} */ (root.host));
    this.notices = new Notices(uploads, host.slot());
    this.offers = new Offers(uploads, () => this.choose.focus());
    this.input = el("input", { type: "file", tabindex: "-1", hidden: "", "aria-hidden": "true" });
    this.folderInput = el("input", { type: "file", webkitdirectory: "", tabindex: "-1", hidden: "", "aria-hidden": "true" });
    this.choose = button("choose button", () => this.input.click());
    this.folder = button("folder button", () => this.folderInput.click());
    this.choose.setAttribute("aria-describedby", "hint");
    this.heading = el("p", { part: "heading", id: "heading" });
    this.hint = el("p", { part: "hint", id: "hint" });
    this.invite = el("p", { part: "invite" });
    this.zone = el("div", { part: "zone" }, icon("upload"), el("div", { part: "picks" }, this.choose, this.folder), this.invite);
    this.connectionWords = el("span", { "aria-hidden": "true" });
    this.connectionSaid = el("span", { class: "said", role: "status" });
    this.tryNow = button("plain", () => uploads.reconnect());
    this.connection = el("div", { part: "connection" }, this.connectionWords, this.tryNow);
    this.sumWords = el("span", { part: "words", id: "sum" });
    this.sumBar = el("span", { part: "track", role: "progressbar", "aria-labelledby": "sum", "aria-valuemin": "0", "aria-valuemax": "100" }, el("span", { part: "bar" }));
    this.start = button("plain start", () => void uploads.start(this.slot));
    this.pause = button("plain", () => (this.#isPaused() ? uploads.resumeAll(this.slot) : uploads.pauseAll(this.slot)));
    this.retry = button("plain", () => uploads.retryAll(this.slot));
    this.cancel = button("plain", () => uploads.cancelAll(this.slot));
    this.clear = button("plain", () => this.#clear());
    this.total = el("div", { part: "total", role: "group", "aria-labelledby": "sum" }, this.sumWords, this.sumBar, el("div", { part: "tools" }, ...this.#tools()));
    this.box = el(
      "div",
      { part: "box", role: "group", "aria-labelledby": "heading" },
      el("div", { part: "head" }, this.heading, this.hint),
      this.zone, this.input, this.folderInput, this.connection, this.connectionSaid, this.notices.element, this.total, this.offers.element, this.list.element,
    );
    root.append(this.box);
    this.#listen();
    this.drawAll();
    // Who is not signed in is not let in by asking once more.
    if (uploads.connection.state !== "unauthenticated") uploads.connect().catch(() => {}); // the line about the connection says it
    this.#fill();
  }

  get slot() {
    return this.host.slot();
  }

  /** Buttons for all files at once. */
  #tools() {
    return [this.start, this.pause, this.retry, this.cancel, this.clear];
  }

  #listen() {
    const { uploads } = this;
    /** @param {(upload: Upload) => void} act */
    const mine = (act) => (/** @type {Upload} */ upload) => void (upload.slot === this.slot && act(upload));
    for (const input of [this.input, this.folderInput]) {
      input.onchange = () => {
        this.take([...input.files]);
        input.value = ""; // or picking the same file again would be no change
      };
    }
    this.#ends = [
      attend(uploads),
      uploads.on("configs", () => {
        this.host.changed(this.#shown); // what is required is said in the page's language
        this.drawAll();
      }),
      uploads.on("connection", () => {
        this.list.changeAll();
        this.#drawConnection();
        this.#soon();
      }),
      uploads.on("add", mine((upload) => this.#add(upload))),
      uploads.on("progress", mine((upload) => this.#progress(upload))),
      uploads.on("change", mine((upload) => this.#progress(upload))),
      uploads.on("remove", mine((upload) => this.#remove(upload))),
      uploads.on("error", (trouble) => {
        if (trouble.slot === this.slot || trouble.upload?.slot === this.slot) this.#trouble(trouble);
      }),
      uploads.on("intake", ({ slot, companions }) => {
        if (slot === this.slot && companions) this.notices.say("left out", uploads.words.text("left out", { count: companions }));
      }),
    ];
  }

  /** What there is already. */
  #fill() {
    for (const upload of shownIn(this.uploads, this.slot)) this.#add(upload);
    void this.offers.fill(this.slot);
    this.uploads.earlier(this.slot).catch(() => {}); // there is an error event
  }

  /** @param {DataTransfer | File[]} source */
  take(source) {
    if (this.host.isDisabled()) return;
    this.notices.clear();
    void this.uploads.addFrom(source, this.slot, { replace: true });
  }

  /** @param {Upload} upload */
  #add(upload) {
    this.#shown.add(upload);
    if (upload.status === "complete") this.#complete.add(upload);
    this.list.add(upload);
    this.offers.taken(upload.ref);
    this.host.tell("add", upload);
    this.#changed();
  }

  /** @param {Upload} upload */
  #progress(upload) {
    this.list.change(upload);
    this.offers.taken(upload.ref);
    const isNew = upload.status === "complete" && !this.#complete.has(upload);
    if (isNew) this.#complete.add(upload);
    if (isNew) this.host.tell("complete", upload);
    if (upload.ended) this.#changed();
    else this.#soon();
  }

  /** @param {Upload} upload */
  #remove(upload) {
    this.#shown.delete(upload);
    this.#complete.delete(upload);
    if (this.list.remove(upload)) this.choose.focus();
    this.host.tell("remove", upload);
    this.#changed();
  }

  /** @param {import("../index.d.ts").Trouble} trouble */
  #trouble(trouble) {
    explain(trouble);
    if (!trouble.upload) this.notices.say(trouble.code, trouble.error);
    this.host.tell("error", trouble);
    this.#soon();
  }

  #changed() {
    this.host.changed(this.#shown);
    this.#soon();
  }

  #soon() {
    this.#sumsTimer ??= setTimeout(() => {
      this.#sumsTimer = undefined;
      this.#drawSums();
    }, SUMS_MS);
    const wait = this.#isBehind ? 0 : this.#drawnAt + DRAW_MS - performance.now();
    this.#drawTimer ??= setTimeout(() => this.#draw(), Math.max(wait, FRAME_MS));
  }

  #draw() {
    this.#drawTimer = undefined;
    this.#drawnAt = performance.now();
    this.#isBehind = this.list.draw();
    if (this.#isBehind) this.#soon();
    this.list.estimate();
  }

  #isPaused() {
    const { paused, running, waiting } = this.uploads.totalsOf(this.slot);
    return paused > 0 && paused === running + waiting;
  }

  /** Whether files wait until they are started by hand; a form starts them when it is sent. @param {import("../index.d.ts").Totals} totals */
  #isHeld({ running, waiting, paused }) {
    const { uploads, slot, list } = this;
    return uploads.configs[slot]?.auto_upload === false && uploads.connected && !running && waiting > paused && !list.host.closest("form");
  }

  #clear() {
    this.notices.clear();
    for (const upload of [...this.#shown]) if (upload.ended && (upload.taken || upload.status !== "complete")) upload.remove();
    this.choose.focus();
  }

  /** Everything but the rows. */
  drawAll() {
    this.#drawZone();
    this.#drawConnection();
    this.#drawSums();
    this.list.changeAll();
    this.#soon();
  }

  #drawZone() {
    const { words, configs } = this.uploads;
    const { host, slot } = this;
    const config = configs[slot];
    const most = config?.max_entries ?? 2;
    const isKnown = Object.keys(configs).length > 0;
    const hasOne = most === 1 && [...this.#shown].some(({ status }) => status === "complete");
    write(this.heading, host.attribute("heading") || words.text("files"));
    this.heading.hidden = !host.attribute("heading");
    this.box.setAttribute("aria-labelledby", "heading");
    write(this.hint, host.attribute("hint") || (config ? this.#rules(config) : isKnown ? words.text("unknown_slot") : ""));
    write(this.choose, hasOne ? words.text("choose another") : host.attribute("label") || words.text("choose", { count: most }));
    write(this.folder, words.text("choose folder"));
    write(this.invite, words.text("or drop", { count: most }));
    this.folder.hidden = !host.attribute("folders") || most === 1;
    this.choose.disabled = this.folder.disabled = host.isDisabled() || (isKnown && !config);
    this.input.accept = this.folderInput.accept = config?.accept ?? "";
    this.input.multiple = most > 1;
    for (const [element, key] of /** @type {const} */ ([[this.tryNow, "try now"], [this.start, "start all"], [this.retry, "retry all"], [this.cancel, "cancel all"], [this.clear, "clear all"]])) write(element, words.text(key));
  }

  /** What the slot takes. @param {import("../index.d.ts").SlotConfig} config */
  #rules({ accept, max_entries: count, max_file_size: size }) {
    const { words } = this.uploads;
    const rules = words.text("each at most", { accept: words.kinds(accept) || words.text("any file"), limit: words.size(size), count });
    return rules[0].toLocaleUpperCase(words.locale) + rules.slice(1);
  }

  /** Each second anew while it counts down to the next try. */
  #drawConnection() {
    clearTimeout(this.#countdown);
    const { uploads } = this;
    const { state } = uploads.connection;
    const isTroubled = TROUBLED.has(state) || (state === "connecting" && !this.connection.hidden);
    this.connection.hidden = !isTroubled;
    this.connection.dataset.state = state;
    write(this.connectionWords, isTroubled ? connectionText(uploads) : "");
    // A screen reader does not say each try.
    if (!isTroubled || state !== "connecting") write(this.connectionSaid, isTroubled ? saidText(uploads) : "");
    const waits = secondsToTry(uploads) > 1;
    if (!waits && this.tryNow.matches(":focus")) this.choose.focus();
    this.tryNow.hidden = !waits;
    if (state === "waiting") this.#countdown = setTimeout(() => this.#drawConnection(), 1000);
  }

  #drawSums() {
    const { uploads, slot } = this;
    const { words } = uploads;
    this.notices.draw();
    const totals = uploads.totalsOf(slot);
    const open = totals.running + totals.waiting;
    const paused = this.#isPaused();
    const isHeld = this.#isHeld(totals);
    const single = totals.files < 2 && this.#shown.size < 2 && !isHeld;
    const focused = this.#tools().find((tool) => tool.matches(":focus"));
    this.total.hidden = single || !this.#shown.size;
    this.total.dataset.state = open ? (uploads.connected && !paused ? "running" : "waiting") : totals.failed ? (totals.done ? "partly" : "failed") : "done";
    write(this.sumWords, totals.files ? totalText(uploads, totals) : "");
    this.sumBar.hidden = !totals.files;
    const percent = String(percentOf(totals));
    this.sumBar.style.setProperty("--upload-progress", `${percent}%`);
    this.sumBar.setAttribute("aria-valuenow", percent);
    this.sumBar.setAttribute("aria-valuetext", this.sumWords.textContent ?? "");
    write(this.pause, words.text(paused ? "resume all" : "pause all"));
    this.start.hidden = !isHeld;
    this.pause.hidden = this.cancel.hidden = !open;
    this.retry.hidden = !uploads.failed.some((upload) => upload.slot === slot && upload.error?.retry !== "never");
    this.clear.hidden = ![...this.#shown].some((upload) => upload.ended && (upload.taken || upload.status !== "complete"));
    if (focused?.hidden) (this.#tools().find((tool) => !tool.hidden) ?? this.choose).focus();
    this.#drawZone();
  }

  close() {
    for (const end of this.#ends) end();
    clearTimeout(this.#sumsTimer);
    clearTimeout(this.#countdown);
    clearTimeout(this.#drawTimer);
    this.list.close();
    this.box.remove();
  }
}
