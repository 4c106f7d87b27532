/**
 * Uploads over one WebSocket: chunked, checked, resumed by themselves.
 *
 * Sizes and offsets are in bytes, moments in milliseconds since 1970, unless a name says otherwise.
 */

/** The rules of a slot, as the server tells them. */
export interface SlotConfig {
  /** The slot's name, as `dj-upload` and `add` take it. */
  name: string;
  /** Extensions and media types, as in the `accept` attribute (`.jpg,image/png`); empty takes everything. */
  accept: string;
  /** Files of this page that may be under way, or complete and not yet taken by the application, at once. */
  max_entries: number;
  /** The largest file, in bytes. */
  max_file_size: number;
  /** Data of one frame, in bytes. */
  chunk_size: number;
  /** Off: files wait until `start(slot)`, or until their form is sent. */
  auto_upload: boolean;
  /** Survives lost connections and reloads of the page; otherwise a lost connection starts the file over. */
  resumable: boolean;
  /** Takes what a browser would run: SVG, HTML, scripts. */
  allow_active_content: boolean;
  /** Files go straight to a bucket, by a signed URL. */
  direct?: boolean;
  /** A complete file frees its place at once: files beyond `max_entries` wait for one instead of being refused. */
  consumes_on_complete?: boolean;
}

/** Where the bytes of a presigned upload go: the answer of `POST /uploads/presign`, or one of your own. */
export interface PresignedSpec {
  mode: "presigned";
  /** The signed address, good for this one file until it expires. */
  url: string;
  /** `PUT` unless told otherwise. */
  method?: string;
  /** The object's key in the bucket; becomes the upload's `result`, `{key}`. */
  key?: string;
  /** Headers the request must carry; the browser sets `host` and `content-length` itself. */
  fields?: Record<string, string>;
}

/** A file with what is known about where it came from. */
export interface Picked {
  /** A blob that is no `File` needs a `name`. */
  file: File | Blob;
  /** Its name, instead of the file's. */
  name?: string;
  /** Its path within a dropped or picked folder, with `/`; `webkitRelativePath` by default. */
  relativePath?: string;
  /** Lets a reload continue without picking the file again; dropped files have one in Chromium. */
  handle?: FileSystemFileHandle;
  /** Sends it to a bucket instead of over the socket. */
  spec?: PresignedSpec;
  /** Handed to the server with the registration, instead of the slot's `meta`; at most 4 KiB of JSON. */
  meta?: Record<string, unknown>;
}

/** What a page wants of the uploads of one slot. */
export interface SlotOptions {
  /** Goes along with each file; at most 4 KiB of JSON. */
  meta?: Record<string, unknown>;
  /** Brings a signed URL instead of the server's. An error without a `code` ends the upload as `unreachable`, which may be retried. */
  presign?: (file: File) => PresignedSpec | Promise<PresignedSpec>;
  /** Files of the slot that are sent at once, within `concurrency`. */
  concurrency?: number;
  /**
   * Asked before a file is sent, when its turn has come.
   *
   * Returns another file, name or `meta` for it, or nothing to leave it as it is. Null takes it out, and an error refuses
   * it with its message (`rejected`). `resize.js` makes one for pictures. The signal says that the upload has ended; if it is
   * tried again, the answer that was still to come counts no more, and this is asked anew.
   */
  before?: (picked: Picked, ask: { signal: AbortSignal }) => Blob | Partial<Picked> | null | void | Promise<Blob | Partial<Picked> | null | void>;
}

/** What `createUploads` takes; only `url` is needed. */
export interface UploadsOptions {
  /**
   * The socket's address, relative to the page (`/uploads/ws`), or what makes it, asked before each connection.
   * `http:` becomes `ws:`. `refresh` is true after the server closed the last one with 4401.
   */
  url: string | URL | ((ask: { refresh: boolean }) => string | URL | Promise<string | URL>);
  /**
   * A sign-in token, added to the address as `?token=`; asked before each connection. When the server closes with 4401 it is
   * asked with `refresh: true`, up to three times in a row; then the error `unauthenticated` is told and nothing more is tried.
   */
  token?: (ask: { refresh: boolean }) => string | Promise<string>;
  /** Headers for the requests that ask for a signed URL, or send files over HTTP, such as `{authorization: "Bearer …"}`; none by default. */
  headers?: () => Record<string, string> | Promise<Record<string, string>>;
  /** By slot. */
  slots?: Record<string, SlotOptions>;
  /** Which of two waiting uploads goes first, as for `sort`; by default the one that was added first. */
  order?: (a: Upload, b: Upload) => number;
  /**
   * After a failure that may be retried: in how many milliseconds it is tried again by itself, or null for not at all.
   * `tries` counts from 0. By default only what the server or the line says will pass is tried again.
   */
  retry?: (failure: { upload: Upload; code: string; tries: number }) => number | null;
  /** Names this client: a later connection under the same name takes its uploads over. By default each tab has a name. */
  clientId?: string;
  /**
   * Files that are sent at once, paused ones not counted; 3 by default. Up to four files below 1 MiB share a place, and one
   * whose bytes are all sent leaves it to the next.
   */
  concurrency?: number;
  /** Takes `._*`, `~$*`, `.DS_Store` and the like from folders as well; false by default. */
  companions?: boolean;
  /** The language of texts and numbers; English by default. */
  language?: Language;
  /** Words of your own by code or name, before the language's; what is missing stays the language's, or English. */
  texts?: Texts;
  /**
   * Sends files over HTTP where handshakes fail and HTTP works, as behind proxies that let no WebSocket through, until the
   * page is loaded again; true by default. Events for handlers need a socket: without one they fail as `unreachable`.
   */
  fallback?: boolean;
  /** Leaves resumable uploads on the server when the page goes away, so that a reload continues; true by default. */
  keepOnLeave?: boolean;
}

/** What a text may name in braces, as in `{name}: {error}`; which of them are there depends on the text. */
export interface TextValues {
  name?: string;
  error?: string;
  /** Of the file, with its unit. */
  size?: string;
  /** With its unit, or a number of files. */
  limit?: string;
  /** The types that the slot accepts. */
  accept?: string;
  /** Of the file, in capitals. */
  extension?: string;
  count?: number;
  /** Of a page or a slot. */
  files?: number;
  speed?: string;
  left?: string;
  received?: string;
  bytes?: string;
}

/** A text; by plural category of `count` (`{ one: "1 file", other: "{count} files" }`); or what makes it. */
export type Text = string | Partial<Record<Intl.LDMLPluralRule, string>> | ((values: TextValues) => string);

/** By code of an error (`too_large`) or by name (`waiting`, `pause`); of a list, the first counts whose values are all there. `texts.js` has all names. */
export type Texts = Record<string, Text | Text[]>;

/** A language, such as `languages/de.js`. */
export interface Language {
  /** A BCP 47 tag, for plurals and numbers. */
  locale: string;
  texts: Texts;
}

/** Texts, numbers and sizes in the language of a page. */
export interface Words {
  readonly locale: string;
  /** Empty where there is no such text, or a value of it is missing. */
  text(key: string, values?: TextValues): string;
  number(value: number): string;
  /** In units of 1000. */
  size(bytes: number): string;
  time(seconds: number): string;
  /** An accept list for people: `.pdf,image/*` is "PDF, images". */
  kinds(accept: string): string;
}

/** How the connection is. */
export interface Connection {
  /** `waiting`: the next try is at `retryAt`; `unauthenticated`, `closed`: there is none. */
  state: "idle" | "connecting" | "open" | "waiting" | "offline" | "unauthenticated" | "closed";
  /** In milliseconds since 1970. */
  retryAt: number | null;
}

/** Sums over the files that were added since the page last had nothing to do, and over failures that are still there. */
export interface Totals {
  files: number;
  done: number;
  failed: number;
  /** Being sent; paused ones that have begun count here. */
  running: number;
  /** For a place, for the connection or for `start`. */
  waiting: number;
  /** Of those that run or wait, held back by their user. */
  paused: number;
  /** Of all that has not failed. */
  bytes: number;
  receivedBytes: number;
  /** 0 when nothing moves. */
  bytesPerSecond: number;
  secondsLeft: number | null;
}

/** `queued` only before an upload starts; `resuming` from a lost connection until bytes flow again. */
export type Status = "queued" | "uploading" | "resuming" | "complete" | "error" | "cancelled";
/** `storing`: the server has every byte, not yet safe; `processing`: safe, the server finishes; `done`: complete. */
export type Phase = "sending" | "storing" | "processing" | "done";
/** What may help (PROTOCOL MSG-3). */
export type Retry = "resend" | "later" | "restart" | "never";

/** How an upload stands; the detail of `djust:upload:progress` and `upload:progress` on `window`. */
export interface Progress {
  /** Changes when an upload has to start over. */
  ref: string;
  /** The slot. */
  uploadName: string;
  /** The file's name. */
  name: string;
  status: Status;
  phase: Phase;
  /** Held back by `pause`; its `status` stays what it was. */
  paused: boolean;
  /** Over the socket, or straight to a bucket, where there is no pause. */
  mode: "socket" | "presigned";
  /** Whole per cent of what the server has taken, 0 to 100; 100 only when complete. */
  progress: number;
  /** Bytes handed to the connection; goes back where a resume has to. */
  sent: number;
  /** Bytes that the server has. */
  received: number;
  /** Bytes that survive a crash of the server; presigned: 0 until complete. */
  stored: number;
  /** Bytes of the file. */
  size: number;
  /** Smoothed over a few seconds; 0 until it is known, when nothing moves, and always for presigned ones. */
  bytesPerSecond: number;
  /** Null until the speed is known. */
  secondsLeft: number | null;
}

/** How an upload ended. */
export interface Ending {
  status: "complete" | "error" | "cancelled";
  /** Where it is not complete: a code of PROTOCOL section 9, or `file_unreadable`, `file_changed`. */
  code?: string;
  /** The application's own code, where it chose the words. */
  reason?: string;
  /** The server's words for people. */
  error?: string;
  retry?: Retry;
  /** What the server's writer returned, such as `{path, size}` or `{bucket, key, etag, size}`; presigned: `{key}`. */
  result?: any;
  /** Of the whole file, eight hex digits. */
  crc32c?: string;
}

/** Why an upload did not complete, or an event failed; `message` is for people. */
export declare class UploadError extends Error {
  constructor(ending: { code?: string; reason?: string; error?: string; retry?: string });
  /** A code of PROTOCOL section 9, or `file_unreadable`, `file_changed`, `unauthenticated`. */
  readonly code: string;
  /** The application's own code, where it chose the message. */
  readonly reason?: string;
  readonly retry: Retry;
}

/** One file on its way; made by `add`. The same object from the first byte to the ending, also over restarts. */
export declare class Upload implements AsyncIterable<Progress> {
  /** A `File`, if that is what was added; of an upload of an earlier page only name and size are known. */
  readonly file: File;
  readonly name: string;
  readonly slot: string;
  /** A UUID, which rows carry as `data-upload-ref`; another one after it had to start over. */
  readonly ref: string;
  /** Its path within a folder. */
  readonly relativePath?: string;
  readonly status: Status;
  readonly paused: boolean;
  /** Complete, failed or cancelled. */
  readonly ended: boolean;
  /** Complete, and the application has it: `remove` only takes it out of the page. */
  readonly taken: boolean;
  /** The server was asked to delete it and has not answered yet. */
  readonly removing: boolean;
  /** Why it ended otherwise than complete; null before, and when complete. */
  readonly error: UploadError | null;
  /** What the server's writer returned, once complete; undefined before. */
  readonly result: any;
  /** A fresh copy of how it stands now. */
  readonly progress: Progress;
  /** Resolves to the ending, rejects with an `UploadError`; not awaiting it is fine. */
  readonly done: Promise<Ending>;
  /** Sends nothing more until `resume`, also over lost connections. */
  pause(): void;
  /** Goes on after `pause`. */
  resume(): void;
  /** Ends it here at once, and on the server as soon as it can be reached, which removes what was stored. */
  cancel(): void;
  /** Takes it up again after an error, from where it got to if the server still has it; `done` is a new promise then. */
  retry(): void;
  /**
   * Cancels it if it has not ended, deletes it at the server if it is complete and the application has not taken it, and
   * takes it out of rows and totals. Where the server cannot delete it, it stays, and an error says why.
   */
  remove(): void;
  /** Yields progress, at most every 80 ms, until it has ended; the last one is the ending's. Never throws. */
  [Symbol.asyncIterator](): AsyncIterator<Progress>;
}

/** What IndexedDB keeps of an unfinished upload, database `uploads`; at most 200. */
export interface ResumeRecord {
  ref: string;
  slot: string;
  /** The last offset the server confirmed. */
  offset: number;
  /** `name|size|lastModified`, by which a file that is picked again is known. */
  hint: string | null;
  /** Of the file. */
  name: string;
  /** Of the file, in bytes. */
  size: number;
  relativePath?: string;
  /** With it, `restore` needs no new pick. */
  handle?: FileSystemFileHandle;
  /** When it was saved. */
  at: number;
  /** When the server forgets it. */
  expires: number;
}

/** What was found in a drop, a paste or a picked folder. */
export interface Found {
  /** At most 20,000. */
  files: Picked[];
  /** Files that systems and office programs keep for themselves (`._*`, `~$*`, `.DS_Store`, `Thumbs.db`), left out of folders. */
  companions: number;
  /** Files and folders that the browser could not open, and folders nested deeper than 32. */
  unreadable: number;
  /** Files beyond the first 20,000; counting ends at 100,000. */
  beyond: number;
}

/** What became of a drop, a paste or a pick; the detail of `djust:upload:intake` and `upload:intake` on `window`. */
export interface Intake extends Omit<Found, "files"> {
  slot: string;
  /** Files that were added. */
  added: number;
}

/** A trouble: of one upload, of files that could not be added, or of the connection. */
export interface Trouble {
  /** The upload, or undefined where it is about none. */
  upload?: Upload;
  /** The slot, where it is about one. */
  slot?: string;
  /** Of files or folders that it is about, where there is no upload: `file_unreadable`, `too_many_files`. */
  count?: number;
  /** A code of docs/errors.md: the server's, or one that the client gives by itself. */
  code: string;
  /** The application's own code, where it chose the text. */
  reason?: string;
  /** For people. */
  error: string;
  /** `later`: it will be tried again by itself, or may be by `retry`. */
  retry: Retry;
}

/** What `on` listens to, and what its listeners are handed. */
export interface UploadsEvents {
  /** An upload was added, before anything is known of it. */
  add: Upload;
  /** An upload moved on, at most every 80 ms each, or changed its status; `complete` comes once for each. */
  progress: Upload;
  /** An upload that is complete is being removed at the server, stays there after all, or was taken by the application. */
  change: Upload;
  /** Something went wrong; not every trouble is an ending. */
  error: Trouble;
  /** `addFrom` has added what could be. */
  intake: Intake;
  /** An upload was removed by `remove`; or it failed, and its file was added again and continues as another upload. */
  remove: Upload;
  /** An `event_result` message: `{id, event, ok, result}` or `{id, event, ok, code, error}`. */
  event: Record<string, any>;
  /** The slots' rules came, with each connection. */
  configs: Record<string, SlotConfig>;
  /** The connection is in another state. */
  connection: Connection;
  /** The application tells its owner's pages something, by `notify`. */
  push: { event: string; value: any };
}

/** What a handler of the application answered, and what became of the uploads that its event named. */
export interface EventAnswer {
  /** The handler's result. */
  result: any;
  /** Those that the handler was offered. */
  offered: Upload[];
  /** Those that an earlier event took, whose answer was lost or went to another page. */
  taken: Upload[];
  /** Where `slots` have nothing to offer: what earlier events of this page took from them. */
  before: Upload[];
  /** Those that the server does not have: another page removed them, or they waited too long. They are removed here too. */
  unknown: Upload[];
}

/** All uploads of a page, over one socket, which opens with the first need of it. */
export declare class Uploads {
  constructor(options: UploadsOptions);
  readonly options: UploadsOptions;
  readonly words: Words;
  /** The slots' rules by name; empty until the server has told them. */
  readonly configs: Record<string, SlotConfig>;
  /** Resolves to `configs` once the server has told them. */
  readonly ready: Promise<Record<string, SlotConfig>>;
  /** Whether the connection is open now. */
  readonly connected: boolean;
  readonly connection: Connection;
  /** Those that have not ended, oldest first. */
  readonly uploads: Upload[];
  /** Those that failed and were neither retried nor removed. */
  readonly failed: Upload[];
  readonly totals: Totals;
  /** The same of one slot. */
  totalsOf(slot: string): Totals;
  /** Refs of complete uploads that the application has not taken yet, by slot or all: what a form names. */
  finished(slot?: string): string[];
  /** Adds this owner's complete uploads that the application has not taken, from an earlier page or another tab; resolves to the new ones. */
  earlier(slot: string): Promise<Upload[]>;
  /** Changes the language of all texts. */
  setLanguage(language: Language): void;
  /** Listens; returns what stops it. A listener is called at once, inside what happens, and should not throw. */
  on<K extends keyof UploadsEvents>(name: K, listener: (value: UploadsEvents[K]) => void): () => void;
  /** Opens the socket; `add` and `event` do so by themselves. Rejects if the server refuses this client. */
  connect(): Promise<Record<string, SlotConfig>>;
  /** Tries at once what would be tried at `connection.retryAt`. */
  reconnect(): void;
  /**
   * Uploads files, one upload for each, in their order. Those that the slot's rules refuse end with the server's code before a
   * byte is sent; a file that an earlier page did not finish continues where it was. The signal cancels them.
   * With `replace`, a file for a slot of one removes what is there, unless the slot's rules refuse it.
   */
  add(files: Iterable<File | Blob | Picked>, slot: string, options?: { signal?: AbortSignal; replace?: boolean }): Upload[];
  /**
   * Uploads the files of a drop, a paste or an input, with those of folders; to be called inside the event.
   * What cannot be opened and what is beyond 20,000 files is counted and told as an error.
   * With `replace`, a file for a slot of one removes what is there, unless the slot's rules refuse it.
   */
  addFrom(source: DataTransfer | Iterable<File>, slot: string, options?: { replace?: boolean }): Promise<Upload[]>;
  /** What `addFrom` is still reading, such as a dropped folder, for the slot or for any: each resolves when its files are added. */
  reading(slot?: string): Promise<void>[];
  /**
   * Starts what waits because `auto_upload` is off; resolves when what the slot, or all slots, had then has ended, or is
   * paused. What `addFrom` is still reading belongs to it.
   */
  start(slot?: string): Promise<void>;
  /** Pauses the upload of this ref. */
  pause(ref: string): void;
  /** Resumes the upload of this ref. */
  resume(ref: string): void;
  /** Cancels the upload of this ref. */
  cancel(ref: string): void;
  /** All, or those of a slot; likewise below. */
  pauseAll(slot?: string): void;
  resumeAll(slot?: string): void;
  cancelAll(slot?: string): void;
  /** Retries all that failed and may be retried. */
  retryAll(slot?: string): void;
  /** The same as the upload's own `retry`. */
  retry(upload: Upload): void;
  /**
   * Runs the application's handler of that name, and offers it the finished uploads of this page, or of `slots` alone;
   * resolves to its result. Rejects with an `UploadError`: the handler's,
   * `session_closed` if the connection was lost before the answer, `rate_limited` with 64 unanswered ones, `unreachable` if
   * it could not be sent for 30 seconds, `cancelled` by the signal.
   */
  event(event: string, params?: object, options?: { signal?: AbortSignal; slots?: string[] }): Promise<any>;
  /** The same, and resolves to what became of the uploads as well: an answer that was lost can be asked for again. */
  answer(event: string, params?: object, options?: { signal?: AbortSignal; slots?: string[] }): Promise<EventAnswer>;
  /** What a former page left unfinished and the server should still have, newest first. */
  pending(slot: string): Promise<ResumeRecord[]>;
  /** Continues one through its file handle, from a click; undefined if there is none or the user says no. Rejects if the file cannot be opened. */
  restore(record: ResumeRecord): Promise<Upload | undefined>;
  /** Forgets one here; the server forgets it in its time. */
  forget(ref: string): Promise<void>;
  /** Closes the socket for good and ends all uploads here (`session_closed`); the server keeps what can be resumed. */
  close(): void;
}

/** Makes the uploads of a page; nothing connects before the first need. */
export declare function createUploads(options: UploadsOptions): Uploads;

/** The page's own, if `index.js` is one of its scripts (`<script type="module" src="…/client/index.js" data-url="…">`). */
export declare const uploads: Uploads | null;

/** Gives the `dj-*` attributes under `root`, by default the whole document, their meaning; returns what ends it. */
export declare function bind(uploads: Uploads, root?: Document | HTMLElement): () => void;

/** The files of a drop or a paste, with those of folders in it, at most 20,000; to be called inside the event. */
export declare function filesOf(transfer: DataTransfer, options?: { companions?: boolean }): Promise<Found>;

/** `name|size|lastModified`, by which a file that is picked again is known; null for no file. */
export declare function fileHint(file: File | null | undefined): string | null;

/** What a sender has to know of its file. */
export interface SenderOptions {
  /** A fresh UUID, or that of what is to be resumed. */
  ref: string;
  slot: string;
  name: string;
  /** The media type; may be empty. */
  type: string;
  /** In bytes. */
  size: number;
  /** In bytes; 65536 until the server tells its own. */
  chunkSize?: number;
  /** Whether the slot keeps uploads over lost connections; false by default. */
  resumable?: boolean;
  /** The server may have it already: ask before registering. */
  resume?: boolean;
  /** The same for all connections of one client: it may take its own uploads over (PROTOCOL RESUME-4). */
  clientId?: string;
  /** In milliseconds since 1970; what is no date after that is not sent. */
  lastModified?: number;
  relativePath?: string;
  meta?: Record<string, unknown>;
  /** Makes a fresh UUID, for starting over. */
  newRef: () => string;
}

/** What a sender asks of whoever drives it. */
export type SenderOutput =
  /** Send it as text. */
  | { type: "message"; message: Record<string, unknown> }
  /** A cancel frame. */
  | { type: "frame"; frame: Uint8Array<ArrayBuffer> }
  /** Read so much of the file and hand it to `handleData`. */
  | { type: "read"; offset: number; length: number }
  /** The sender's fields changed. */
  | { type: "progress" }
  /** Something went wrong that it will try again. */
  | { type: "trouble"; trouble: Record<string, any> }
  /** It starts over under `ref`; `previous` is forgotten. */
  | { type: "restart"; previous: string }
  | { type: "done"; ending: Ending };

/**
 * One upload as a pure state machine, for other transports and for tests: after every input drain `poll()`,
 * and call `pollFrame()` while there is room. `now` is in milliseconds.
 */
export declare class Sender {
  constructor(options: SenderOptions);
  readonly ref: string;
  readonly size: number;
  readonly status: Exclude<Status, "queued">;
  readonly phase: Phase;
  readonly paused: boolean;
  readonly resumable: boolean;
  /** Next byte to send, bytes the server took in order, bytes that survive its crash. */
  readonly sent: number;
  readonly received: number;
  readonly durable: number;
  /** Smoothed; 0 until it is known. */
  readonly bytesPerSecond: number;
  /** Buffers that came with `handleData` and are free again; take them for the next reads. */
  readonly spare: ArrayBuffer[];
  /** Seconds the server keeps what it has without progress. */
  readonly expiresIn?: number;
  /** Competes for the socket. */
  readonly active: boolean;
  /** Has nothing more to say to the server. */
  readonly finished: boolean;
  /** The connection is open and `upload_configs` has come. */
  handleConnected(now: number): void;
  handleDisconnected(now: number): void;
  /** Any message of the server; those for other refs are passed over. */
  handleMessage(message: Record<string, any>, now: number): void;
  /** What a `read` asked for; the sender keeps the bytes, and gives their buffer back in `spare`. */
  handleData(offset: number, bytes: Uint8Array<ArrayBuffer>, now: number): void;
  /** What a `read` asked for cannot be had: ends with `file_unreadable`. */
  handleUnreadable(): void;
  /** It is as late as `pollTimeout` said. */
  handleTimeout(now: number): void;
  /** When to call `handleTimeout`; null for not at all. Look again after every input. */
  pollTimeout(): number | null;
  pause(): void;
  resume(now: number): void;
  cancel(now: number): void;
  /** The next thing to do; null when there is none. */
  poll(): SenderOutput | null;
  /** The next chunk or complete frame; valid until the next call. */
  pollFrame(): Uint8Array<ArrayBuffer> | null;
}
