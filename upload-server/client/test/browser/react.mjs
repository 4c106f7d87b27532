/** React for pages of the tests: from npm, in place of the network's. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);

/** React is published as CommonJS only: one module for the browser, with all it needs inside. */
export function bundle(name) {
  const packages = { react: "react.production.js", scheduler: "scheduler.production.js", "react-dom": "react-dom.production.js", "react-dom/client": "react-dom-client.production.js" };
  const made = Object.entries(packages).map(([id, path]) => {
    const folder = dirname(require.resolve(`${id.split("/")[0]}/package.json`));
    return `${JSON.stringify(id)}(module, exports, require) {${readFileSync(join(folder, "cjs", path), "utf8")}\n}`;
  });
  const names = Object.keys(require(name)).filter((key) => /^\w+$/.test(key) && key !== "default");
  return `
    const made = {${made.join(",\n")}};
    const require = (id) => {
      const modules = (globalThis.__react ??= {});
      if (!modules[id]) made[id]((modules[id] = { exports: {} }), modules[id].exports, require);
      return modules[id].exports;
    };
    const { ${names.join(", ")} } = require(${JSON.stringify(name)});
    export { ${names.join(", ")} };`;
}
