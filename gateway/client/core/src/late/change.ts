// What changes a session while it runs: its channels, and its right to read.
import { sleep } from "./ask";
import type { Connection } from "../connect";
import type { RealtimeError } from "../http";
import type { Session } from "../session";
import { tellDenied } from "./tell";

const RENEW_MS = 5000; // at least between two renewals

/** Brings the session to what is wanted by now; calls while one runs are made up for. */
export async function sync(connection: Connection, session: Session): Promise<void> {
  const { _client: client, _wanted: wanted } = connection;
  const add = wanted.filter((name) => !session._asked.has(name));
  const remove = [...session._asked].filter((name) => !wanted.includes(name));
  if (session._syncing || connection._current !== session || !wanted.length) return;
  session._syncing = true;
  let againMs = 0;
  try {
    const answer = await client._ask("PATCH", `sessions/${session._sid}`, { body: JSON.stringify({ add, remove }) });
    for (const name of remove) session._asked.delete(name);
    session._ask(add, answer.effective, answer.denied);
  } catch (thrown) {
    const { type, transient, retryMs } = thrown as RealtimeError;
    const gone = type === "session-gone";
    if (gone) connection._beside((aside) => aside._move());
    if (transient || gone || !add.length) againMs = Math.max(500, retryMs);
    else {
      session._ask(add, session._at);
      tellDenied(client, add);
    }
  }
  connection._beside((aside) => aside._settle());
  await sleep(client, againMs);
  session._syncing = false;
  if (connection._current === session) connection._sync();
}

/** Renews the right to read, before it ends; tokens that are too short for the gateway's notice do not make that a loop. */
export async function renew(connection: Connection, session: Session, how: string): Promise<void> {
  const client = connection._client;
  const env = client._env;
  const waitMs = session._renewedAt + RENEW_MS - env.now();
  const move = () => connection._beside((aside) => aside._move());
  if (waitMs > 0) await sleep(client, waitMs);
  session._renewedAt = env.now();
  if (connection._current !== session || !client._renew()) return;
  if (how !== "session") return move();
  try {
    await client._ask("PATCH", `sessions/${session._sid}`, { body: JSON.stringify({ token: await client._token() }) });
  } catch {
    move();
  }
}
