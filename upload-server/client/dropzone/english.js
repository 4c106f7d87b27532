// @ts-check
/** The English words of the widget, beside those of the client. */
import { ENGLISH } from "../texts.js";

/** @type {import("../index.d.ts").Texts} */
const TEXTS = {
  // All uploads.
  "none yet": "Nothing to upload",
  "some done": "{count} of {files} done",
  "some stored": "{count} of {files} files uploaded",
  "one stored": "1 file uploaded",
  "none stored": { one: "The file was not uploaded", other: "No file was uploaded" },
  "some failed": "{count} failed",
  "some waiting": "{count} waiting",
  "continues later": "continues when connected",
  "of bytes": "{received} of {bytes}",
  rate: "{speed}/s",
  left: "{left} left",
  "start all": "Upload now",
  "pause all": "Pause all",
  "resume all": "Resume all",
  "retry all": "Retry failed",
  "cancel all": "Cancel all",
  "clear all": "Clear finished",
  "several failed": "{count} files: {error}",
  // The connection.
  connected: "Connected",
  "not needed": "Connected when needed",
  connecting: "Connecting",
  "no connection": "No connection",
  "next try": "No connection. Next try in {left}",
  "try now": "Try now",
  offline: "You are offline",
  closed: "Closed",
  // Where files are picked.
  choose: { one: "Choose a file", other: "Choose files" },
  "choose another": "Choose another file",
  "choose folder": "Choose a folder",
  "or drop": { one: "or drop it here", other: "or drop them here" },
  "let go": "Let go to upload",
  "any file": "any file",
  "each at most": { one: "{accept} · up to {limit}", other: "{accept} · up to {count} files, {limit} each" },
  files: "Files",
};

Object.assign(ENGLISH.texts, TEXTS);
