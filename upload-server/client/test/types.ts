// Uses the client through its declarations, as an application would; only compiled, never run.
import { createUploads, type Progress, type Upload } from "../index";

const uploads = createUploads({ url: "/uploads/ws", token: async ({ refresh }) => (refresh ? "new" : "old"), concurrency: 2 });
const [first] = uploads.add([new File([], "a"), { file: new File([], "b"), relativePath: "c/b" }], "photos");

export async function useIt(upload: Upload = first): Promise<number> {
  for await (const { progress, phase, secondsLeft } of upload) if (phase === "done") return progress + (secondsLeft ?? 0);
  const off: () => void = uploads.on("error", ({ upload: up, code }) => console.log(up?.file.name, code));
  off();
  const { status, crc32c } = await upload.done;
  const last: Progress = upload.progress;
  await uploads.event("save", { title: crc32c, last });
  // @ts-expect-error a listener of something that never happens
  uploads.on("nothing", () => {});
  return status === "complete" ? 1 : 0;
}
