/** Firefox over WebDriver BiDi, and WebKitGTK over plain WebDriver: as much of each as the cases for all browsers need. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import puppeteer from "puppeteer-core";
import { display } from "./headful.mjs";

const ELEMENT = "element-6066-11e4-a52e-4f735466cecf";
const MINI_BROWSER = "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser";

class Firefox {
  static async open() {
    const firefox = new Firefox();
    firefox.browser = await puppeteer.launch({ browser: "firefox", executablePath: process.env.FIREFOX || "/usr/bin/firefox-esr", headless: true });
    return firefox;
  }

  async visit(url) {
    const page = await this.browser.newPage();
    await page.goto(url);
    return {
      run: (script, ...args) => page.evaluate(script, ...args),
      pick: async (find, paths, ...args) => (await page.evaluateHandle(find, ...args)).asElement().uploadFile(...paths),
      click: async (find, ...args) => (await page.evaluateHandle(find, ...args)).asElement().click(),
      reload: () => page.reload(),
      close: () => page.close(),
    };
  }

  close() {
    return this.browser.close();
  }
}

/** The commands of WebDriver that are needed here, as the standard has them. */
class WebKit {
  static async open() {
    const webkit = new WebKit();
    webkit.screen = await display();
    const port = 20_000 + (process.pid % 20_000);
    webkit.driver = spawn("WebKitWebDriver", [`--port=${port}`], { stdio: "ignore", env: { ...process.env, DISPLAY: webkit.screen.name, WEBKIT_DISABLE_COMPOSITING_MODE: "1" } });
    webkit.driver.on("error", () => console.error("WebKitWebDriver is missing: apt-get install -y webkit2gtk-driver"));
    webkit.url = `http://127.0.0.1:${port}`;
    for (let i = 0; ; i++) {
      if (await fetch(`${webkit.url}/status`).then((response) => response.ok, () => false)) break;
      if (i > 100) throw new Error("WebKitWebDriver does not answer");
      await new Promise((done) => setTimeout(done, 100));
    }
    const options = { binary: MINI_BROWSER, args: ["--automation"] };
    const { sessionId } = await webkit.send("POST", "/session", { capabilities: { alwaysMatch: { "webkitgtk:browserOptions": options } } });
    webkit.session = `/session/${sessionId}`;
    await webkit.command("timeouts", { script: 120_000 });
    return webkit;
  }

  async send(method, path, body) {
    const response = await fetch(this.url + path, { method, body: body && JSON.stringify(body) });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`${path}: ${value.error}: ${value.message}`);
    return value;
  }

  command(name, body) {
    return this.send("POST", `${this.session}/${name}`, body);
  }

  /** Runs a function in the page; a promise that it returns is awaited. */
  async run(script, ...args) {
    const answer = await this.command("execute/async", { script: `const done = arguments[arguments.length - 1]; (async () => (${script})(...[...arguments].slice(0, -1)))().then((value) => done({ value }), (error) => done({ error: String(error) }));`, args });
    if (answer.error) throw new Error(answer.error);
    return answer.value;
  }

  async element(find, args) {
    const { [ELEMENT]: id } = await this.command("execute/sync", { script: `return (${find})(...arguments);`, args });
    return `element/${id}`;
  }

  async visit(url) {
    await this.command("url", { url });
    return {
      run: (script, ...args) => this.run(script, ...args),
      pick: async (find, paths, ...args) => this.command(`${await this.element(find, args)}/value`, { text: paths.join("\n") }),
      click: async (find, ...args) => this.command(`${await this.element(find, args)}/click`, {}),
      reload: () => this.command("refresh", {}),
      close: () => this.command("url", { url: "about:blank" }),
    };
  }

  async close() {
    await this.send("DELETE", this.session).catch(() => {});
    this.driver.kill();
    await this.screen.close();
  }
}

/** What there is, by the name that a case's title begins with. */
export const ENGINES = {
  firefox: { open: Firefox.open, program: process.env.FIREFOX || "/usr/bin/firefox-esr", package: "firefox-esr" },
  webkitgtk: { open: WebKit.open, program: MINI_BROWSER, package: "webkit2gtk-driver" },
};

export const missing = () => Object.values(ENGINES).filter(({ program }) => !existsSync(program));
