// Turns the bytes of a stream into frames, by the rules of the HTML standard for
// text/event-stream. Pure: it knows no network and no clock.

/** One dispatched block, or what a parser tells besides. */
export interface Frame {
  /** Empty for `message`. */
  event: string;
  /** Null when the block had none: the position does not move. */
  id: string | null;
  data: string;
}

export interface ParserEvents {
  frame(frame: Frame): void;
  /** A line that began with a colon, without it. */
  comment(text: string): void;
  /** The `retry` field, in milliseconds. */
  retry(milliseconds: number): void;
}

export interface Parser {
  /** Takes the next bytes; throws when one frame is longer than the bound. */
  push(bytes: Uint8Array): void;
}

/** Longer frames than any that the gateway sends: a batch has 256 KiB, or one event of at most a few MiB. */
const MAX_FRAME_CHARS = 32 << 20;

/**
 * Parses in time linear in the bytes, however they are cut: the part of a line
 * that came is kept in pieces, and only new bytes are searched for its end.
 */
export function createParser(on: ParserEvents, maxFrameChars = MAX_FRAME_CHARS): Parser {
  const decoder = new TextDecoder(); // drops one BOM at the start
  let pieces: string[] = []; // of the line under way
  let size = 0; // of the frame under way, in characters
  let sawCr = false; // the last piece ended with CR: an LF now belongs to it
  let event = "";
  let id: string | null = null;
  let data: string[] = [];

  function line(text: string): void {
    if (text === "") {
      if (data.length) on.frame({ event, id, data: data.join("\n") });
      event = "";
      id = null;
      data = [];
      size = 0;
      return;
    }
    const colon = text.indexOf(":");
    if (colon === 0) return on.comment(text.slice(1));
    const name = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + (text[colon + 1] === " " ? 2 : 1));
    if (name === "data") data.push(value);
    else if (name === "event") event = value;
    else if (name === "id") id = value.includes("\0") ? id : value;
    else if (name === "retry" && /^\d+$/.test(value)) on.retry(+value);
  }

  return {
    push(bytes) {
      let text = decoder.decode(bytes, { stream: true });
      if (sawCr && text) {
        sawCr = false;
        if (text[0] === "\n") text = text.slice(1);
      }
      let start = 0;
      for (const end = /\r\n|[\r\n]/g; ; ) {
        const found = end.exec(text);
        if (!found) break;
        pieces.push(text.slice(start, found.index));
        size += end.lastIndex - start;
        start = end.lastIndex;
        sawCr = found[0] === "\r" && start === text.length;
        const whole = pieces.join("");
        pieces = [];
        line(whole);
      }
      if (start < text.length) {
        pieces.push(text.slice(start));
        size += text.length - start;
      }
      if (size > maxFrameChars) throw new Error(`reading a stream: a frame of more than ${maxFrameChars} characters`);
    },
  };
}
