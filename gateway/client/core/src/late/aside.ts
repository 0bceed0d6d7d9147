// What a connection does beside its stream: it moves to a second one that takes
// over when it has caught up, polls where streams do not come through, and finds
// out whether they would.
import { askPoll, sleep, type Answer } from "./ask";
import type { Connection } from "../connect";
import { PADDED, POLL, STREAM } from "../mode";
import type { Session } from "../session";
import { tellDenied } from "./tell";
import type { Cursor } from "../types";

const POLL_SECONDS = 25;
const RETRY_STREAM_MS = 600_000; // while polling
const RECHECK_MS = 60_000; // while a flag has stopped us

export class Aside {
  /** The second stream. */
  _next: Session | undefined;
  /** Ends the poll under way; there while it polls. */
  _polling: AbortController | undefined;
  readonly #connection: Connection;
  readonly #env;
  #cancelMove = () => {}; // of the second stream to come
  #waiters: { names: readonly string[]; done: () => void }[] = [];

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#env = connection._client._env;
  }

  /** Ends all that runs or waits. */
  _close(): void {
    this.#stopPolling();
    this._next?._close();
    this._next = undefined;
  }

  /** Calls when a stream or poll reads all of these names, or nothing will any more. */
  _covered(names: readonly string[], done: () => void): void {
    this.#waiters.push({ names, done });
    this._settle();
  }

  /** Lets go those who wait for names that are read now. */
  _settle(): void {
    const { _current: session, _position: position, _state: state, _wanted: wanted } = this.#connection;
    const asked = this._polling && position ? new Set(wanted) : session?._sid && session._asked;
    this.#waiters = this.#waiters.filter(({ names, done }) => {
      const waits = state !== "closed" && !(asked && names.every((name) => asked.has(name)));
      if (!waits) done();
      return waits;
    });
  }

  /** Flags have changed on the stream. */
  _flagged(before: Record<string, boolean>): void {
    const flags = this.#connection._flags;
    if (["compression", "zstd"].some((name) => (before[name] === false) !== (flags[name] === false))) this._move(this.#env.random() * 1000);
  }

  /** Moves to a second connection, and leaves this one when that has caught up. */
  _move(inMs = 0): void {
    this.#open(inMs, () => this.#connection._current);
  }

  /** A session has caught up: if it is the second one, it takes over. */
  _caughtUp(session: Session): void {
    const connection = this.#connection;
    if (session !== this._next) return;
    this._next = undefined;
    this.#stopPolling();
    connection._current?._close();
    if (connection._mode === POLL) connection._mode = STREAM;
    connection._use(session);
  }

  /** The second stream is over, before it took over. */
  _over(session: Session): void {
    if (session !== this._next) return;
    this._next = undefined;
    if (this.#connection._current) this._move(this.#connection._wait());
    else if (this._polling) this.#tryStreamLater();
  }

  /** The first stream is over: what was the second one is all there is now. */
  _take(): Session | undefined {
    const next = this._next;
    this._next = undefined;
    return next;
  }

  /** Polls from now on for what is wanted by now. */
  async _poll(): Promise<void> {
    const connection = this.#connection;
    const { _client: client } = connection;
    if (!this._polling) this.#tryStreamLater();
    this._polling?.abort();
    let mine = (this._polling = new AbortController());
    try {
      for (let waitSeconds = 0; ; waitSeconds = POLL_SECONDS) { // the first answer says that it works
        const told = client._refused.size;
        const answer = await askPoll(client, connection._wanted, connection._position, waitSeconds, mine);
        if (mine !== this._polling) return;
        this._polling = mine = new AbortController(); // a signal goes with its request, or it would keep all of them
        connection._renewed = false;
        connection._failures = 0;
        connection._enter("polling");
        if (client._refused.size > told) tellDenied(client, [...client._refused].slice(told));
        this.#hand(answer);
        client._share?._beat();
        if (answer.retryMs > 0) await sleep(client, answer.retryMs);
        if (mine !== this._polling) return;
      }
    } catch (error) {
      if (mine !== this._polling) return;
      this.#stopPolling();
      connection._fail(client._error(error));
    }
  }

  /** No answer to a stream: some proxies hold back even its beginning. Then a short answer comes. */
  async _probe(): Promise<void> {
    const connection = this.#connection;
    const answered = await this.#answers(connection._position);
    if (connection._state !== "connecting" || connection._current) return;
    if (answered) connection._held(connection._mode === PADDED); // the first time the network may have been at fault
    else connection._later();
  }

  /** Looks now and then whether the flag that stopped us is back. */
  _recheck(): void {
    const connection = this.#connection;
    if (connection._state !== "stopped") return;
    connection._soon(this.#about(RECHECK_MS), async () => {
      const back = await this.#answers(null);
      if (connection._state !== "stopped" || !back) return this._recheck();
      connection._off = false;
      connection._attempt();
    });
  }

  #hand({ events, controls, cursor, more }: Answer): void {
    const connection = this.#connection;
    for (const { event, data } of controls) if (event === "sg.reset") connection._reset(data);
    const prev = connection._position;
    connection._position = connection._client._later(prev, cursor);
    connection._reads(connection._wanted, prev ?? cursor);
    connection._item({ batch: { prev, cursor, elements: events, live: !more } });
    this._settle();
  }

  /** Whether the gateway answers at all, to something short. */
  #answers(cursor: Cursor | null): Promise<boolean> {
    return askPoll(this.#connection._client, this.#connection._wanted, cursor, 0).then(() => true, () => false);
  }

  #stopPolling(): void {
    this.#cancelMove();
    this._polling?.abort();
    this._polling = undefined;
  }

  #tryStreamLater(): void {
    this.#open(this.#about(RETRY_STREAM_MS), () => true);
  }

  #open(inMs: number, wanted: () => unknown): void {
    this.#cancelMove();
    this.#cancelMove = this.#env.after(inMs, () => {
      if (wanted()) this._next ??= this.#connection._open();
    });
  }

  #about(milliseconds: number): number {
    return milliseconds * (0.8 + this.#env.random() * 0.4);
  }
}

/** Resolves when a stream or poll reads all of these names, or nothing will any more. */
export const covered = (connection: Connection, names: readonly string[]): Promise<void> =>
  new Promise((done) => connection._beside((aside) => aside._covered(names, done)));
