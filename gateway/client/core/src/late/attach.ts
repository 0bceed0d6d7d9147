// What goes on besides once a page is connected: it reports, and passes the lead
// on when its page is hidden, frozen or left.
import { Beacon } from "./beacon";
import type { Client } from "../client";

export function attach(client: Client): void {
  const { _env: env } = client;
  if (client._attached || client.state === "closed") return;
  client._attached = true;
  if (env.random() < (client._options.beacon ?? 0)) client._beacon = new Beacon(client);
  client._on("freeze", () => client._share?._late?._yield());
  client._on("visibilitychange", () => {
    client._share?._late?._visibility();
    client._share?._beat();
    if (!env.visible()) client._beacon?._send();
  });
  client._on("pagehide", () => {
    client._beacon?._send();
    client._share?._post("bye");
  });
  client._on("pageshow", () => {
    client._share?._announce();
    client._connection?._wake();
  });
}

/** Flags have changed: shares a connection from now on, or has one of its own. */
export function flagged(client: Client): void {
  const { _share: share } = client;
  const shared = client.flags["sharedConnection"] !== false;
  if (client.state === "closed") return;
  client._beacon?._paced();
  if (!shared && share) {
    share._close();
    client._share = undefined;
    client._connect();
  } else if (shared && !share && client._started) client._join();
}

/** Tries now, whatever it was waiting for; from a tab that follows, the one that leads does. */
export function retry(client: Client): void {
  const connection = client._connection;
  if (!connection) return client._share?._post("retry");
  connection._failures = 0;
  connection._renewed = false;
  connection._attempt();
}
