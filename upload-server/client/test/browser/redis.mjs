/** A Redis of a test's own, which keeps nothing on the disk. */
import { spawn } from "node:child_process";
import { createServer } from "node:net";

/** A port that is free now. */
async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

export class Redis {
  static async open(dir) {
    const redis = new Redis();
    const port = await freePort();
    redis.child = spawn("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir]);
    redis.url = `redis://127.0.0.1:${port}`;
    await new Promise((done, fail) => {
      let out = "";
      redis.child.stdout.on("data", (data) => {
        out += data;
        if (/Ready to accept connections/i.test(out)) done();
      });
      redis.child.once("error", () => fail(new Error("redis-server is missing: apt-get install -y redis-server")));
      redis.child.once("exit", (code) => fail(new Error(`redis-server ended with ${code}: ${out}`)));
    });
    return redis;
  }

  async close() {
    const gone = new Promise((done) => this.child.once("exit", done));
    this.child.kill("SIGKILL");
    await gone;
  }
}
