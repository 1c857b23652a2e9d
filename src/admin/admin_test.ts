import { assert, assertEquals, assertMatch, assertObjectMatch } from "@std/assert";
import { adminApp, type Exposure, FEEDS_MAX, type OrdersAccess } from "./admin.ts";
import { PASSED, REFUSED } from "../failover/testing/results.ts";
import { adminSettings, TestService } from "./testing/service.ts";

/** The admin app of one or more services, and functions that send it requests. */
function admin(exposure: Exposure, ...services: readonly TestService[]) {
  return adminFor("all", exposure, ...services);
}

function adminFor(
  orders: OrdersAccess,
  exposure: Exposure,
  ...services: readonly TestService[]
) {
  return adminWith({ orders }, exposure, ...services);
}

function adminWith(
  { orders, ownNames, connectionsMax }: {
    readonly orders: OrdersAccess;
    readonly ownNames?: readonly string[] | undefined;
    readonly connectionsMax?: number;
  },
  exposure: Exposure,
  ...services: readonly TestService[]
) {
  const stop = new AbortController();
  const app = adminApp(
    adminSettings(services, {
      sentence: ({ type }) => `it was ${type}`,
      stop: stop.signal,
      ...ownNames === undefined ? {} : { ownNames },
      ...connectionsMax === undefined ? {} : { connectionsMax },
    }),
    exposure,
    orders,
  );
  const ask = async (
    path: string,
    init: RequestInit & { headers?: Record<string, string> } = {},
  ) => {
    const headers = { host: "localhost:9000", ...init.headers };
    return await app.request(`/__failover/${path}`, { ...init, headers });
  };
  const status = async (path: string, init: Parameters<typeof ask>[1] = {}) => {
    const response = await ask(path, init);
    await response.body?.cancel();
    return response.status;
  };
  const json = async (path: string) => await (await ask(path)).json();
  return { ask, status, json, stop };
}

Deno.test("health is OK for every client", async () => {
  await using service = new TestService();
  for (const exposure of ["brief", "public", "health", "operator"] as const) {
    const response = await admin(exposure, service).ask("health");
    assertEquals([response.status, await response.text()], [200, "OK"]);
    assertEquals(response.headers.get("cache-control"), "no-store");
    assertEquals(response.headers.get("access-control-allow-origin"), null);
  }
});

Deno.test("the brief state has four fields, and readiness begins with the first choice", async () => {
  await using service = new TestService();
  const { ask, status, json } = admin("brief", service);
  assertEquals(await status("ready"), 503);
  await service.start(PASSED, PASSED);
  assertEquals(await status("ready"), 200);
  assertEquals(Object.keys(await json("state")), ["on_backup", "since_unix", "primary", "backup"]);
  assertEquals(await (await ask("ready")).text(), "ready");
});

Deno.test("each listener has its own endpoints and no others", async () => {
  await using service = new TestService();
  const shown = async (exposure: Exposure) => {
    const { status } = admin(exposure, service);
    const codes: number[] = [];
    for (const path of ["health", "state", "metrics", "events"]) codes.push(await status(path));
    return [...codes, await status("failback", { method: "POST" })];
  };
  assertEquals(await shown("public"), [200, 200, 200, 404, 404]);
  assertEquals(await shown("brief"), [200, 200, 404, 404, 404]);
  assertEquals(await shown("health"), [200, 404, 404, 404, 404]);
  assertEquals(await shown("operator"), [200, 200, 200, 200, 409]);
});

Deno.test("an unknown path is answered with the list of paths", async () => {
  await using service = new TestService();
  const response = await admin("public", service).ask("nope");
  assertEquals(response.status, 404);
  const { endpoints } = await response.json();
  assertEquals(
    endpoints,
    ["/health", "/ready", "/state", "/metrics"].map((p) => `GET /__failover${p}`),
  );
});

Deno.test("the state of a single service is a flat object, that of several a list or chosen by name", async () => {
  await using shop = new TestService({ name: "shop" });
  await using blog = new TestService({ name: "blog" });
  assertObjectMatch(await admin("public", shop).json("state"), {
    version: "1.2.3",
    on_backup: false,
    service: "shop",
  });
  const both = admin("operator", shop, blog);
  const { services } = await both.json("state");
  assertEquals(services.map((s: { service: string }) => s.service), ["shop", "blog"]);
  assertEquals((await both.json("state?service=blog")).service, "blog");
  assertEquals(await both.status("state?service=none"), 404);
});

Deno.test("metrics have the content type that Prometheus expects", async () => {
  await using service = new TestService();
  const response = await admin("public", service).ask("metrics");
  assertEquals(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  assertMatch(await response.text(), /^# HELP failover_upstream_up /);
});

Deno.test("events are shown with their sentence, as a list or as a live stream", async () => {
  await using service = new TestService({ name: "shop" });
  const { json, ask, stop } = admin("operator", service);
  await service.start(PASSED, PASSED);
  const { events } = await json("events");
  assertObjectMatch(events[0], {
    seq: 1,
    service: "shop",
    event: "selection.started",
    message: "it was selection.started",
    reason: "start",
  });
  const accept = "text/event-stream";
  const live = await ask("events", { headers: { accept, "last-event-id": "1" } });
  assertEquals(live.headers.get("content-type"), accept);
  stop.abort();
  assertMatch(await live.text(), /id: 2\nevent: upstream.up\ndata: \{"seq":2,/);
});

Deno.test("feeds are limited, and one that ended makes room", async () => {
  await using service = new TestService();
  const { ask, stop } = admin("operator", service);
  const open = async () => await ask("events", { headers: { accept: "text/event-stream" } });
  const feeds = [];
  for (let i = 0; i < FEEDS_MAX; i++) feeds.push(await open());
  assertEquals((await open()).status, 503);
  await feeds[0]!.body!.cancel();
  assertEquals((await open()).status, 200);
  stop.abort();
  assertEquals(service.clock.pending, 0);
});

Deno.test("where there are few connections, feeds leave half of them to commands", async () => {
  await using service = new TestService();
  const settings = { orders: "none", connectionsMax: 5 } as const;
  const { ask, stop } = adminWith(settings, "operator", service);
  const open = async () => await ask("events", { headers: { accept: "text/event-stream" } });
  assertEquals([(await open()).status, (await open()).status], [200, 200]);
  const refused = await open();
  assertEquals([refused.status, await refused.json()], [503, {
    error: "2 feeds are open already",
  }]);
  stop.abort();
});

Deno.test("an operator's order moves traffic back, or is refused with the reason", async () => {
  await using service = new TestService();
  const { ask } = admin("operator", service);
  const order = async () => {
    const response = await ask("failback", { method: "POST" });
    await service.clock.advance(0);
    return [response.status, await response.json()];
  };
  await service.start(REFUSED, PASSED);
  assertEquals(await order(), [409, {
    error: "no better upstream is up",
    outcome: "refused",
    epoch: 1,
  }]);
  await service.answer("a", PASSED, 2);
  assertEquals(await order(), [202, { ordered: true, outcome: "accepted", epoch: 2 }]);
  assertEquals(service.controller.state.lastServed?.to, "a");
});

Deno.test("orders are carried out only for clients that are allowed to give them", async () => {
  await using service = new TestService();
  await service.start(PASSED, PASSED);
  const pause = async (orders: OrdersAccess, authorization?: string) => {
    const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
    return await adminFor(orders, "operator", service).status("pause", { method: "POST", headers });
  };
  assertEquals(await pause("none"), 403);
  assertEquals(await pause("none", "Bearer secret"), 403);
  for (const sent of [undefined, "secret", "Basic secret", "Bearer wrong", "Bearer secrets"]) {
    assertEquals(await pause({ token: "secret" }, sent), 401, sent);
  }
  assertEquals(service.controller.state.paused, undefined);
  assertEquals(await pause({ token: "secret" }, "Bearer secret"), 200);
  assertEquals(service.controller.state.paused?.reason, "");
});

Deno.test("the public state does not show who gave an order, and why", async () => {
  await using service = new TestService();
  await service.start(PASSED, PASSED);
  const asker = { by: "ann (uid 7, pid 9)", reason: "new disk" };
  service.controller.order({ name: "pause" }, asker);
  service.controller.order({ name: "drain", upstream: "b" }, asker);
  await service.clock.advance(0);
  const text = async (exposure: Exposure) =>
    JSON.stringify(await admin(exposure, service).json("state"));
  assertMatch(await text("operator"), /ann.*new disk/);
  const shown = await text("public");
  assertEquals(/ann \(|new disk/.test(shown), false);
  assertMatch(shown, /"paused":\{"since_unix":\d+\}.*"drained":\{"since_unix":\d+\}/);
});

Deno.test("an order must name its service if there are several", async () => {
  await using shop = new TestService({ name: "shop" });
  await using blog = new TestService({ name: "blog" });
  const { status } = admin("operator", shop, blog);
  assertEquals(await status("failback", { method: "POST" }), 400);
  assertEquals(await status("failback?service=none", { method: "POST" }), 400);
  assertEquals(await status("failback?service=blog", { method: "POST" }), 409);
});

Deno.test("only our own web page can give an order, and only under one of our host names", async () => {
  await using service = new TestService();
  await service.start(REFUSED, PASSED);
  await service.answer("a", PASSED, 2);
  const { status } = admin("operator", service);
  for (
    const headers of [
      { origin: "https://evil.example" },
      { origin: "null" },
      { origin: "http://localhost:9000" },
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site", origin: "http://localhost:9000" },
    ] as Record<string, string>[]
  ) assertEquals(await status("failback", { method: "POST", headers }), 403);
  assert(service.controller.state.lastServed?.to === "b");
  const own = (host: string) =>
    status("failback", { method: "POST", headers: { "sec-fetch-site": "same-origin", host } });
  // A page whose name was made to resolve to our address (DNS rebinding) would have the same origin, too.
  assertEquals(await own("evil.example:9911"), 421);
  assertEquals(await own("localhost:9911"), 202);
});

Deno.test("requests with a foreign host name get only health and readiness", async () => {
  await using service = new TestService();
  await service.start(PASSED, PASSED);
  const paths = ["state", "metrics", "events", "incidents", "timeline", "health", "ready"];
  const codes = async (host: string, ownNames?: readonly string[]) => {
    const { status } = adminWith({ orders: "none", ownNames }, "operator", service);
    const headers = { host };
    const orders = await status("pause", { method: "POST", headers });
    return [...await Promise.all(paths.map((path) => status(path, { headers }))), orders];
  };
  const all = [200, 200, 200, 200, 200, 200, 200, 403];
  const none = [421, 421, 421, 421, 421, 200, 200, 421];
  assertEquals(await codes("proxy.internal:9000", ["proxy.internal"]), all);
  assertEquals(await codes("10.0.0.1:9000", []), all);
  assertEquals(await codes("evil.example:9000", ["proxy.internal"]), none);
  assertEquals(await codes("evil.example:9000"), all);
});
