import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Hono } from "hono";
import { answerPage, answerPageState } from "./page.ts";
import { PASSED } from "../failover/testing/results.ts";
import { TestService } from "./testing/service.ts";

async function hashOf(text: string): Promise<string> {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return btoa(String.fromCharCode(...new Uint8Array(bytes)));
}

Deno.test("the page is one file, and its Content-Security-Policy allows only its own script and style, by their hashes", async () => {
  await using service = new TestService({ name: "<b>db</b>" });
  await service.start(PASSED, PASSED);
  const { clock, incidents, view } = service;
  const app = new Hono();
  const facts = () => ({ config: { hash: "abc", readAt: 0 } });
  const settings = { clock, incidents, facts, services: [view], buttons: "none" } as const;
  app.get("/", (c) => answerPage(c, settings));
  app.get(
    "/page",
    (c) => answerPageState(c, settings),
  );
  const response = await app.request("/");
  const text = await response.text();
  const policy = response.headers.get("content-security-policy")!;
  const [, style] = /<style>(.*?)<\/style>/s.exec(text)!;
  const [, script] = /<script type="module">(.*?)<\/script>/s.exec(text)!;
  assertStringIncludes(policy, `style-src 'sha256-${await hashOf(style!)}'`);
  assertStringIncludes(policy, `script-src 'sha256-${await hashOf(script!)}'`);
  assertStringIncludes(policy, "default-src 'none'");
  assert(!policy.includes("unsafe"));
  // It shows the state without a script, too.
  const main = /<main[^>]*>(.*)<\/main>/s.exec(text)![1]!;
  assertStringIncludes(main, "a, the primary, serves");
  assertStringIncludes(main, "&lt;b&gt;db&lt;/b&gt;");
  assertEquals(/ style=|<script|\son\w+=/.exec(main), null);
  assertEquals([...text.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, to]) => to), [
    "data:,",
    "#state",
  ]);
  const part = await (await app.request("/page")).text();
  assertMatch(part, /^\s*<section class="service primary"/);
});
