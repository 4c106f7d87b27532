/** The wire against the golden vectors that upload-proto's own tests read, and the slot rules. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { encodeCancel, encodeChunk, encodeComplete, parseMessage, refBytes, refusal } from "../protocol.js";
import { Sender } from "../sender.js";
import { configs, decodeFrame } from "./model.mjs";

const vectors = (name) => {
  const { format, cases } = JSON.parse(readFileSync(new URL(`../../../upload-proto/vectors/${name}.json`, import.meta.url), "utf8"));
  assert.equal(format, 1);
  assert.ok(cases.length);
  return cases;
};
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bytes = (text) => new Uint8Array(Buffer.from(text, "hex"));

test("every golden frame is written byte by byte (FRAME-1)", () => {
  const seen = { chunk: 0, complete: 0, cancel: 0 };
  for (const { name, hex: expected, frame } of vectors("frames")) {
    if (!frame) continue;
    seen[frame.kind]++;
    const { ref } = frame;
    const written = {
      chunk: () => encodeChunk(ref, frame.index, bytes(frame.data)),
      complete: () => encodeComplete(ref, frame.crc32c === null ? undefined : parseInt(frame.crc32c, 16)),
      cancel: () => encodeCancel(ref),
    }[frame.kind]();
    assert.equal(hex(written), expected, name);
    assert.equal(decodeFrame(written).type, frame.kind);
  }
  assert.ok(seen.chunk && seen.complete && seen.cancel, JSON.stringify(seen));
});

test("a frame is written into a longer buffer without touching what is behind it", () => {
  const into = new Uint8Array(64).fill(255);
  const frame = encodeChunk("aabbccdd-eeff-0011-2233-445566778899", 7, bytes("0102"), into);
  assert.equal(hex(frame), "01aabbccddeeff00112233445566778899000000070102");
  assert.equal(frame.buffer, into.buffer);
  assert.ok(into.subarray(23).every((b) => b === 255));
});

test("every golden server message is read as it is meant", () => {
  for (const { name, text, message, unknown, error } of vectors("server_messages")) {
    const read = parseMessage(text);
    if (error) {
      // Missing fields are the sender's to bear (below); what is no message at all is null.
      let type;
      try {
        type = JSON.parse(text)?.type;
      } catch {}
      if (typeof type !== "string") assert.equal(read, null, name);
    } else if (!unknown) {
      const lower = (v) => (typeof v === "string" && refBytes(v) ? v.toLowerCase() : v); // the client only ever made lower-case refs
      for (const [key, value] of Object.entries(message)) assert.deepEqual(lower(read[key]), value, `${name}: ${key}`);
    } else {
      assert.equal(typeof read.type, "string", name);
    }
  }
});

test("every golden server message leaves a sender sane", () => {
  for (const { name, text } of vectors("server_messages")) {
    const message = parseMessage(text);
    const sender = new Sender({ ref: message?.ref ?? "00000000-0000-4000-8000-000000000001", slot: "photos", name: "a", type: "", size: 11, resumable: true, resume: true, newRef: () => "00000000-0000-4000-8000-000000000002" });
    sender.handleConnected(0);
    if (message) sender.handleMessage(message, 1);
    for (let i = 0; sender.poll(); i++) assert.ok(i < 20, name);
    sender.pollFrame();
    assert.ok(sender.sent <= sender.size, name);
  }
});

test("the messages a sender writes are among the golden ones", () => {
  const golden = vectors("client_messages").filter((c) => c.message);
  for (const type of ["upload_register", "upload_resume"]) {
    const known = new Set(golden.filter((c) => c.message.type === type).flatMap((c) => Object.keys(c.message)));
    const sender = new Sender({
      ref: "aabbccdd-eeff-0011-2233-445566778899", slot: "photos", name: "a.png", type: "image/png", size: 11, resumable: true, resume: type === "upload_resume",
      clientId: "tab", lastModified: 1, relativePath: "b/a.png", meta: { a: 1 }, newRef: () => "",
    });
    sender.handleConnected(0);
    const { message } = sender.poll();
    assert.equal(message.type, type);
    for (const key of Object.keys(message)) assert.ok(known.has(key), `${type} has ${key}, the vectors only ${[...known]}`);
  }
});

test("what is no message is null", () => {
  for (const text of ["", "{", "[]", "5", "null", '"ping"', "{}", '{"type":5}']) assert.equal(parseMessage(text), null, text);
});

test("UUID text is 16 bytes, anything else nothing", () => {
  assert.equal(hex(refBytes("AABBCCDD-eeff-0011-2233-445566778899")), "aabbccddeeff00112233445566778899");
  for (const no of ["", "aabbccdd", "aabbccddeeff00112233445566778899", "gabbccdd-eeff-0011-2233-445566778899", null, 5]) assert.equal(refBytes(no), null);
  assert.throws(() => encodeCancel("nonsense"), TypeError);
});

test("files are refused for the reasons and in the order of MSG-1a", () => {
  const slot = (more) => configs({ x: { max_entries: 2, max_file_size: 1000, accept: "", ...more } }).x;
  const is = (code, more, name, type = "", size = 1, underWay = 0) => assert.equal(refusal(slot(more), { name, type, size }, underWay), code, `${name} ${type}`);
  is(null, {}, "anything.exe");
  is("too_many_entries", {}, "a", "", 5000, 2);
  is("too_large", {}, "a.html", "", 1001);
  is(null, {}, "a", "", 1000);
  for (const [name, type] of [["evil.svg", ""], ["page.HTML", ""], ["report", "text/html; charset=utf-8"], ["payload.js ", ""], ["a.svg. . .", ""], ["a.ｓｖｇ", ""], ["a.svg\u200b", ""], ["x", "  image/svg+xml ; a=b"], ["a.svg/.", ""]]) {
    is("active_content", {}, name, type);
    is(null, { allow_active_content: true }, name, type);
  }
  is("type_not_accepted", { accept: ".jpg,.png" }, "a.gif", "image/gif");
  is("type_not_accepted", { accept: ".jpg" }, "photo.jpg.exe");
  is(null, { accept: ".jpg, .PNG" }, "PHOTO.JPG", "image/jpeg");
  is(null, { accept: "image/*" }, "a.webp", "image/webp");
  is(null, { accept: "image/*" }, "a.webp", "application/octet-stream");
  is("type_not_accepted", { accept: "image/*" }, "a.pdf", "application/pdf");
  is(null, { accept: "*/*" }, "a.pdf", "application/pdf");
  is("type_not_accepted", { accept: "image/jpeg,.gif" }, "a.png", "image/png");
});

test("a file is not refused for another name of its type", () => {
  const rows = [
    ["application/zip", "a.zip", "application/x-zip-compressed"], ["image/jpeg", "a.jpg", "image/pjpeg"], ["image/jpeg", "a.jpg", "image/jpg"], ["image/jpg", "a.jpg", "image/jpeg"],
    ["audio/mpeg", "a.mp3", "audio/mp3"], ["image/*", "a.jpg", "binary/octet-stream"], ["text/markdown", "a.md", "text/x-markdown"], ["text/csv", "a.csv", "application/vnd.ms-excel"],
    ["image/*", "a.nef", ""], ["video/quicktime", "a.mov", "video/mp4"], [".docx", "a.docx", "application/wps-office.docx"], ["application/pdf", "a.pdf", "application/x-pdf"],
  ];
  for (const [accept, name, type] of rows) {
    assert.equal(refusal(configs({ x: { max_entries: 2, max_file_size: 1000, accept } }).x, { name, type, size: 1 }), null, `${accept}: ${name} as ${type}`);
  }
});
