import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { ConfigState } from "./config_state.ts";
import { pageState } from "./page_state.ts";
import { answeredAs, PASSED, REFUSED } from "../failover/testing/results.ts";
import { TestService } from "./testing/service.ts";

async function textOf(
  services: readonly TestService[],
  buttons: "none" | "token" | "all" = "none",
  config: ConfigState = { hash: "abc", readAt: 0 },
) {
  const { clock, incidents } = services[0]!;
  const facts = () => ({ config });
  const views = services.map(({ view }) => view);
  return String(await pageState({ clock, services: views, incidents, facts, buttons }));
}

const ordersIn = (text: string) =>
  [...text.matchAll(/data-order="(\w+)"/g)].map(([, name]) => name);

Deno.test("the service in the worst state comes first", async () => {
  await using well = new TestService({ name: "well" });
  await using ill = new TestService({ name: "ill" });
  await well.start(PASSED, PASSED);
  await ill.start(REFUSED, PASSED);
  const names = [...(await textOf([well, ill])).matchAll(/<h2[^>]*>(\w+)</g)].map(([, name]) =>
    name
  );
  assertEquals(names, ["ill", "well"]);
});

Deno.test("each upstream has its verdict, its checks, and what would change it", async () => {
  await using service = new TestService({ name: "db" });
  await service.start(REFUSED, PASSED);
  const text = await textOf([service]);
  assertStringIncludes(text, "connection refused");
  assertStringIncludes(text, 'aria-label="1 checks, 1 failed"');
  assertStringIncludes(text, "a run of 2 passed checks brings it up");
  assertMatch(text, /<time datetime="[^"]+Z">/);
});

Deno.test("there are buttons only if orders are accepted, and only for orders that are possible", async () => {
  await using service = new TestService({ name: "db" });
  await service.start(PASSED, PASSED);
  assertEquals(ordersIn(await textOf([service], "none")), []);
  const all = await textOf([service], "all");
  assertEquals(ordersIn(all), ["pause", "hold", "switchover", "drain"]);
  assertStringIncludes(all, 'data-token="false"');
  assertStringIncludes(await textOf([service], "token"), 'data-token="true"');
  const source = { by: "ann", reason: "" };
  service.controller.order({ name: "pause" }, source);
  service.controller.order({ name: "drain", upstream: "b" }, source);
  service.controller.order({ name: "hold" }, source);
  assertEquals(ordersIn(await textOf([service], "all")), ["resume", "release", "undrain"]);
});

Deno.test("an incident can be expanded to show its moments and evidence", async () => {
  await using service = new TestService({ name: "db" });
  await service.start(PASSED, PASSED);
  await service.answer("a", REFUSED, 3);
  await service.answer("a", REFUSED);
  await service.answer("b", PASSED);
  const text = await textOf([service]);
  const incident = /<details id="i-[^"]+">.*?<\/details>/s.exec(text)?.[0] ?? "";
  assertMatch(incident, /Sessions: 0 cut, 0 kept; clients: 0 waited at one time[^_]*\. \d{8}-/);
  assertStringIncludes(incident, "failover from a to b");
  assertStringIncludes(incident, "clients are let in");
  assert(!text.includes("None is remembered"));
});

Deno.test("reloads and upgrades are shown between the incidents of each service, each with its own number", async () => {
  await using service = new TestService({ name: "db" });
  await service.start(PASSED, PASSED);
  const { incidents, events } = service;
  const publish = events.scope("");
  for (let at = 0; at < 12; at++) {
    publish({ type: "config.reloaded", by: "<ann>", changes: [`hold ${at}s → ${at + 1}s`] });
  }
  const text = await textOf([service]);
  assertEquals(incidents.list("").length, 12);
  const found = [...text.matchAll(/<summary>.*? UTC<\/time> (.*?)<\/summary>/gs)].map(([, of]) =>
    of
  );
  assertEquals(found.length, 11);
  assertEquals([found[0], found[9]], ["reload: hold 11s → 12s", "reload: hold 2s → 3s"]);
  assertStringIncludes(found[10]!, "[db] start to a");
  assertStringIncludes(text, "Ordered by &lt;ann&gt;.");
});

Deno.test("the rate is that of the clients between two updates", async () => {
  const counters = { accepted: 10 };
  await using service = new TestService({ name: "db", counters });
  await service.start(PASSED, PASSED);
  assertStringIncludes(await textOf([service]), "measured from now on");
  counters.accepted = 40;
  await service.clock.advance(2_000);
  assertStringIncludes(await textOf([service]), "15/s");
});

Deno.test("a server that may not be chosen says why, beside its verdict", async () => {
  await using service = new TestService({
    name: "db",
    policy: { roles: { maxLag: undefined, promotedBy: "us" } },
  });
  await service.start(answeredAs("primary"), answeredAs("standby", { lagBytes: 2_048 }));
  assertStringIncludes(await textOf([service]), "standby, 2KB behind");
  await service.answer("b", answeredAs("primary"));
  await service.answer("a", answeredAs("primary"));
  assertStringIncludes(
    await textOf([service]),
    "may not be chosen: it takes writes, and so did a, which was chosen last",
  );
});

Deno.test("a reload that was refused stands above the services, and any other one below them", async () => {
  await using service = new TestService({ name: "db" });
  await service.start(PASSED, PASSED);
  const now = service.clock.wall();
  const config = { hash: "abc", readAt: now - 3_600_000 };
  const last = { at: now - 60_000, by: "<ann>", changes: ["service db: hold 1s → 2s"], errors: [] };
  const applied = await textOf([service], "none", {
    ...config,
    lastReload: { ...last, outcome: "applied" },
  });
  const done = "Last reload 1m ago, by &lt;ann&gt;: service db: hold 1s → 2s.";
  assertStringIncludes(applied, done);
  assert(applied.indexOf("<h2") < applied.indexOf(done));
  const refused = await textOf([service], "none", {
    ...config,
    lastReload: { ...last, outcome: "refused", changes: [], errors: ["Unknown key <x>"] },
  });
  const why = "The reload ordered by &lt;ann&gt; 1m ago was refused: Unknown key &lt;x&gt;.";
  assertStringIncludes(refused, `<p class="order">${why} The config in force was read 1h ago.`);
  assert(refused.indexOf(why) < refused.indexOf("<h2"));
});
