// @ts-check
/** The demo page: a widget for each slot of the server, and what became of its files. */
import "/uploads/client/dropzone.js";
import { uploads } from "/uploads/client/index.js";

/** @typedef {{ name: string, title: string | null, hint: string | null, label: string | null }} Slot */

/** The page's own words; those of the widget come with its language. @type {Record<string, Record<string, string>>} */
const WORDS = {
  en: { lead: "Choose, drop or paste files. Uploads continue after a lost connection.", language: "Language", stored: "What was stored, and the same by a program", attributes: "The same by plain attributes, without the widget", nothing: "Nothing yet", none: "This server offers no slot" },
  de: { lead: "Dateien wählen, ablegen oder einfügen. Abgebrochene Übertragungen werden fortgesetzt.", language: "Sprache", stored: "Was gespeichert wurde, und dasselbe mit einem Programm", attributes: "Dasselbe nur mit Attributen, ohne das Widget", nothing: "Noch nichts", none: "Dieser Server bietet keinen Slot an" },
  ar: { lead: "اختر الملفات أو أفلتها أو الصقها. يستمر الرفع بعد انقطاع الاتصال.", language: "اللغة", stored: "ما تم تخزينه، والأمر نفسه ببرنامج", attributes: "الأمر نفسه بسمات HTML وحدها، دون الأداة", nothing: "لا شيء بعد", none: "لا يقدم هذا الخادم أي خانة" },
};
/** Of pictures alone. */
const PICTURES = /^(image\/[\w*+-]+|\.(jpe?g|png|gif|webp|avif|heic))$/i;

/** @param {string} id */
const $ = (id) => /** @type {any} */ (document.getElementById(id));
const all = /** @type {import("/uploads/client/index.js").Uploads} */ (uploads);
let words = WORDS.en;

/** @param {string} name */
const titleOf = (name) => name[0].toUpperCase() + name.slice(1).replaceAll(/[-_]/g, " ");

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
  stored.textContent = words.nothing;
  made.querySelector("code").textContent = `upload-server send --url ${location.origin} --slot ${name} FILE`;
  zone.addEventListener("complete", (/** @type {CustomEvent} */ { detail: { name, result } }) => {
    if (!stored.querySelector("ul")) stored.replaceChildren(document.createElement("ul"));
    const line = document.createElement("li");
    line.textContent = `${name} → ${result?.path ?? result?.key ?? JSON.stringify(result ?? {})}`;
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
if (!slots.length) $("slots").textContent = words.none;

const asked = new URLSearchParams(location.search).get("lang") ?? navigator.language.slice(0, 2);
const language = asked in WORDS ? asked : "en";
$("language").value = language;
$("language").onchange = () => speak($("language").value);
if (language !== "en") await speak(language);
