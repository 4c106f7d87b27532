/** The server of the tus project for Node.js, which stores files below a folder. */
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const [host, port, directory] = process.argv.slice(2);
new Server({ path: "/files", datastore: new FileStore({ directory }) }).listen({ host, port: Number(port) });
