/** A tab that is really hidden, in a window under Xvfb, with the timers that browsers give it. */
import assert from "node:assert/strict";
import { Headful } from "../headful.mjs";
import { plain, sleep, sparse, until } from "../page.mjs";

const MIB = 1024 ** 2;
const BYTES_PER_SECOND = 20e6;
const ROUNDS = 3;

/** Uploads a sparse file in a tab that is in front, or behind another one; returns how long it took in seconds. */
async function upload(t, headful, path, hidden) {
  const tab = await headful.tab(plain(t.server));
  await until("the client", () => tab.evaluate(`document.querySelector("#connection")?.dataset.on === "true"`));
  await tab.evaluate(`{
    document.querySelector("main").insertAdjacentHTML("beforeend", '<input type="file" id="big" dj-upload="big">');
    window.done = new Promise((done) => addEventListener("upload:progress", ({ detail }) => ["complete", "error"].includes(detail.status) && done(detail.status)));
    0;
  }`);
  await sleep(300);
  const front = hidden && (await headful.tab("about:blank"));
  await until("the tab to be as it should", async () => (await tab.evaluate("document.visibilityState")) === (hidden ? "hidden" : "visible"));
  if (hidden) {
    const ticks = await tab.evaluate(`new Promise((done) => { let n = 0; const at = performance.now(); const i = setInterval(() => { n++; if (performance.now() - at > 4000) { clearInterval(i); done(n); } }, 10); })`);
    assert.ok(ticks <= 10, `an interval of 10 ms fired ${ticks} times in four seconds: timers are not throttled here`);
  }
  const { root } = await tab.send("DOM.getDocument");
  const { nodeId } = await tab.send("DOM.querySelector", { nodeId: root.nodeId, selector: "#big" });
  const from = Date.now();
  await tab.send("DOM.setFileInputFiles", { nodeId, files: [path] });
  assert.equal(await tab.evaluate("window.done"), "complete");
  const seconds = (Date.now() - from) / 1000;
  assert.equal(await tab.evaluate("document.visibilityState"), hidden ? "hidden" : "visible");
  if (front) await front.close();
  await tab.close();
  return seconds;
}

export default {
  async "a hidden tab sends as fast as a visible one"(t) {
    const size = 160 * MIB;
    const path = await sparse(t.path("hidden.bin"), size);
    t.server.proxy.rate = BYTES_PER_SECOND;
    const headful = await Headful.open(t.executablePath, { fresh: t.fresh });
    t.onEnd(() => headful.close());
    // What else runs on the machine slows one or the other: the best of each counts, and a second round only where the first one was not even.
    let visible = Infinity;
    let hidden = Infinity;
    for (let round = 0; round < ROUNDS && (round === 0 || hidden > 1.2 * visible); round++) {
      visible = Math.min(visible, await upload(t, headful, path, false));
      hidden = Math.min(hidden, await upload(t, headful, path, true));
      t.say(`${size / MIB} MiB over ${BYTES_PER_SECOND / 1e6} MB/s: ${visible.toFixed(1)} s visible, ${hidden.toFixed(1)} s hidden`);
    }
    assert.ok(Number.isFinite(hidden), "it was measured");
    assert.ok(hidden <= 1.2 * visible, `${hidden} s hidden, ${visible} s visible`);
  },
};
