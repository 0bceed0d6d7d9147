// @vitest-environment jsdom
import { createElement } from "react";
import { act } from "react";
import { hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { expect, test } from "vitest";
import { RealtimeProvider, useLatest, useRealtimeStatus } from "../src/index";
import { frame, Hand } from "./page";

test("what a server rendered is taken over without a mismatch, then goes live", async () => {
  (globalThis as Record<string, unknown>).IS_REACT_ACT_ENVIRONMENT = true;
  const Page = () => createElement("p", null, `${useRealtimeStatus()} ${useLatest<number>("a")?.data ?? "none"}`);
  const hand = new Hand();
  const tree = createElement(RealtimeProvider, { client: hand.face }, createElement(Page));
  const box = document.createElement("div");
  box.innerHTML = renderToString(tree);
  hand.turn("connected"); // before React comes to life
  const mismatches: unknown[] = [];
  await act(async () => hydrateRoot(box, tree, { onRecoverableError: (error) => mismatches.push(error) }));
  hand.event("a", 1);
  await frame();
  expect(box.textContent).toBe("connected 1");
  expect(mismatches).toEqual([]);
});
