// @ts-check
/** The widget's style sheet. Every colour and length is a property that the page may set. */

const CSS = `
:host {
  --_accent: var(--upload-accent, light-dark(#3a5bd9, #9aa8ff));
  --_on-accent: var(--upload-on-accent, light-dark(#fff, #10142e));
  --_good: var(--upload-good, light-dark(#12703f, #5bd596));
  --_bad: var(--upload-bad, light-dark(#b3202f, #ff9097));
  --_warn: var(--upload-warn, light-dark(#855200, #f0b455));
  --_text: var(--upload-text, light-dark(#1c2030, #eef0f8));
  --_quiet: var(--upload-quiet, light-dark(#596079, #a9b0c6));
  --_ground: var(--upload-ground, light-dark(#fff, #1a1d29));
  --_raised: var(--upload-raised, light-dark(#f5f6fb, #232735));
  --_line: var(--upload-line, light-dark(#d9dce8, #3a4053));
  --_radius: var(--upload-radius, 14px);
  display: block;
  color: var(--_text);
  font: var(--upload-font, inherit);
  line-height: 1.4;
  container-type: inline-size;
}
:host([hidden]) { display: none; }
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
button { font: inherit; color: inherit; cursor: pointer; touch-action: manipulation; }
button:disabled, button[aria-disabled] { cursor: not-allowed; opacity: 0.55; }
:focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; }
.box { display: grid; gap: 12px; min-inline-size: 0; }
.head { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 12px; }
.heading { margin: 0; font-size: 1.125em; font-weight: 650; }
.hint { margin: 0; color: var(--_quiet); font-size: 0.875em; }
.zone {
  display: grid;
  justify-items: center;
  gap: 6px;
  padding: var(--upload-zone-padding, 26px 16px);
  border: 1.5px dashed var(--_line);
  border-radius: var(--_radius);
  background: var(--_ground);
  text-align: center;
  transition: border-color 0.15s, background-color 0.15s;
}
.zone > .icon { inline-size: 34px; block-size: 34px; color: var(--_accent); }
.zone p { margin: 0; color: var(--_quiet); font-size: 0.875em; overflow-wrap: anywhere; }
.picks { display: flex; flex-wrap: wrap; justify-content: center; gap: 8px; }
.choose, .folder {
  min-block-size: 42px;
  padding: 8px 18px;
  border: 1px solid var(--_accent);
  border-radius: calc(var(--_radius) * 0.7);
  background: var(--_accent);
  color: var(--_on-accent);
  font-weight: 600;
}
.folder { background: transparent; color: var(--_accent); }
.box[data-drag] .zone { border-color: var(--_accent); }
.box[data-drag="over"] .zone { background: color-mix(in srgb, var(--_accent) 12%, var(--_ground)); border-style: solid; }
.icon { inline-size: 20px; block-size: 20px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
.connection, .notice {
  display: flex;
  flex-wrap: wrap;
  align-items: center;
  justify-content: space-between;
  gap: 6px 12px;
  margin: 0;
  padding: 8px 14px;
  border-radius: calc(var(--_radius) * 0.7);
  background: color-mix(in srgb, var(--_warn) 12%, var(--_ground));
  color: var(--_warn);
  font-size: 0.9375em;
}
.notice { background: color-mix(in srgb, var(--_bad) 10%, var(--_ground)); color: var(--_bad); white-space: pre-line; }
.said { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.plain {
  min-block-size: 32px;
  padding: 3px 12px;
  border: 1px solid currentColor;
  border-radius: calc(var(--_radius) * 0.5);
  background: transparent;
  font-size: 0.9375em;
}
.start { border-color: var(--_accent); background: var(--_accent); color: var(--_on-accent); font-weight: 600; }
.total { display: grid; gap: 6px; }
.total .words { font-size: 0.9375em; font-variant-numeric: tabular-nums; }
.tools { display: flex; flex-wrap: wrap; gap: 6px; }
.track { display: block; overflow: hidden; block-size: 6px; border-radius: 3px; background: var(--_line); }
.bar { display: block; inline-size: var(--upload-progress, 0%); block-size: 100%; border-radius: inherit; background: var(--_accent); }
.total[data-state="done"] .bar { background: var(--_good); }
.total[data-state="failed"] .words, .total[data-state="partly"] .words { color: var(--_bad); }
.total[data-state="failed"] .bar { background: var(--_bad); }
.total[data-state="partly"] .bar { background: var(--_good); }
.total[data-state="failed"] .track, .total[data-state="partly"] .track { background: color-mix(in srgb, var(--_bad) 35%, var(--_line)); }
.total[data-state="waiting"] .bar { background: var(--_warn); }
.list { display: grid; gap: 8px; max-block-size: var(--upload-list-height, min(30rem, 65vh)); overflow: auto; overscroll-behavior: contain; scrollbar-width: thin; padding-block-end: 1px; }
.list:empty { display: none; }
.block { display: grid; grid-template-columns: minmax(0, 1fr); align-content: start; gap: 8px; }
.row {
  display: grid;
  grid-template-columns: auto minmax(0, 1fr) auto;
  align-items: center;
  gap: 4px 12px;
  min-block-size: 62px;
  content-visibility: auto;
  contain-intrinsic-block-size: auto 62px;
  padding: 8px 10px;
  border: 1px solid var(--_line);
  border-radius: calc(var(--_radius) * 0.8);
  background: var(--_ground);
}
.row > .words { display: grid; gap: 1px; min-inline-size: 0; }
.name { overflow: hidden; font-weight: 550; text-overflow: ellipsis; white-space: nowrap; unicode-bidi: plaintext; text-align: -webkit-match-parent; text-align: match-parent; }
.name a { color: inherit; }
.meta { display: flex; flex-wrap: wrap; gap: 0 10px; color: var(--_quiet); font-size: 0.8125em; font-variant-numeric: tabular-nums; }
.row > .track { grid-column: 1 / -1; grid-row: 2; block-size: 4px; }
.row[data-status="complete"] .state { color: var(--_good); }
.row[data-status="error"] { border-color: color-mix(in srgb, var(--_bad) 45%, var(--_line)); }
.row[data-status="error"] .state { color: var(--_bad); }
.row[data-status="paused"] .bar, .row[data-status="resuming"] .bar { background: var(--_warn); }
.row[data-status="cancelled"] .name { color: var(--_quiet); text-decoration: line-through; }
.thumbnail { display: grid; inline-size: 44px; block-size: 44px; overflow: hidden; border-radius: calc(var(--_radius) * 0.5); background: var(--_raised); place-items: center; }
.thumbnail > * { grid-area: 1 / 1; }
.thumbnail img { inline-size: 100%; block-size: 100%; object-fit: cover; z-index: 1; }
.thumbnail img:not([src]) { visibility: hidden; }
.page-icon { display: grid; place-items: center; color: var(--_family, var(--_quiet)); }
.page-icon > * { grid-area: 1 / 1; }
.page-icon .icon { inline-size: 34px; block-size: 34px; stroke-width: 1.2; }
.page-icon b { margin-block-start: 10px; padding-inline: 2px; background: var(--_raised); font-size: 9px; line-height: 1.2; letter-spacing: 0.02em; }
[data-family="picture"] { --_family: light-dark(#0b7285, #66d9e8); }
[data-family="video"] { --_family: light-dark(#862e9c, #e599f7); }
[data-family="sound"] { --_family: light-dark(#8f4400, #ffc078); }
[data-family="pdf"] { --_family: light-dark(#b3202f, #ff9097); }
[data-family="table"] { --_family: light-dark(#12703f, #69db7c); }
[data-family="text"] { --_family: light-dark(#2b4bb8, #91a7ff); }
.actions { display: flex; grid-column: -2; grid-row: 1; gap: 4px; }
.action { display: grid; inline-size: 38px; block-size: 38px; padding: 0; border: 0; border-radius: 50%; background: transparent; color: var(--_quiet); place-items: center; }
.action:hover { background: var(--_raised); color: var(--_text); }
.icon-resume, .pause[data-is="resume"] .icon-pause { display: none; }
.pause[data-is="resume"] .icon-resume { display: block; }
.offer .plain { color: var(--_accent); }
:host([layout="compact"]) .zone { grid-template-columns: auto auto minmax(0, 1fr); justify-items: start; align-items: center; padding: 8px 12px; text-align: start; }
:host([layout="compact"]) .zone > .icon { inline-size: 24px; block-size: 24px; }
:host([layout="compact"]) .row { min-block-size: 0; padding-block: 3px; }
:host([layout="compact"]) .thumbnail { display: none; }
:host([layout="compact"]) .row { grid-template-columns: minmax(0, 1fr) auto; }
:host([layout="compact"]) .row > .words { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 12px; }
:host([layout="compact"]) .list, :host([layout="compact"]) .block { gap: 4px; }
:host([layout="gallery"]) .block { grid-template-columns: repeat(auto-fill, minmax(min(var(--upload-tile, 148px), 100%), 1fr)); }
:host([layout="gallery"]) .row { position: relative; contain-intrinsic-block-size: auto 176px; grid-template-columns: minmax(0, 1fr); align-content: start; gap: 6px; padding: 0 0 8px; overflow: hidden; }
:host([layout="gallery"]) .thumbnail { inline-size: 100%; block-size: auto; aspect-ratio: 4 / 3; border-radius: 0; }
:host([layout="gallery"]) .page-icon .icon { inline-size: 64px; block-size: 64px; }
:host([layout="gallery"]) .page-icon b { margin-block-start: 18px; font-size: 14px; }
:host([layout="gallery"]) .row > .words { padding-inline: 10px; }
:host([layout="gallery"]) .row > .track { grid-row: auto; margin-inline: 10px; }
:host([layout="gallery"]) .actions { position: absolute; inset-block-start: 6px; inset-inline-end: 6px; z-index: 2; }
:host([layout="gallery"]) .action { background: color-mix(in srgb, var(--_ground) 88%, transparent); color: var(--_text); }
@container (max-width: 420px) {
  .zone { padding-block: 18px; }
  .row { gap: 4px 10px; }
  .tools .plain { flex: 1 1 auto; }
}
@media (pointer: coarse) {
  .invite, .folder { display: none; }
  .action { inline-size: 44px; block-size: 44px; }
}
@media (prefers-reduced-motion: reduce) {
  .zone { transition: none; }
}
@media (forced-colors: active) {
  .track { border: 1px solid CanvasText; }
  .bar { background: Highlight !important; forced-color-adjust: none; }
  .zone { border-color: ButtonText; }
}
`;

/** @type {CSSStyleSheet | undefined} */
let sheet;

/** One sheet for all widgets of a page; a page's policy against inline styles does not concern it. */
export function style() {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  return sheet;
}
