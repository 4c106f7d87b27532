/** A bucket that takes presigned PUTs only: computes each signature itself (SigV4 in the query), and enforces its CORS rules. */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
const sha = (text) => createHash("sha256").update(text).digest("hex");

export class Bucket {
  key = "AKIDBROWSER";
  secret = "not a secret";
  region = "garage";
  /** Stored objects: {body, type} by path, and what was asked and how it was answered. */
  objects = new Map();
  asked = [];

  static async open() {
    const bucket = new Bucket();
    bucket.http = createServer((request, response) => bucket.#answer(request, response));
    await new Promise((done) => bucket.http.listen(0, "127.0.0.1", done));
    bucket.url = `http://127.0.0.1:${bucket.http.address().port}`;
    return bucket;
  }

  /** Whose pages may use it. */
  allow(origin) {
    this.origin = new URL(origin).origin;
  }

  close() {
    this.http.closeAllConnections();
    this.http.close();
  }

  async #answer(request, response) {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    const { method, headers } = request;
    const mayRead = headers.origin === this.origin;
    const end = (status, code = "") => {
      this.asked.push(`${method} ${status}${code && ` ${code}`}`);
      response.writeHead(status, { ...(mayRead && { "access-control-allow-origin": this.origin }), "content-type": "application/xml" });
      response.end(code && `<Error><Code>${code}</Code></Error>`);
    };
    if (method === "OPTIONS") {
      const wanted = (headers["access-control-request-headers"] ?? "").split(",").filter(Boolean);
      if (!mayRead || headers["access-control-request-method"] !== "PUT" || wanted.some((name) => name.trim() !== "content-type")) return end(403, "CORSForbidden");
      response.setHeader("access-control-allow-methods", "PUT");
      response.setHeader("access-control-allow-headers", "content-type");
      return end(200);
    }
    if (method !== "PUT") return end(405, "MethodNotAllowed");
    const trouble = this.#refusal(request);
    if (trouble) return end(403, trouble);
    if (body.length !== +headers["content-length"]) return end(400, "IncompleteBody");
    this.objects.set(decodeURIComponent(new URL(request.url, this.url).pathname), { body, type: headers["content-type"] });
    end(200);
  }

  /** What is wrong with the signature, by the request as it arrived. */
  #refusal({ method, url, headers }) {
    const [path, query = ""] = url.split("?");
    const pairs = query.split("&").sort();
    const given = Object.fromEntries(new URLSearchParams(query));
    const [, day, time] = /^(\d{8})T(\d{6})Z$/.exec(given["X-Amz-Date"] ?? "") ?? [];
    const scope = `${day}/${this.region}/s3/aws4_request`;
    if (given["X-Amz-Algorithm"] !== "AWS4-HMAC-SHA256" || given["X-Amz-Credential"] !== `${this.key}/${scope}`) return "AuthorizationQueryParametersError";
    const begun = Date.UTC(+day.slice(0, 4), +day.slice(4, 6) - 1, +day.slice(6), +time.slice(0, 2), +time.slice(2, 4), +time.slice(4));
    if (Date.now() > begun + given["X-Amz-Expires"] * 1000) return "AccessDenied";
    const signed = given["X-Amz-SignedHeaders"].split(";");
    const canonical = [
      method,
      path,
      pairs.filter((pair) => !pair.startsWith("X-Amz-Signature=")).join("&"),
      ...signed.map((name) => `${name}:${(headers[name] ?? "").trim()}`),
      "",
      signed.join(";"),
      "UNSIGNED-PAYLOAD",
    ].join("\n");
    const text = ["AWS4-HMAC-SHA256", given["X-Amz-Date"], scope, sha(canonical)].join("\n");
    const key = [this.region, "s3", "aws4_request"].reduce(hmac, hmac(`AWS4${this.secret}`, day));
    const expected = hmac(key, text);
    const found = Buffer.from(given["X-Amz-Signature"] ?? "", "hex");
    return found.length === expected.length && timingSafeEqual(found, expected) ? null : "SignatureDoesNotMatch";
  }
}
