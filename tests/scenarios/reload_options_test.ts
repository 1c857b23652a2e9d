/**
 * Every option of the table at a reload: it is in force in the running process, or it is refused by name. A new option
 * needs a row in `reload_options.ts`, or that does not compile.
 */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { policyOf } from "../../src/app/control_parts.ts";
import { KEYS, optionOf, yamlKeyOf } from "../../src/config/options.ts";
import { tcpOf } from "../../src/config/testing/config.ts";
import { Folder } from "../harness/folder.ts";
import { type FileOptions, startReloaded } from "../harness/reloaded.ts";
import { ScriptedWeb } from "../harness/scripted_web.ts";
import { untilTrue } from "../harness/test_deadline.ts";
import { request, type Sent, WebConnection } from "../harness/web_client.ts";
import { FIXED, type Proof, type Row, ROWS, type Seen } from "./reload_options.ts";

/** Options without which some rows would have to wait. */
const BASE: FileOptions = {
  fail_threshold: 1,
  failback_damping: "off",
  // Clients that nobody has counted cannot be limited one by one.
  max_connections_per_client: 100,
};

const isSeen = (row: Row): row is Seen => typeof row === "object" && "see" in row;

Deno.test("every option that can change in place is in force in the running process after a reload", async (t) => {
  await using folder = await Folder.make();
  await using one = new ScriptedWeb("one");
  await using two = new ScriptedWeb("two");
  const [listen, admin] = [`127.0.0.1:${unusedPort()}`, `127.0.0.1:${unusedPort()}`];
  const textOf = (web: FileOptions = {}, process: FileOptions = {}): FileOptions => ({
    admin,
    ...process,
    services: { web: { ...BASE, primary: one.url, backup: [two.url], listen, ...web } },
  });
  await using proxy = await startReloaded(textOf());
  await proxy.event("promotion.finished");
  const ask = (sent: Partial<Sent> = {}) =>
    request(listen, { target: "/", ...sent }, proxy.lastLines);
  const isAsAtFirst = async () => {
    const { upstreams } = await proxy.state() as unknown as {
      upstreams: readonly { readonly verdict: string; readonly active: boolean }[];
    };
    return upstreams.every(({ verdict }) => verdict === "up") && upstreams[0]!.active;
  };
  for (const key of KEYS) {
    const row = ROWS[key];
    if (!isSeen(row)) continue;
    await t.step(yamlKeyOf(key), async () => {
      assertEquals((await proxy.reload(textOf())).code, 0);
      await untilTrue("the first state", isAsAtFirst, proxy.lastLines);
      one.forget();
      two.forget();
      const reload = async (web?: FileOptions, process?: FileOptions) => {
        const { code, err } = await proxy.reload(textOf(web, process));
        assertEquals([code, err], [0, ""]);
      };
      const index = proxy.log.length - 1;
      const stage = { proxy, listen, admin, one, two, folder, ask, reload, index };
      await reload(await row.web?.(stage), await row.process?.(stage));
      await row.see(stage);
    });
  }
});

Deno.test("the machine is told of every option that is a part of its policy", () => {
  const context = { instance: "i", drainMs: 1 };
  const parts = { triggers: "before", failOpen: false } as const;
  for (const key of KEYS) {
    const row = ROWS[key];
    if (typeof row === "string" || !("flags" in row)) continue;
    const policy = (...flags: readonly string[]) =>
      policyOf(
        tcpOf(["--hosts", "a:1", "--bind", "127.0.0.1:9", ...row.beside, ...flags]),
        parts,
        context,
      );
    assertNotEquals(policy(...row.flags), policy(), key);
  }
});

Deno.test("the tests that are named for options exist", async () => {
  for (const key of KEYS) {
    const row = ROWS[key];
    if (!Array.isArray(row)) continue;
    const [file, name] = row as Proof;
    const text = await Deno.readTextFile(new URL(`../../${file}`, import.meta.url));
    assert(text.includes(name), `${key}: ${file} has no test ${name}`);
  }
});

Deno.test("an option is fixed in the table if its row says so", () => {
  for (const key of KEYS) assertEquals(optionOf(key).fixed !== undefined, ROWS[key] === FIXED, key);
});

Deno.test("the times of the end are those of the last reload", async () => {
  await using one = new ScriptedWeb("one");
  const listen = `127.0.0.1:${unusedPort()}`;
  const services = { web: { primary: one.url, listen } };
  await using proxy = await startReloaded({ services });
  await proxy.event("promotion.finished");
  const times = { drain_delay: "6s", drain_timeout: "300ms" };
  assertEquals((await proxy.reload({ ...times, services })).code, 0);
  const connection = await WebConnection.to(listen);
  try {
    const from = Date.now();
    const stopping = proxy.stop();
    const ready = { target: "/__failover/ready" };
    const isStopping = async () => (await request(listen, ready)).status === 503;
    await untilTrue("the end to begin", isStopping, proxy.lastLines);
    assertEquals((await request(listen, { target: "/" }, proxy.lastLines)).status, 200);
    await connection.send({ target: "/drip" });
    await stopping;
    const tookMs = Date.now() - from;
    assert(tookMs >= 6_000, `${tookMs} ms`);
    const { drainMs } = await proxy.event("proxy.stopping");
    assertEquals(drainMs, 300);
  } finally {
    connection.close();
  }
});
