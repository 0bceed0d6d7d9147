// On a server: Node alone, without a page.
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { expect, test } from "vitest";
import { RealtimeProvider, useChannel, useFeatureFlag, useLatest, useRealtimeStatus } from "../src/index";
import { Hand } from "./page";

function Everything() {
  return createElement("p", null,
    [useChannel("a").length, useLatest("b")?.id ?? "none", useRealtimeStatus(), useFeatureFlag("x", true)].join(" "));
}

test("every hook renders on a server, and opens nothing there", () => {
  expect(typeof document).toBe("undefined");
  const hand = new Hand();
  hand.turn("connected");
  hand.flag("x", false);
  const html = renderToString(createElement(RealtimeProvider, { client: hand.face }, createElement(Everything)));
  expect(html).toBe("<p>0 none idle true</p>");
  expect(hand.log).toEqual([]);
});

test("a hook without a provider says what is missing", () => {
  expect(() => renderToString(createElement(Everything))).toThrow("no <RealtimeProvider> above this component");
});
