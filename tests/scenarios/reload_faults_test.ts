/** Reloads at bad moments: while a trigger runs, two at once, and during the end. */
import { assertEquals, assertMatch } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { Folder, waitForFile } from "../harness/folder.ts";
import { type FileOptions, startReloaded } from "../harness/reloaded.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";

scenario(
  "a reload while a trigger runs: the trigger goes on for an upstream that stays, and its result counts",
  async (relay) => {
    await using folder = await Folder.make();
    await using one = await startUpstream({ says: "one" });
    await using two = await startUpstream({ says: "two" });
    await using three = await startUpstream({ says: "three" });
    const bind = `127.0.0.1:${unusedPort()}`;
    const trigger = await folder.script(
      "trigger.sh",
      `[ "$1" = '${two.name}' ] || exit 0\necho ran >> runs\n${waitForFile("go")}`,
    );
    const of = (hosts: readonly { name: string }[], more: FileOptions = {}) => ({
      services: {
        db: { hosts: hosts.map(({ name }) => name), bind, on_failover: trigger, ...relay, ...more },
      },
    });
    await using proxy = await startReloaded(of([one, two]));
    await proxy.event("promotion.finished", { to: one.name });
    await one.kill();
    await folder.has("runs");

    const { code, err } = await proxy.reload(of([two, three, one], { hold: "20s" }));

    assertEquals([code, err], [0, ""]);
    await folder.write("go", "");
    await proxy.event("promotion.finished", { to: two.name });
    assertEquals(await proxy.askAt(bind), "two");
    assertEquals(await folder.read("runs"), "ran\n");
  },
);

scenario(
  "a reload that removes the upstream whose triggers run: they are ended, and another one is taken",
  async (relay) => {
    await using folder = await Folder.make();
    await using one = await startUpstream({ says: "one" });
    await using two = await startUpstream({ says: "two" });
    await using three = await startUpstream({ says: "three" });
    const bind = `127.0.0.1:${unusedPort()}`;
    const trigger = await folder.script(
      "trigger.sh",
      `[ "$1" = '${two.name}' ] || exit 0\necho ran >> runs\n${waitForFile("go")}`,
    );
    const of = (...hosts: readonly { name: string }[]) => ({
      services: {
        db: { hosts: hosts.map(({ name }) => name), bind, on_failover: trigger, ...relay },
      },
    });
    await using proxy = await startReloaded(of(one, two));
    await proxy.event("promotion.finished", { to: one.name });
    await one.kill();
    await folder.has("runs");

    const { code, err } = await proxy.reload(of(one, three));

    assertEquals([code, err], [0, ""]);
    await folder.write("go", "");
    await proxy.event("promotion.finished", { to: three.name });
    assertEquals(await proxy.askAt(bind), "three");
  },
);

Deno.test("two reloads at once are done one after the other, and the file of the last one counts", async () => {
  await using one = await startUpstream({ says: "one" });
  const bind = `127.0.0.1:${unusedPort()}`;
  const of = (hold: string) => ({ services: { db: { hosts: one.name, bind, hold } } });
  await using proxy = await startReloaded(of("1s"));
  await proxy.event("promotion.finished");

  const runs = await Promise.all(["2s", "3s", "4s"].map((hold) => proxy.reload(of(hold))));

  assertEquals(runs.map(({ code, err }) => [code, err]), [[0, ""], [0, ""], [0, ""]]);
  assertEquals((await proxy.reload(undefined, ["--dry-run"])).code, 0);
  assertMatch(await proxy.metrics(), /failover_config_reload_success 1/);
  assertMatch((await proxy.reload(of("4s"))).out, /nothing|hold/);
});

Deno.test("a reload during the end of the process is refused", async () => {
  await using one = await startUpstream({ says: "one" });
  const bind = `127.0.0.1:${unusedPort()}`;
  const of = (hold: string) => ({
    drain_timeout: "20s",
    services: { db: { hosts: one.name, bind, hold } },
  });
  await using proxy = await startReloaded(of("1s"));
  await proxy.event("promotion.finished");
  const session = await proxy.session(bind);
  assertEquals(await session.ask(), "one");
  const stopping = proxy.stop();
  await proxy.event("proxy.stopping");

  const { code, err } = await proxy.reload(of("2s"));

  assertEquals(code, 2, err);
  assertMatch(err, /stopping|ends/);
  session[Symbol.dispose]();
  await stopping;
});

Deno.test("a bug in the middle of a reload: what was changed is changed back, and the next one is done", async () => {
  await using one = await startUpstream({ says: "one" });
  await using two = await startUpstream({ says: "two" });
  const [first, second] = [`127.0.0.1:${unusedPort()}`, `127.0.0.1:${unusedPort()}`];
  const of = ({ name }: { name: string }) => ({
    services: { a: { hosts: name, bind: first }, b: { hosts: name, bind: second } },
  });
  const main = new URL("../harness/faulty_reload_main.ts", import.meta.url).pathname;
  await using proxy = await startReloaded(of(one), { main });
  for (const service of ["a", "b"]) await proxy.event("promotion.finished", { service });
  using session = await proxy.session(first);
  assertEquals(await session.ask(), "one");

  const { code, err } = await proxy.reload(of(two));

  assertEquals(code, 2);
  assertMatch(err, /a bug made by the test/);
  await proxy.event("config.refused");
  for (const bind of [first, second]) assertEquals(await proxy.askAt(bind), "one");
  assertMatch(await proxy.metrics(), /failover_config_reload_success 0/);

  assertEquals((await proxy.reload(of(two))).code, 0);
  for (const service of ["a", "b"]) {
    await proxy.event("promotion.finished", { service, to: two.name });
  }
  for (const bind of [first, second]) assertEquals(await proxy.askAt(bind), "two");
});

Deno.test("a state folder that has become unusable refuses a new service as a start does, and the others go on", async () => {
  await using folder = await Folder.make();
  await using one = await startUpstream({ says: "one" });
  const [first, second] = [`127.0.0.1:${unusedPort()}`, `127.0.0.1:${unusedPort()}`];
  const a = { hosts: one.name, bind: first };
  const b = { hosts: one.name, bind: second };
  const process = { state_dir: folder.at("state") };
  await using proxy = await startReloaded({ ...process, services: { a } });
  await proxy.event("promotion.finished", { service: "a" });
  await Deno.rename(folder.at("state"), folder.at("moved"));
  await folder.write("state", "a file");

  const { code, err } = await proxy.reload({ ...process, services: { a, b } });

  assertEquals(code, 2);
  assertMatch(err, /as state_dir: it is not a folder/);
  assertEquals(proxy.events("port.opened", { service: "b" }), []);
  assertEquals(await proxy.askAt(first), "one");
});
