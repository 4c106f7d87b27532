// @ts-check
/** English, with the words of the widget. */
import "../english.js";

export { ENGLISH as default } from "../../texts.js";
