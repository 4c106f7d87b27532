// @ts-check
/** The demo page: a widget for each slot of the server, and what became of its files. */
import "/uploads/client/dropzone.js";
import { uploads } from "/uploads/client/index.js";

/** @typedef {{ name: string, title: string | null, hint: string | null, label: string | null }} Slot */

/** The page's own words; those of the widget come with its language. @type {Record<string, Record<string, string>>} */
const WORDS = {
  en: { lead: "Choose, drop or paste files. Uploads continue after a lost connection.", language: "Language", stored: "What was stored, and the same by a program", copy: "Copy", copied: "Copied", attributes: "The same by plain attributes, without the widget", nothing: "Nothing yet", none: "This server offers no slot" },
  de: { lead: "Dateien wählen, ablegen oder einfügen. Abgebrochene Übertragungen werden fortgesetzt.", language: "Sprache", stored: "Was gespeichert wurde, und dasselbe mit einem Programm", copy: "Kopieren", copied: "Kopiert", attributes: "Dasselbe nur mit Attributen, ohne das Widget", nothing: "Noch nichts", none: "Dieser Server bietet keinen Slot an" },
  ar: { lead: "اختر الملفات أو أفلتها أو الصقها. يستمر الرفع بعد انقطاع الاتصال.", language: "اللغة", stored: "ما تم تخزينه، والأمر نفسه ببرنامج", copy: "نسخ", copied: "تم النسخ", attributes: "الأمر نفسه بسمات HTML وحدها، دون الأداة", nothing: "لا شيء بعد", none: "لا يقدم هذا الخادم أي خانة" },
};
/** Of pictures alone. */
const PICTURES = /^(image\/[\w*+-]+|\.(jpe?g|png|gif|webp|avif|heic))$/i;

/** How long a button says that it has copied. */
const COPIED_MS = 2000;

/** @param {string} id */
const $ = (id) => /** @type {any} */ (document.getElementById(id));
const all = /** @type {import("/uploads/client/index.js").Uploads} */ (uploads);
let words = WORDS.en;

/** @param {string} name */
const titleOf = (name) => name[0].toUpperCase() + name.slice(1).replaceAll(/[-_]/g, " ");

/** Says something that is said anew in another language. @param {HTMLElement} element @param {string} key */
function say(element, key) {
  element.dataset.text = key;
  element.textContent = words[key];
}

/** A word of a shell that is `text`, whatever is in it. @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The commands that upload a file of this name to a slot, by curl and by our own program. @param {string} slot @param {string} name */
function commandsFor(slot, name) {
  // curl reads what is behind a semicolon or a comma as its own, unless the name is in quotes.
  const field = `file=@"${name.replaceAll(/["\\]/g, "\\$&")}"`;
  return [
    `curl -F ${quoted(field)} ${quoted(`${location.origin}/uploads/files/${slot}`)}`,
    `upload-server send --url ${quoted(location.origin)} --slot ${quoted(slot)} ${quoted(name)}`,
  ];
}

/** A command with a button that copies it. @param {HTMLElement} line */
function makeCopyable(line) {
  const button = /** @type {HTMLButtonElement} */ (line.querySelector("button"));
  button.hidden = !navigator.clipboard; // which browsers keep from pages without TLS
  button.onclick = async () => {
    await navigator.clipboard.writeText(line.querySelector("code")?.textContent ?? "");
    button.textContent = words.copied;
    setTimeout(() => (button.textContent = words.copy), COPIED_MS);
  };
}

/** @param {Slot} slot */
function card({ name, title, hint, label }) {
  const made = $("card").content.cloneNode(true);
  const zone = made.querySelector("upload-dropzone");
  made.querySelector("h2").textContent = title ?? titleOf(name);
  zone.setAttribute("slot", name);
  zone.setAttribute("heading", "");
  zone.setAttribute("aria-label", title ?? titleOf(name));
  zone.setAttribute("folders", "");
  if (hint) zone.setAttribute("hint", hint);
  if (label) zone.setAttribute("label", label);
  const stored = made.querySelector(".stored");
  say(stored, "nothing");
  const lines = [...made.querySelectorAll(".command")];
  for (const line of lines) makeCopyable(line);
  /** @param {string} file */
  const teach = (file) => commandsFor(name, file).forEach((command, i) => (lines[i].querySelector("code").textContent = command));
  teach("FILE");
  zone.addEventListener("complete", (/** @type {CustomEvent} */ { detail: { name, result } }) => {
    teach(name);
    if (!stored.querySelector("ul")) stored.replaceChildren(document.createElement("ul"));
    delete stored.dataset.text;
    const line = document.createElement("li");
    line.textContent = `${name} → ${result?.path ?? result?.key ?? JSON.stringify(result ?? {})}`;
    if (typeof result?.url === "string") line.append(" ", Object.assign(document.createElement("a"), { href: result.url, textContent: result.url }));
    stored.firstChild.append(line);
  });
  all.on("configs", (configs) => {
    const config = configs[name];
    const entries = config?.accept.split(/[\s,]+/).filter(Boolean) ?? [];
    const isGallery = entries.length > 0 && config.max_entries > 1 && entries.every((/** @type {string} */ entry) => PICTURES.test(entry));
    if (isGallery) zone.setAttribute("layout", "gallery");
  });
  return made;
}

/** @param {string} language */
async function speak(language) {
  words = WORDS[language] ?? WORDS.en;
  document.documentElement.lang = language;
  document.documentElement.dir = language === "ar" ? "rtl" : "ltr";
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = words[/** @type {HTMLElement} */ (element).dataset.text ?? ""];
  const { default: table } = await import(`/uploads/client/dropzone/languages/${language}.js`);
  all.setLanguage(table);
}

const slots = await (await fetch("/uploads/demo/slots.json")).json();
$("slots").append(...slots.map(card));
if (!slots.length) say($("slots"), "none");

const asked = new URLSearchParams(location.search).get("lang") ?? navigator.language.slice(0, 2);
const language = asked in WORDS ? asked : "en";
$("language").value = language;
$("language").onchange = () => speak($("language").value);
if (language !== "en") await speak(language);
