// @ts-check
/** English, which is also what counts where another language has no words. */
export { ENGLISH as default } from "../texts.js";
