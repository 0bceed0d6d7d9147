// A proxy on loopback between a client and a gateway: it notes what the client
// asks, can be pointed to another gateway, and cuts streams where it hurts. Bytes
// of answers pass as they are, compressed or not.
import { once } from "node:events";
import http from "node:http";

const PAGE = "<!doctype html><meta charset=utf-8><title>Clients</title><link rel=icon href=data:,>";

/** `encoding` is what the client may be answered in: "identity" or "gzip". */
export async function startProxy(t, gateway, encoding = "identity") {
  const proxy = new Proxy(gateway, encoding);
  await proxy.listen();
  t.after(() => proxy.close());
  return proxy;
}

class Proxy {
  #server = http.createServer((request, response) => this.#handle(request, response));
  #open = new Set(); // answers under way
  #inHalf = false;

  constructor(gateway, encoding) {
    this.target = gateway;
    this.encoding = encoding;
    /** Streams asked for so far: {lastEventId, url, encoding of the answer}. */
    this.streams = [];
  }

  async listen() {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.url = `http://127.0.0.1:${this.#server.address().port}`;
  }

  close() {
    this.cut();
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** Cuts every stream now, and refuses new ones until `resume`. */
  block() {
    this.blocked = true;
    this.cut();
  }

  resume() {
    this.blocked = false;
  }

  /** Cuts every stream now, without an orderly end. */
  cut() {
    for (const response of this.#open) response.destroy();
  }

  /** Passes half of the next bytes of each stream, then cuts it. */
  cutInTheNextWrite() {
    this.#inHalf = true;
  }

  #handle(request, response) {
    if (request.url === "/page") {
      response.writeHead(200, { "Content-Type": "text/html" }).end(PAGE);
      return;
    }
    const stream = { lastEventId: request.headers["last-event-id"], url: request.url, at: Date.now() };
    this.streams.push(stream);
    if (this.blocked) {
      request.socket.destroy();
      return;
    }
    const headers = { ...request.headers };
    if (this.encoding === "identity") delete headers["accept-encoding"];
    const ask = http.get(this.target.url + request.url, { headers, agent: false });
    ask.on("response", (answer) => this.#pass(stream, answer, response));
    ask.on("error", () => response.destroy());
    response.on("close", () => ask.destroy());
  }

  #pass(stream, answer, response) {
    stream.status = answer.statusCode;
    stream.session = answer.headers["sg-session"];
    stream.encoding = answer.headers["content-encoding"] ?? "identity";
    response.writeHead(answer.statusCode, answer.headers);
    response.flushHeaders();
    this.#open.add(response);
    response.on("close", () => this.#open.delete(response));
    answer.on("data", (bytes) => {
      if (!this.#inHalf) {
        response.write(bytes);
        return;
      }
      this.#inHalf = false;
      answer.removeAllListeners("data").resume();
      response.write(bytes.subarray(0, bytes.length >> 1), () => response.destroy());
    });
    answer.on("end", () => response.end());
    answer.on("error", () => response.destroy());
  }
}
