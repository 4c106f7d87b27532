// @ts-check
/** The widget's pictures, drawn by paths: no file to load, and the colour of the text. */

const NS = "http://www.w3.org/2000/svg";

const PATHS = {
  upload: "M12 16V4m0 0L7 9m5-5 5 5M4 16v2a2 2 0 0 0 2 2h12a2 2 0 0 0 2-2v-2",
  pause: "M9 5v14M15 5v14",
  resume: "M8 5v14l11-7z",
  retry: "M20 11a8 8 0 1 0-2.3 5.7M20 4v7h-7",
  remove: "M6 6l12 12M18 6 6 18",
  page: "M6 3h8l5 5v13H6zM14 3v5h5",
  done: "M5 12l5 5 9-10",
  failed: "M12 7v6M12 16.5v.5",
};

/** @param {keyof typeof PATHS} name */
export function icon(name) {
  const svg = document.createElementNS(NS, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", "aria-hidden": "true", class: `icon icon-${name}` })) svg.setAttribute(key, value);
  const path = document.createElementNS(NS, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** @type {[RegExp, string][]} */
const FAMILIES = [
  [/^image\/|\.(jpe?g|png|gif|webp|avif|heic|tiff?|bmp|svg)$/, "picture"],
  [/^video\/|\.(mp4|mov|webm|mkv|avi)$/, "video"],
  [/^audio\/|\.(mp3|wav|flac|ogg|m4a)$/, "sound"],
  [/\.pdf$/, "pdf"],
  [/\.(zip|gz|tgz|tar|7z|rar|xz|zst)$/, "archive"],
  [/\.(xlsx?|ods|csv|tsv)$/, "table"],
  [/\.(docx?|odt|rtf|txt|md)$/, "text"],
];

/** What kind of file it is, for its icon's colour. @param {{ name: string, type: string }} file */
export function familyOf({ name, type }) {
  const lower = name.toLowerCase();
  return FAMILIES.find(([pattern]) => pattern.test(type) || pattern.test(lower))?.[1] ?? "other";
}

/** A file's icon: a page with its extension. @param {string} name */
export function pageIcon(name) {
  const extension = /\.([a-z\d]{1,4})$/i.exec(name)?.[1].toUpperCase() ?? "";
  const box = document.createElement("span");
  box.className = "page-icon";
  box.ariaHidden = "true";
  box.append(icon("page"), Object.assign(document.createElement("b"), { textContent: extension }));
  return box;
}
