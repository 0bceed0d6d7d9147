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
 * that came is kept as it is, and only new text is searched for its end.
 */
export function createParser(on: ParserEvents, maxFrameChars = MAX_FRAME_CHARS): Parser {
  const decoder = new TextDecoder(); // drops one BOM at the start
  let rest = ""; // of the line under way
  let sawCr = false; // the last text ended with CR: an LF now belongs to it
  let event = "";
  let id: string | null = null;
  let data = "";

  function line(text: string): void {
    if (!text) {
      if (data) on.frame({ event, id, data: data.slice(0, -1) });
      event = data = "";
      id = null;
      return;
    }
    const [, name, value = ""] = /^([^:]*)(?:: ?([^]*))?$/.exec(text)!;
    if (!name) on.comment(text.slice(1));
    else if (name === "data") data += value + "\n";
    else if (name === "event") event = value;
    else if (name === "id") id = value.includes("\0") ? id : value;
    else if (name === "retry" && /^\d+$/.test(value)) on.retry(+value);
  }

  return {
    push(bytes) {
      let text = decoder.decode(bytes, { stream: true });
      if (!text) return;
      if (sawCr && text[0] === "\n") text = text.slice(1);
      const lines = text.split(/\r\n|[\r\n]/);
      sawCr = text.endsWith("\r");
      lines[0] = rest + lines[0];
      rest = lines.pop()!;
      lines.forEach(line);
      if (rest.length + data.length > maxFrameChars) throw new Error(`a frame of more than ${maxFrameChars} characters`);
    },
  };
}
