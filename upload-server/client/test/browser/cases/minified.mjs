/** The minified build of the npm package, in the place of the client that the server serves. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { minify } from "../../minify.mjs";
import { bytes, file, sane, sha256, until, visit } from "../page.mjs";

export default {
  async "the minified widget uploads"(t) {
    const dist = t.path("dist");
    await minify(dist);
    const page = await visit(t, {
      url: `${t.server.url}uploads/none/status`, connect: false,
      before: (page) => page.route(/\/minified\//, async (route) => {
        const body = await readFile(t.path("dist", new URL(route.request().url()).pathname.replace("/minified/", "")));
        await route.fulfill({ contentType: "text/javascript", body });
      }),
    });
    page.trouble.length = 0; // it was a 404
    await page.evaluate(async () => {
      const { createUploads } = await import("/minified/index.js");
      await import("/minified/dropzone.js");
      const { default: german } = await import("/minified/dropzone/languages/de.js");
      const zone = document.createElement("upload-dropzone");
      zone.setAttribute("slot", "documents");
      zone.uploads = createUploads({ url: "/uploads/ws", language: german });
      document.body.replaceChildren(zone);
    });
    const zone = page.locator("upload-dropzone");
    const content = bytes(900_000).toString("base64");
    await zone.locator("input[type=file]").first().setInputFiles(await file(t.path("small.txt"), content));
    await until("the end", async () => (await zone.locator(".row .state").textContent().catch(() => "")) === "Fertig");
    assert.deepEqual((await t.server.stored("documents")).map((one) => one.sha256), [sha256(content)]);
    await sane(page);
  },
};
