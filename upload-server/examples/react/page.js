// @ts-check
/** A React page that uploads photos, without a build step; with JSX it is shorter still. */
import { createElement as h } from "react";
import { createRoot } from "react-dom/client";
import { createUploads } from "upload-client";
import { useUploads } from "./useUploads.js";

const uploads = createUploads({ url: "/uploads/ws" });

function Photos() {
  const list = useUploads(uploads, "photos");
  /** @param {import("react").ChangeEvent<HTMLInputElement>} event */
  const pick = ({ target }) => {
    uploads.add([...(target.files ?? [])], "photos");
    target.value = "";
  };
  return [
    h("input", { key: "input", type: "file", multiple: true, accept: "image/*", onChange: pick }),
    h("ul", { key: "list" }, list.map((upload, index) => h(Row, { key: index, upload }))),
  ];
}

/** @param {{ upload: import("upload-client").Upload }} props */
function Row({ upload }) {
  const { name, progress } = upload.progress;
  const toggle = () => (upload.paused ? upload.resume() : upload.pause());
  return h(
    "li",
    { "data-status": upload.status },
    h("b", null, name),
    h("progress", { max: 100, value: progress }),
    upload.error ? h("em", null, upload.error.message) : h("span", null, upload.status),
    !upload.ended && h("button", { onClick: toggle }, upload.paused ? "Resume" : "Pause"),
    !upload.ended && h("button", { onClick: () => upload.cancel() }, "Cancel"),
  );
}

const main = document.querySelector("main");
if (main) createRoot(main).render(h(Photos));
