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
  file: File;
  /** Its path within a dropped or picked folder, with `/`; `webkitRelativePath` by default. */
  relativePath?: string;
  /** Lets a reload continue without picking the file again; dropped files have one in Chromium. */
  handle?: FileSystemFileHandle;
  /** Sends it to a bucket instead of over the socket. */
  spec?: PresignedSpec;
  /** Handed to the server with the registration, instead of the slot's `meta`; at most 4 KiB of JSON. */
  meta?: Record<string, unknown>;
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
  /** Headers for the request that asks for a signed URL, such as `{authorization: "Bearer …"}`; none by default. */
  headers?: () => Record<string, string> | Promise<Record<string, string>>;
  /** Per slot: `meta` goes along with each file (at most 4 KiB of JSON), `presign` brings a signed URL instead of the server's. */
  slots?: Record<string, { meta?: Record<string, unknown>; presign?: (file: File) => PresignedSpec | Promise<PresignedSpec> }>;
  /** Files under way at once, paused ones not counted; 3 by default. */
  concurrency?: number;
  /** Leaves resumable uploads on the server when the page goes away, so that a reload continues; true by default. */
  keepOnLeave?: boolean;
}

/** `queued` only before an upload starts; `resuming` from a lost connection until bytes flow again. */
export type Status = "queued" | "uploading" | "resuming" | "complete" | "error" | "cancelled";
/** `storing`: all sent, not yet safe; `processing`: safe, the server finishes; `done`: complete. */
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
  /** Bytes that survive a crash of the server; presigned: 0 until complete. */
  stored: number;
  /** Bytes of the file. */
  size: number;
  /** Smoothed over a few seconds; 0 until it is known, and always for presigned ones. */
  bytesPerSecond: number;
  /** Null until the speed is known. */
  secondsLeft: number | null;
}

/** How an upload ended. */
export interface Ending {
  status: "complete" | "error" | "cancelled";
  /** Where it is not complete: a code of PROTOCOL section 9, or `file_unreadable`, `file_changed`. */
  code?: string;
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
  constructor(ending: { code?: string; error?: string; retry?: string });
  /** A code of PROTOCOL section 9, or `file_unreadable`, `file_changed`, `unauthenticated`. */
  readonly code: string;
  readonly retry: Retry;
}

/** One file on its way; made by `add`. The same object from the first byte to the ending, also over restarts. */
export declare class Upload implements AsyncIterable<Progress> {
  readonly file: File;
  readonly slot: string;
  /** A UUID, which rows carry as `data-upload-ref`; another one after it had to start over. */
  readonly ref: string;
  /** Its path within a folder. */
  readonly relativePath?: string;
  readonly status: Status;
  readonly paused: boolean;
  /** Complete, failed or cancelled. */
  readonly ended: boolean;
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

/** A trouble: of one upload, or of the connection. */
export interface Trouble {
  /** The upload, or undefined for the connection's own. */
  upload?: Upload;
  code: string;
  /** For people. */
  error: string;
  /** `later`: it will be tried again by itself, or may be by `retry`. */
  retry: Retry;
}

/** What `on` listens to, and what its listeners are handed. */
export interface UploadsEvents {
  /** An upload was added, before anything is known of it. */
  add: Upload;
  /** An upload moved on, at most every 80 ms each, or changed its status. */
  progress: Upload;
  /** Something went wrong; not every trouble is an ending. */
  error: Trouble;
  /** An `event_result` message: `{id, event, ok, result}` or `{id, event, ok, code, error}`. */
  event: Record<string, any>;
  /** The slots' rules came, with each connection. */
  configs: Record<string, SlotConfig>;
  /** Whether the connection is open now. */
  connection: boolean;
}

/** All uploads of a page, over one socket, which opens with the first need of it. */
export declare class Uploads {
  constructor(options: UploadsOptions);
  readonly options: UploadsOptions;
  /** The slots' rules by name; empty until the server has told them. */
  readonly configs: Record<string, SlotConfig>;
  /** Resolves to `configs` once the server has told them. */
  readonly ready: Promise<Record<string, SlotConfig>>;
  /** Whether the connection is open now. */
  readonly connected: boolean;
  /** Those that have not ended, oldest first. */
  readonly uploads: Upload[];
  /** Listens; returns what stops it. A listener is called at once, inside what happens, and should not throw. */
  on<K extends keyof UploadsEvents>(name: K, listener: (value: UploadsEvents[K]) => void): () => void;
  /** Opens the socket; `add` and `event` do so by themselves. */
  connect(): Promise<Record<string, SlotConfig>>;
  /**
   * Uploads files, one upload for each, in their order. Those that the slot's rules refuse end with the server's code before a
   * byte is sent; a file that an earlier page did not finish goes on where it was.
   */
  add(files: Iterable<File | Picked>, slot: string): Upload[];
  /** Starts what waits because `auto_upload` is off; resolves when what the slot, or all slots, had then has ended, however. */
  start(slot?: string): Promise<void>;
  /** Pauses one upload by its ref, or all. */
  pause(ref?: string): void;
  /** Resumes one upload by its ref, or all. */
  resume(ref?: string): void;
  /** Cancels one upload by its ref, or all. */
  cancel(ref?: string): void;
  /** The same as the upload's own `retry`. */
  retry(upload: Upload): void;
  /**
   * Runs the application's handler of that name; resolves to its result. Rejects with an `UploadError`: the handler's,
   * `session_closed` if the connection was lost before the answer, `rate_limited` with 64 unanswered ones.
   */
  event(event: string, params?: object): Promise<any>;
  /** What a former page left unfinished and the server should still have, newest first. */
  pending(slot: string): Promise<ResumeRecord[]>;
  /** Continues one through its file handle, from a click; undefined if there is none or the user says no. */
  restore(record: ResumeRecord): Promise<Upload | undefined>;
  /** Forgets one here; the server forgets it in its time. */
  forget(ref: string): Promise<void>;
  /** Closes the socket for good; the server keeps what can be resumed. */
  close(): void;
}

/** Makes the uploads of a page; nothing connects before the first need. */
export declare function createUploads(options: UploadsOptions): Uploads;

/** The page's own, if `index.js` is one of its scripts (`<script type="module" src="…/client/index.js" data-url="…">`). */
export declare const uploads: Uploads | null;

/** Gives the `dj-*` attributes under `root`, by default the whole document, their meaning; returns what ends it. */
export declare function bind(uploads: Uploads, root?: Document | HTMLElement): () => void;

/** The files of a drop or a paste, with those of folders in it, at most 10,000; to be called inside the event. */
export declare function filesOf(transfer: DataTransfer): Promise<Picked[]>;

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
  /** In milliseconds since 1970. */
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
  handleData(offset: number, bytes: Uint8Array, now: number): void;
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
