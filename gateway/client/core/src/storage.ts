// Where a tab was, kept over its reload. A browser that blocks storage, or has no
// room, takes away nothing but that.
import type { Client } from "./client";
import { isCursor } from "./cursor";
import type { Cursor } from "./types";

const EVERY_MS = 1000;

export class Memory {
  /** The position before the reload. */
  _loaded: Cursor | null = null;
  readonly #client: Client;
  #now: { cursor: Cursor | null; names: readonly string[] } | undefined;
  #savedAt = 0;
  /** Names of before the reload that nobody has subscribed to since. */
  _unclaimed = new Set<string>();

  constructor(client: Client) {
    this.#client = client;
  }

  _load(): void {
    try {
      const { cursor, names } = JSON.parse(this.#client._env.load(this.#client._name)!);
      if (!isCursor(cursor) || !Array.isArray(names)) return;
      this._loaded = cursor;
      this._unclaimed = new Set(names);
    } catch {} // blocked, nothing, or not ours
  }

  _note(cursor: Cursor | null, names: readonly string[]): void {
    this.#now = { cursor, names };
    if (this.#client._env.now() - this.#savedAt >= EVERY_MS) this._save();
  }

  _save(): void {
    if (!this.#now?.cursor) return;
    const { _env: env, _name: key } = this.#client;
    this.#savedAt = env.now();
    try {
      env.save(key, JSON.stringify(this.#now));
    } catch {} // blocked, or full
  }
}
