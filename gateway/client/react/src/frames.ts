// When what has come is shown: once in a frame for all that is dirty, so that a
// burst of events costs one render, however many components listen.

export interface Frames {
  /** Calls `show` with the next frame, once however often it is asked for. */
  next(show: () => void): void;
}

// A hidden page gets no frames, and what waits for one would be kept for as long.
const HIDDEN_MS = 250;

/** Frames of this page. It touches the page only when something has come. */
export function createFrames(): Frames {
  let waiting = new Set<() => void>();
  const showAll = (): void => {
    const now = waiting;
    waiting = new Set();
    for (const show of now) show();
  };
  const schedule = (): void => {
    let frame = 0;
    const late = setTimeout(() => {
      if (frame) cancelAnimationFrame(frame);
      showAll();
    }, HIDDEN_MS);
    if (typeof requestAnimationFrame === "function") {
      frame = requestAnimationFrame(() => {
        clearTimeout(late);
        showAll();
      });
    }
  };
  return {
    next(show) {
      waiting.add(show);
      if (waiting.size === 1) schedule();
    },
  };
}
