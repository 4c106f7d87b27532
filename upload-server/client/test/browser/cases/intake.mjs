/** Files that cannot be opened, folders that are strange, dates that are old: handled or named, never dropped. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { book, drop, file, pick, pickPaths, sane, settled, sleep, until, visit } from "../page.mjs";

/** Keeps book of what was added and of what could not be. */
const watchIntake = (page) =>
  page.evaluate(async () => {
    const { uploads } = await import("/uploads/client/index.js");
    window.added = [];
    window.intake = [];
    uploads.on("add", (up) => added.push(up.relativePath ?? up.file.name));
    addEventListener("upload:intake", ({ detail }) => intake.push(detail));
  });

export default {
  async "a file that cannot be opened is an error and never stored empty"(t) {
    const page = await visit(t);
    await pickPaths(page, "input[dj-upload=documents]", ["report.txt", "IMG_1.csv"].map((name) => t.path("not there", name)));
    for (const name of ["report.txt", "IMG_1.csv"]) await settled(page, name, "error");
    assert.deepEqual((await book(page)).errors.map((e) => [e.file, e.code]).sort(), [["IMG_1.csv", "file_unreadable"], ["report.txt", "file_unreadable"]]);
    await pick(page, "documents", await file(t.path("really empty.txt"), ""));
    await settled(page, "really empty.txt");
    assert.deepEqual((await t.server.stored("documents")).map((f) => f.name), ["really empty.txt"]);
    await sane(page);
  },

  async "files from before 1970, of 1970 and of today are stored"(t) {
    const page = await visit(t);
    const years = { "photo.txt": "1960-05-01T00:00:00Z", "mac.txt": "1904-01-01T00:00:00Z", "zero.txt": "1970-01-01T00:00:00Z", "new.txt": "2026-01-01T00:00:00Z" };
    const paths = [];
    for (const [name, at] of Object.entries(years)) {
      const path = await file(t.path(name), name);
      await utimes(path, new Date(at), new Date(at));
      paths.push(path);
    }
    await pick(page, "documents", paths);
    for (const name of Object.keys(years)) await settled(page, name);
    assert.equal((await t.server.stored("documents")).length, 4);
    await sane(page);
  },

  async "a folder with a name that is no text gives its neighbours once, and is an error"(t) {
    const page = await visit(t);
    await watchIntake(page);
    const folder = t.path("old");
    await mkdir(folder);
    await writeFile(join(folder, "plain.txt"), "1");
    execFileSync("bash", ["-c", "mkdir $'a\\xe9' $'b\\xe9' && printf 2 > $'a\\xe9/in.txt'"], { cwd: folder });
    await drop(page, ".documents .zone", [folder]);
    await settled(page, "old/plain.txt");
    await sleep(1500);
    assert.deepEqual(await page.evaluate(() => added), ["old/plain.txt"]);
    const { errors } = await book(page);
    assert.deepEqual(errors.map((e) => [e.code, e.uploadName, e.count]), [["file_unreadable", "documents", 2]]);
    assert.equal((await t.server.stored("documents")).length, 1);
    await sane(page);
  },

  async "companions of macOS and Office stay out of a dropped folder, with a count"(t) {
    const page = await visit(t);
    await watchIntake(page);
    for (const name of ["report.docx.txt", "._report.txt", "~$report.docx", ".DS_Store", "Thumbs.db"]) await file(t.path("desk", name), name);
    await drop(page, ".documents .zone", [t.path("desk")]);
    await settled(page, "desk/report.docx.txt");
    assert.deepEqual(await page.evaluate(() => [added, intake]), [["desk/report.docx.txt"], [{ uploadName: "documents", added: 1, companions: 4, unreadable: 0, beyond: 0 }]]);
    assert.deepEqual((await book(page)).errors, []);
    await sane(page);
  },

  async "of a folder with 20,050 files, 20,000 are taken and the others counted"(t) {
    const page = await visit(t, { init: () => addEventListener("upload:progress", (e) => e.stopImmediatePropagation(), true) });
    await watchIntake(page);
    // Refused by their type: what is shown here is the count, not twenty thousand files.
    const folder = t.path("big");
    await mkdir(folder);
    for (let i = 0; i < 20_050; i++) await writeFile(join(folder, `f${i}.exe`), "x");
    await drop(page, ".documents .zone", [folder]);
    await until("the folder", () => page.evaluate(() => intake.length), 120_000);
    const [{ added, beyond }, told] = await page.evaluate(() => [intake[0], book.errors.filter((e) => e.code === "too_many_files").map((e) => e.count)]);
    assert.deepEqual([added, beyond, told], [20_000, 50, [50]]);
  },
};
