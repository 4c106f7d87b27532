/** Uploads over one WebSocket: chunked, checked, resumed by themselves. */

/** The rules of a slot, as the server tells them. */
export interface SlotConfig {
  name: string;
  /** Extensions and media types, as in the `accept` attribute; empty takes everything. */
  accept: string;
  max_entries: number;
  /** In bytes. */
  max_file_size: number;
  /** In bytes. */
  chunk_size: number;
  /** Off: files wait until `start(slot)`, or until their form is sent. */
  auto_upload: boolean;
  resumable: boolean;
  allow_active_content: boolean;
  /** Files go straight to a bucket, by a signed URL. */
  direct?: boolean;
}

/** Where the bytes of a presigned upload go. */
export interface PresignedSpec {
  mode: "presigned";
  url: string;
  /** `PUT` unless told otherwise. */
  method?: string;
  key?: string;
  /** Headers the request must carry. */
  fields?: Record<string, string>;
}

/** A file with what is known about where it came from. */
export interface Picked {
  file: File;
  /** Its path within a dropped or picked folder. */
  relativePath?: string;
  /** Lets a reload continue without picking the file again. */
  handle?: FileSystemFileHandle;
  /** Sends it to a bucket instead of over the socket. */
  spec?: PresignedSpec;
  /** Handed to the server with the registration; at most 4 KiB of JSON. */
  meta?: Record<string, unknown>;
}

export interface UploadsOptions {
  /** The socket's address (`/uploads/ws`), or what makes it; `refresh` is true after the server refused the last one. */
  url: string | URL | ((ask: { refresh: boolean }) => string | URL | Promise<string | URL>);
  /** A sign-in token, added to the address as `?token=`; asked again, with `refresh`, when the server closes with 4401. */
  token?: (ask: { refresh: boolean }) => string | Promise<string>;
  /** Headers for the request that asks for a signed URL. */
  headers?: () => Record<string, string> | Promise<Record<string, string>>;
  /** What to do with files of a slot beside the server's rules. */
  slots?: Record<string, { meta?: Record<string, unknown>; presign?: (file: File) => PresignedSpec | Promise<PresignedSpec> }>;
  /** Files under way at once; 3. */
  concurrency?: number;
  /** Leaves resumable uploads on the server when the page goes away, so that a reload continues; true. */
  keepOnLeave?: boolean;
}

/** `queued` only before an upload starts; `resuming` from a lost connection until bytes flow again. */
export type Status = "queued" | "uploading" | "resuming" | "complete" | "error" | "cancelled";
/** `storing`: all sent, not yet safe; `processing`: safe, the server finishes; `done`: complete. */
export type Phase = "sending" | "storing" | "processing" | "done";
/** What may help (PROTOCOL MSG-3). */
export type Retry = "resend" | "later" | "restart" | "never";

/** The detail of `djust:upload:progress` and `upload:progress` on `window`. */
export interface Progress {
  /** Changes when an upload has to start over. */
  ref: string;
  /** The slot. */
  uploadName: string;
  /** The file's name. */
  name: string;
  status: Status;
  phase: Phase;
  paused: boolean;
  mode: "socket" | "presigned";
  /** 0 to 100; 100 only when complete. */
  progress: number;
  /** Bytes sent. */
  sent: number;
  /** Bytes that survive a crash of the server. */
  stored: number;
  /** Bytes of the file. */
  size: number;
  bytesPerSecond: number;
  secondsLeft: number | null;
}

/** How an upload ended. */
export interface Ending {
  status: "complete" | "error" | "cancelled";
  code?: string;
  error?: string;
  retry?: Retry;
  /** What the server's writer returned. */
  result?: any;
  /** Of the whole file, eight hex digits. */
  crc32c?: string;
}

/** Why an upload did not complete, or an event failed. */
export declare class UploadError extends Error {
  constructor(ending: { code?: string; error?: string; retry?: string });
  /** A code of PROTOCOL section 9, or `file_unreadable`, `file_changed`, `unauthenticated`. */
  readonly code: string;
  readonly retry: Retry;
}

/** One file on its way. */
export declare class Upload implements AsyncIterable<Progress> {
  readonly file: File;
  readonly slot: string;
  readonly ref: string;
  readonly relativePath?: string;
  readonly status: Status;
  readonly paused: boolean;
  /** Complete, failed or cancelled. */
  readonly ended: boolean;
  readonly error: UploadError | null;
  /** What the server's writer returned, once complete. */
  readonly result: any;
  readonly progress: Progress;
  /** Resolves to the ending, rejects with an `UploadError`; not awaiting it is fine. */
  readonly done: Promise<Ending>;
  pause(): void;
  resume(): void;
  cancel(): void;
  /** Takes it up again after an error, from where it got to if the server still has it. */
  retry(): void;
  /** Yields progress until it has ended. */
  [Symbol.asyncIterator](): AsyncIterator<Progress>;
}

/** What IndexedDB keeps of an unfinished upload. */
export interface ResumeRecord {
  ref: string;
  slot: string;
  /** The last offset the server confirmed. */
  offset: number;
  /** `name|size|lastModified`. */
  hint: string | null;
  name: string;
  size: number;
  relativePath?: string;
  handle?: FileSystemFileHandle;
  /** When it was saved and when the server forgets it, in milliseconds since 1970. */
  at: number;
  expires: number;
}

/** A trouble: of one upload, or of the connection. */
export interface Trouble {
  upload?: Upload;
  code: string;
  error: string;
  retry: Retry;
}

export interface UploadsEvents {
  add: Upload;
  progress: Upload;
  error: Trouble;
  /** An `event_result` message. */
  event: Record<string, any>;
  configs: Record<string, SlotConfig>;
  /** Open or not. */
  connection: boolean;
}

/** All uploads of a page, over one socket, which opens with the first need of it. */
export declare class Uploads {
  constructor(options: UploadsOptions);
  readonly options: UploadsOptions;
  readonly configs: Record<string, SlotConfig>;
  /** Resolves to `configs` once the server has told them. */
  readonly ready: Promise<Record<string, SlotConfig>>;
  readonly connected: boolean;
  /** Those that have not ended. */
  readonly uploads: Upload[];
  /** Listens; returns what stops it. */
  on<K extends keyof UploadsEvents>(name: K, listener: (value: UploadsEvents[K]) => void): () => void;
  /** Opens the socket; `add` and `event` do so by themselves. */
  connect(): Promise<Record<string, SlotConfig>>;
  /** Checks files with the slot's rules and uploads those that pass. */
  add(files: Iterable<File | Picked>, slot: string): Upload[];
  /** Starts what waits because `auto_upload` is off; resolves when nothing of the slot is under way. */
  start(slot?: string): Promise<void>;
  /** One upload by its ref, or all. */
  pause(ref?: string): void;
  resume(ref?: string): void;
  cancel(ref?: string): void;
  retry(upload: Upload): void;
  /** Runs the application's handler of that name; resolves to its result. */
  event(event: string, params?: object): Promise<any>;
  /** What a former page left unfinished, newest first. */
  pending(slot: string): Promise<ResumeRecord[]>;
  /** Continues one through its file handle, from a click; undefined if there is none or the user says no. */
  restore(record: ResumeRecord): Promise<Upload | undefined>;
  /** Forgets one. */
  forget(ref: string): Promise<void>;
  /** Closes the socket for good; the server keeps what can be resumed. */
  close(): void;
}

export declare function createUploads(options: UploadsOptions): Uploads;

/** The page's own, if `index.js` is one of its scripts (`<script type="module" src="…/client/index.js" data-url="…">`). */
export declare const uploads: Uploads | null;

/** Gives the `dj-*` attributes under `root` their meaning; returns what ends it. */
export declare function bind(uploads: Uploads, root?: Document | HTMLElement): () => void;

/** The files of a drop or a paste, with those of folders in it; to be called inside the event. */
export declare function filesOf(transfer: DataTransfer): Promise<Picked[]>;

/** `name|size|lastModified`. */
export declare function fileHint(file: File | null | undefined): string | null;

export interface SenderOptions {
  ref: string;
  slot: string;
  name: string;
  type: string;
  size: number;
  chunkSize?: number;
  resumable?: boolean;
  /** The server may have it already: ask before registering. */
  resume?: boolean;
  clientId?: string;
  lastModified?: number;
  relativePath?: string;
  meta?: Record<string, unknown>;
  /** Makes a fresh UUID, for starting over. */
  newRef: () => string;
}

export type SenderOutput =
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
  readonly bytesPerSecond: number;
  /** Buffers that came with `handleData` and are free again; take them for the next reads. */
  readonly spare: ArrayBuffer[];
  /** Seconds the server keeps what it has without progress. */
  readonly expiresIn?: number;
  /** Competes for the socket. */
  readonly active: boolean;
  /** Has nothing more to say to the server. */
  readonly finished: boolean;
  handleConnected(now: number): void;
  handleDisconnected(now: number): void;
  handleMessage(message: Record<string, any>, now: number): void;
  handleData(offset: number, bytes: Uint8Array, now: number): void;
  handleUnreadable(): void;
  handleTimeout(now: number): void;
  pollTimeout(): number | null;
  pause(): void;
  resume(now: number): void;
  cancel(now: number): void;
  poll(): SenderOutput | null;
  /** The next chunk or complete frame; valid until the next call. */
  pollFrame(): Uint8Array<ArrayBuffer> | null;
}
