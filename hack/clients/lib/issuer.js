// An issuer of tokens on loopback, with one key, for gateways of mode JWT.
import { generateKeyPairSync, sign } from "node:crypto";
import { once } from "node:events";
import http from "node:http";

/**
 * Starts one. `token` signs what may be read, for so many seconds; `auth` is the
 * part of a hot document that takes such tokens of readers.
 */
export async function startIssuer(t) {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keys = JSON.stringify({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "k1", alg: "ES256", use: "sig" }] });
  const server = http.createServer((_, response) => response.writeHead(200, { "Content-Type": "application/json" }).end(keys));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => (server.close(), server.closeAllConnections()));
  const url = `http://127.0.0.1:${server.address().port}`;
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const token = (seconds, channels, subject = "u7") => {
    const claims = { iss: url, aud: "pages", sub: subject, exp: Math.floor(Date.now() / 1000) + seconds, sg: { sub: channels } };
    const text = `${part({ alg: "ES256", kid: "k1", typ: "JWT" })}.${part(claims)}`;
    return `${text}.${sign("sha256", Buffer.from(text), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
  };
  const jwt = { issuer: url, audiences: ["pages"], channelsClaim: "sg", jwks: { uri: `${url}/keys`, refreshInterval: "10m" }, clockSkew: "0s" };
  return { token, auth: { publishers: { mode: "Anonymous" }, subscribers: { mode: "JWT", jwt } } };
}
