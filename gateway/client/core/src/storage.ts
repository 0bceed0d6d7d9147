// Where a tab was, kept over its reload. A browser that blocks storage, or has no
// room, takes away nothing but that.
import { isCursor } from "./cursor";
import type { Env } from "./env";
import type { Cursor } from "./types";

const EVERY_MS = 1000;

export class Memory {
  #cursor: Cursor | null = null;
  #names: readonly string[] = [];
  #savedAt = -Infinity;
  #loaded: Cursor | null = null;
  #unclaimed = new Set<string>(); // names of before the reload that nobody has subscribed to since

  constructor(readonly env: Env, readonly key: string) {}

  /** The position before the reload. */
  load(): { cursor: Cursor | null } {
    try {
      const { cursor, names } = JSON.parse(this.env.load(this.key) ?? "{}");
      if (isCursor(cursor) && Array.isArray(names)) {
        this.#loaded = cursor;
        this.#unclaimed = new Set(names);
      }
    } catch {} // blocked, or not ours
    return { cursor: this.#loaded };
  }

  /** Which of these names were read before the reload and are now for the first time. */
  take(names: readonly string[]): { cursor: Cursor | null; names: string[] } {
    return { cursor: this.#loaded, names: names.filter((name) => this.#unclaimed.delete(name)) };
  }

  note(cursor: Cursor | null, names: readonly string[]): void {
    this.#cursor = cursor;
    this.#names = names;
    if (this.env.now() - this.#savedAt >= EVERY_MS) this.save();
  }

  save(): void {
    if (!this.#cursor) return;
    this.#savedAt = this.env.now();
    try {
      this.env.save(this.key, JSON.stringify({ cursor: this.#cursor, names: this.#names }));
    } catch {} // blocked, or full
  }
}
