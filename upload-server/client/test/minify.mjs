/**
 * The minified build of the npm package, in `dist`: the same modules by the same names, below `chunks` what they share.
 *
 * `npm pack` runs it before it packs; in the repository there is no build.
 */
import { mkdirSync, rmSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const client = new URL("../", import.meta.url);
const languages = async (folder) => (await readdir(new URL(folder, client))).map((name) => `${folder}${name}`);

/** Modules that `exports` names, which share much; the tables of languages stand by themselves. */
const MODULES = ["index.js", "dropzone.js", "react.js", "resize.js"];

/** Builds into a folder; returns what esbuild says of each file there. */
export async function minify(outdir) {
  mkdirSync(outdir, { recursive: true });
  const outputs = {};
  const tables = [...(await languages("languages/")), ...(await languages("dropzone/languages/"))];
  for (const names of [MODULES, tables]) {
    const { metafile } = await build({
      entryPoints: names.map((name) => fileURLToPath(new URL(name, client))), outbase: fileURLToPath(client), outdir, absWorkingDir: outdir,
      bundle: true, splitting: names === MODULES, minify: true, charset: "utf8", format: "esm", target: "es2022", external: ["react"], chunkNames: "chunks/[hash]",
      sourcemap: true, sourcesContent: false, metafile: true, logLevel: "warning",
    });
    Object.assign(outputs, metafile.outputs);
  }
  return outputs;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const dist = fileURLToPath(new URL("dist", client));
  rmSync(dist, { recursive: true, force: true });
  console.error(`${Object.keys(await minify(dist)).length} files in dist`);
}
