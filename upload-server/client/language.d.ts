/** A language: `languages/de.js` for the client, `dropzone/languages/de.js` with the words of the widget as well. */
import type { Language } from "./index";

declare const language: Language;
export default language;
