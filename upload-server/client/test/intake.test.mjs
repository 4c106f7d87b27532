/** Files out of drops and folders: each once, and what cannot be taken is counted. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FILES_MAX, filesIn, filesOf } from "../intake.js";

/** An entry of a file; without bytes it is one that cannot be opened. */
const fileEntry = (name, bytes = "x") => ({
  name, isFile: true, isDirectory: false, fullPath: "",
  file: (done, fail) => setImmediate(() => (bytes === null ? fail(new DOMException("gone", "NotFoundError")) : done(new File([bytes], name)))),
});

/** An entry of a folder, whose children come in batches as browsers give them; without children it cannot be listed. */
const folderEntry = (name, children) => ({
  name, isFile: false, isDirectory: true, fullPath: "",
  createReader() {
    let at = 0;
    return {
      readEntries: (done, fail) => setImmediate(() => (children === null ? fail(new DOMException("no", "NotReadableError")) : done(children.slice(at, (at += 100))))),
    };
  },
  children: children ?? [],
});

/** Gives entries their paths, as the browser does. */
function placed(entry, parent = "") {
  if (entry.fullPath) return entry;
  entry.fullPath = `${parent}/${entry.name}`;
  for (const child of entry.children ?? []) placed(child, entry.fullPath);
  return entry;
}

const drop = (...entries) => ({
  items: entries.map((entry) => ({ kind: "file", webkitGetAsEntry: () => placed(entry), getAsFile: () => (entry.isFile && entry.name ? new File(["x"], entry.name) : null) })),
});
const paths = ({ files }) => files.map(({ file, relativePath }) => relativePath ?? file.name);

test("a folder gives each of its files once, with its path", async () => {
  const found = await filesOf(drop(folderEntry("a", [fileEntry("1.txt"), folderEntry("b", [fileEntry("2.txt")])]), fileEntry("3.txt")));
  assert.deepEqual(paths(found), ["a/1.txt", "a/b/2.txt", "3.txt"]);
  assert.deepEqual([found.unreadable, found.beyond, found.companions], [0, 0, 0]);
});

test("a folder without a name, which lists its parent again, is counted and not followed", async () => {
  const parent = folderEntry("l", []);
  const nameless = Object.assign(folderEntry("", []), { fullPath: "/l/", children: [] });
  parent.children.push(fileEntry("plain.txt"), nameless, Object.assign(folderEntry("", []), { fullPath: "/l/" }));
  parent.createReader = nameless.createReader = folderEntry("l", parent.children).createReader;
  const found = await filesOf(drop(parent));
  assert.deepEqual(paths(found), ["l/plain.txt"]);
  assert.equal(found.unreadable, 2);
});

test("a folder that comes again under the same path is not followed twice", async () => {
  const loop = folderEntry("l", []);
  loop.children.push(fileEntry("plain.txt"), loop);
  placed(loop);
  const found = await filesOf(drop(loop));
  assert.deepEqual(paths(found), ["l/plain.txt"]);
  assert.equal(found.unreadable, 1);
});

test("files and folders that cannot be opened are counted, and their neighbours taken", async () => {
  const found = await filesOf(drop(folderEntry("a", [fileEntry("gone.txt", null), folderEntry("shut", null), fileEntry("here.txt"), fileEntry("", "y")])));
  assert.deepEqual(paths(found), ["a/here.txt"]);
  assert.equal(found.unreadable, 3);
});

test("folders nested too deep are counted", async () => {
  let deep = folderEntry("bottom", [fileEntry("lost.txt")]);
  for (let i = 0; i < 40; i++) deep = folderEntry(`level${i}`, [deep, fileEntry(`${i}.txt`)]);
  const found = await filesOf(drop(deep));
  assert.equal(found.files.length, 33);
  assert.equal(found.unreadable, 1);
});

test("files beyond the most that are taken at once are counted, in folders and outside", async () => {
  const many = Array.from({ length: FILES_MAX + 50 }, (_, i) => fileEntry(`f${i}.txt`));
  const found = await filesOf(drop(folderEntry("big", many), fileEntry("late.txt")));
  assert.deepEqual([found.files.length, found.beyond], [FILES_MAX, 51]);
  const picked = filesIn(Array.from({ length: FILES_MAX + 7 }, () => new File([], "f")));
  assert.deepEqual([picked.files.length, picked.beyond], [FILES_MAX, 7]);
});

test("companions stay out of folders and are counted; picked or dropped by name they are taken", async () => {
  const names = ["._IMG_1.jpg", "~$report.docx", ".DS_Store", "Thumbs.db", "desktop.ini", ".~lock.a.odt#", "IMG_1.jpg", ".htaccess", "~x"];
  const inside = () => folderEntry("f", names.map((name) => fileEntry(name)));
  const found = await filesOf(drop(inside()));
  assert.deepEqual([paths(found), found.companions], [["f/IMG_1.jpg", "f/.htaccess", "f/~x"], 6]);
  assert.equal((await filesOf(drop(inside()), { companions: true })).files.length, names.length);
  assert.equal((await filesOf(drop(...names.map((name) => fileEntry(name))))).files.length, names.length);
  const picked = names.map((name) => Object.defineProperty(new File([], name), "webkitRelativePath", { value: `f/${name}` }));
  assert.deepEqual([filesIn(picked).files.length, filesIn(picked).companions], [3, 6]);
});
