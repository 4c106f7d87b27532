/**
 * The client in real browsers against the real server: everything in Chromium, and what each browser has to do in Firefox
 * and WebKitGTK.
 *
 * node browser/run.mjs --server-binary PATH --examples FOLDER [--only WORDS] [--images FOLDER] [--seed N] [--fresh]
 *
 * `--fresh` takes the client and the demo page from the working tree instead of from the binary they are built into.
 */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { ENGINES } from "./engines.mjs";
import everywhere from "./everywhere/cases.mjs";
import { Server } from "./server.mjs";

const CASE_MS = 420_000;
/** How many cases may run again after a failure: what fails more often is broken. */
const SECOND_TRIES = 4;
const ARGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync --enable-precise-memory-info";

const { values: options } = parseArgs({
  options: { "server-binary": { type: "string" }, examples: { type: "string" }, only: { type: "string" }, images: { type: "string" }, seed: { type: "string" }, fresh: { type: "boolean" } },
});
const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
for (const [what, path, help] of [
  ["the server", options["server-binary"], "cargo build --release -p upload-server, then --server-binary target/release/upload-server"],
  ["the examples", options.examples, "cargo build -p upload-server --examples, then --examples target/debug/examples"],
  ["Chromium", executablePath, "apt-get install -y chromium, or name it in CHROMIUM"],
  ...Object.entries(ENGINES).map(([name, { program, package: debian }]) => [name, program, `apt-get install -y ${debian}`]),
]) {
  if (path && existsSync(path)) continue;
  console.error(`${what} is missing (${path ?? "not named"}): ${help}`);
  process.exit(2);
}

const cases = [];
for (const name of (await readdir(new URL("cases/", import.meta.url))).sort()) {
  const { default: group } = await import(new URL(`cases/${name}`, import.meta.url));
  for (const [title, run] of Object.entries(group)) cases.push([`${name.replace(".mjs", "")}: ${title}`, run]);
}
/** Those of other browsers, which run at the same time: a lane for each. */
const lanes = Object.entries(ENGINES).map(([engine, { open }]) => ({ open, cases: Object.entries(everywhere).map(([title, run]) => [`${engine}: ${title}`, run]) }));
const isChosen = ([title]) => title.includes(options.only ?? "");
const chosen = cases.filter(isChosen);
for (const lane of lanes) lane.cases = lane.cases.filter(isChosen);
const total = lanes.reduce((sum, lane) => sum + lane.cases.length, chosen.length);
const seed = +(options.seed ?? Date.now() % 1e6);
console.log(`${total} cases, seed ${seed}`);

// A page that the test itself answers is a public one for the browser, which keeps it from servers on this machine.
const args = options.fresh ? [...ARGS.split(" "), "--disable-features=LocalNetworkAccessChecks"] : ARGS.split(" ");
const failed = [];
const unsteady = [];

/**
 * Runs a case. One that fails runs twice more: three browsers on two cores have moments of their own. It fails unless
 * both pass, and is named as unsteady in the summary if they do, so that nobody takes it for sound.
 */
async function runCase([title, run], more) {
  if (await passes([title, run], more)) return;
  if (failed.length + unsteady.length >= SECOND_TRIES) return void failed.push(title);
  const again = [await passes([title, run], more), await passes([title, run], more)];
  (again.every(Boolean) ? unsteady : failed).push(title);
}

/** Whether a case passes, with its server and what else it wants. */
async function passes([title, run], more) {
  const ends = [];
  const dir = await mkdtemp(join(tmpdir(), "upload-files-"));
  const from = Date.now();
  const servers = [];
  let passed = false;
  const started = async (server) => {
    servers.push(server);
    ends.push(() => server.close());
    return server;
  };
  let timer;
  try {
    const t = {
      ...more, executablePath, dir, seed, images: options.images, fresh: options.fresh,
      serve: async (more) => started(await Server.open(options["server-binary"], more)),
      example: async (name, more) => started(await Server.example(join(options.examples, name), more)),
      path: (...p) => join(dir, ...p),
      onEnd: (f) => ends.unshift(f),
      say: (...words) => console.log("   ", ...words),
    };
    t.server = await t.serve();
    const late = new Promise((_, fail) => (timer = setTimeout(() => fail(new Error(`not done after ${CASE_MS / 1000} s`)), CASE_MS)));
    await Promise.race([run(t), late]);
    passed = true;
    console.log(`ok ${title} (${Date.now() - from} ms)`);
  } catch (e) {
    console.log(`not ok ${title} (${Date.now() - from} ms)\n${String(e.stack ?? e).replace(/^/gm, "    ")}`);
    for (const { log } of servers) if (log) console.log(`    server: ${log.slice(-1500).trim().replace(/\n/g, "\n    server: ")}`);
  }
  clearTimeout(timer);
  for (const end of ends) await end().catch(() => {});
  await rm(dir, { recursive: true, force: true });
  return passed;
}

/** Runs the cases of another browser, one after the other, in one of it. */
async function runLane({ open, cases }) {
  if (!cases.length) return;
  const engine = await open().catch((error) => error);
  if (engine instanceof Error) {
    console.log(String(engine.stack));
    for (const [title] of cases) failed.push(title);
    return;
  }
  for (const one of cases) await runCase(one, { engine });
  await engine.close();
}

if (chosen.length) {
  const browser = await chromium.launch({ executablePath, args });
  for (const one of chosen) await runCase(one, { browser });
  await browser.close();
}
await Promise.all(lanes.map(runLane));

for (const title of unsteady) console.log(`unsteady: ${title}`);
for (const title of failed) console.log(`failed: ${title}`);
console.log(`# pass ${total - failed.length}`);
console.log(`# fail ${failed.length}`);
process.exit(failed.length || !total ? 1 : 0);
