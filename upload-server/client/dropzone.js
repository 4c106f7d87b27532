// @ts-check
/** Defines `<upload-dropzone slot="photos">`. dropzone.d.ts says what each name is for. */
import { UploadDropzone } from "./dropzone/element.js";

export { UploadDropzone };

if (!customElements.get("upload-dropzone")) customElements.define("upload-dropzone", UploadDropzone);
