// @vitest-environment jsdom
import { Activity, createElement, startTransition, useState } from "react";
import { act } from "react";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { useChannel, useFeatureFlag, useLatest, useRealtimeStatus, type ChannelOptions } from "../src/index";
import { frame, Hand, mount } from "./page";

let hand: Hand;
beforeEach(() => {
  (globalThis as Record<string, unknown>).IS_REACT_ACT_ENVIRONMENT = true;
  hand = new Hand();
});
afterEach(() => document.body.replaceChildren());

let renders = 0;
function List({ channels = "a", ...options }: { channels?: string | string[] } & ChannelOptions) {
  renders++;
  return createElement("p", null, useChannel<number>(channels, options).map((e) => e.data).join(" "));
}

describe("useChannel", () => {
  test("a list that nobody read for a while begins anew, since it would have a hole", async () => {
    const list = createElement(List);
    const page = await mount(hand, createElement(Activity, { mode: "visible", children: list }));
    hand.event("a", 1);
    await frame();
    await page.again(createElement(Activity, { mode: "hidden", children: list }));
    await frame();
    hand.event("a", 2);
    expect(hand.open.size).toBe(0);
    await page.again(createElement(Activity, { mode: "visible", children: list }));
    hand.event("a", 3);
    await frame();
    expect(page.box.textContent).toBe("3");
  });

  test("shows events in order, oldest first, and keeps the newest", async () => {
    const { box } = await mount(hand, createElement(List, { limit: 3 }));
    expect(box.textContent).toBe("");
    for (const n of [1, 2, 3, 4, 5]) hand.event("a", n);
    hand.event("b", 9);
    await frame();
    expect(box.textContent).toBe("3 4 5");
    hand.event("a", 6);
    await frame();
    expect(box.textContent).toBe("4 5 6");
  });

  test("a thousand events between two frames are one render, in every component", async () => {
    const { box } = await mount(hand, [1, 2, 3].map((key) => createElement(List, { key, limit: 2 })), false);
    renders = 0;
    for (let n = 0; n < 1000; n++) hand.event("a", n);
    expect(renders).toBe(0);
    await frame();
    expect(renders).toBe(3);
    expect(box.textContent).toBe("998 999".repeat(3));
    await frame();
    expect(renders).toBe(3);
  });

  test("a strict tree subscribes once, and nothing is left after it is gone", async () => {
    const page = await mount(hand, createElement(List));
    await frame();
    expect(hand.log).toEqual(["subscribe a"]);
    await page.unmount();
    await frame();
    expect(hand.log).toEqual(["subscribe a", "unsubscribe a"]);
    hand.event("a", 1);
    await frame();
  });

  test("other channels are another list, the same ones in a new array are not", async () => {
    const page = await mount(hand, createElement(List, { channels: ["a", "b"] }));
    hand.event("b", 1);
    await frame();
    await page.again(createElement(List, { channels: ["a", "b"] }));
    expect(page.box.textContent).toBe("1");
    await page.again(createElement(List, { channels: ["c"] }));
    expect(page.box.textContent).toBe("");
    await frame();
    expect(hand.log).toEqual(["subscribe a,b", "subscribe c", "unsubscribe a,b"]);
    hand.event("c", 7);
    await frame();
    expect(page.box.textContent).toBe("7");
  });

  test("the newest handlers are called, and without one the client's own is left alone", async () => {
    const first = vi.fn(), second = vi.fn();
    const reset = { reason: "evicted" as const, channels: ["a"] };
    const page = await mount(hand, createElement(List, { onReset: first }));
    await page.again(createElement(List, { onReset: second }));
    for (const { options } of hand.open) options.onReset?.(reset);
    expect(first).not.toHaveBeenCalled();
    expect(second).toHaveBeenCalledWith(reset);
    const other = new Hand();
    await mount(other, createElement(List, {}));
    for (const { options } of other.open) expect(options.onReset).toBeUndefined();
  });

  test("types are passed on", async () => {
    await mount(hand, createElement(List, { type: ["x", "y"] }));
    expect([...hand.open].map((o) => o.options.type)).toEqual([["x", "y"]]);
  });

  test("a hidden page, which gets no frames, still lets go of what came", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "requestAnimationFrame", "cancelAnimationFrame"] });
    vi.stubGlobal("requestAnimationFrame", () => 1);
    vi.stubGlobal("cancelAnimationFrame", () => {});
    try {
      const { box } = await mount(hand, createElement(List, { limit: 2 }));
      for (let n = 0; n < 5; n++) hand.event("a", n);
      await act(() => vi.advanceTimersByTimeAsync(300));
      expect(box.textContent).toBe("3 4");
    } finally {
      vi.unstubAllGlobals();
      vi.useRealTimers();
    }
  });

  test("no component of one render sees another state than its neighbours", async () => {
    const torn: string[] = [];
    function Slow({ n }: { n: number }) {
      const end = performance.now() + 4;
      while (performance.now() < end); // longer than React's slices, so that it yields in between
      return createElement("i", null, `${n} ${useChannel<number>("a", { limit: 1 })[0]?.data ?? "-"}`);
    }
    let grow = (_: number) => {};
    function Many() {
      const [n, set] = useState(1);
      grow = set;
      return createElement("div", null, Array.from({ length: 10 }, (_, i) => createElement(Slow, { key: i, n })));
    }
    const { box } = await mount(hand, createElement(Many), false);
    const look = () => {
      const seen = new Set([...box.querySelectorAll("i")].map((i) => i.textContent));
      if (seen.size > 1) torn.push([...seen].join("|"));
    };
    const watcher = new MutationObserver(look);
    watcher.observe(box, { subtree: true, childList: true, characterData: true });
    for (let n = 2; n < 6; n++) {
      act(() => startTransition(() => grow(n)));
      hand.event("a", n);
      await frame();
    }
    watcher.disconnect();
    look();
    expect(torn).toEqual([]);
    expect(box.querySelector("i")?.textContent).toBe("5 5");
  });
});

test("useLatest is the newest event", async () => {
  const Latest = () => createElement("p", null, String(useLatest<number>("a")?.data ?? "none"));
  const { box } = await mount(hand, createElement(Latest));
  expect(box.textContent).toBe("none");
  hand.event("a", 1);
  hand.event("a", 2);
  await frame();
  expect(box.textContent).toBe("2");
});

test("status and flags are followed, and let go", async () => {
  function Status() {
    return createElement("p", null, `${useRealtimeStatus()} ${useFeatureFlag("chart")} ${useFeatureFlag("table", true)}`);
  }
  const page = await mount(hand, createElement(Status));
  expect(page.box.textContent).toBe("idle false true");
  act(() => {
    hand.turn("connected");
    hand.flag("chart", true);
    hand.flag("table", false);
  });
  expect(page.box.textContent).toBe("connected true false");
  await page.unmount();
  expect(hand.listening).toBe(0);
});
