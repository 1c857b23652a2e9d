/** Reloads while the machine lacks something: space on its disk, descriptors, answers to names. */
import { assertEquals, assertMatch } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { CAN_MOUNT, mountSmallDisk } from "../../src/base/testing/small_disk.ts";
import { Folder } from "../harness/folder.ts";
import { mayServeNames, NameServer } from "../harness/name_server.ts";
import { type FileOptions, startReloaded, textOf } from "../harness/reloaded.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";

/** Two new services beside `a`: one of TCP and one of HTTP. */
function services(a: FileOptions, upstream: string, binds: readonly string[]) {
  return {
    a,
    b: { hosts: upstream, bind: binds[0] },
    web: { primary: `http://${upstream}`, backup: `http://${upstream}`, listen: binds[1] },
  };
}

if (CAN_MOUNT) {
  scenario(
    "a full disk: a new service is refused in one line, and others change",
    async (relay) => {
      await using folder = await Folder.make();
      await Deno.mkdir(folder.at("state"));
      await using _disk = await mountSmallDisk(folder.at("state"), 64 * 1_024);
      await using one = await startUpstream({ says: "one" });
      const [bind, ...binds] = [1, 2, 3].map(() => `127.0.0.1:${unusedPort()}`);
      const a = { hosts: one.name, bind, ...relay };
      const process = { state_dir: folder.at("state") };
      await using proxy = await startReloaded({ ...process, services: { a } });
      await proxy.event("promotion.finished", { service: "a" });
      using session = await proxy.session(bind!);
      assertEquals(await session.ask(), "one");
      await fill(folder.at("state/filler"));

      const more = services({ ...a, hold: "7s" }, one.name, binds);
      const refused = await proxy.reload({ ...process, services: more });

      assertEquals(refused.code, 2);
      assertMatch(refused.err, /^(failover: Cannot use the state folder .*: .*space.*\n?){1,2}$/);
      assertEquals((await proxy.states()).services.map(({ service }) => service), ["a"]);
      for (const each of ["b", "web"]) {
        assertEquals(proxy.events("port.opened", { service: each }), []);
      }
      const changed = await proxy.reload({ ...process, services: { a: { ...a, hold: "7s" } } });
      assertEquals(changed.code, 0, changed.err);
      assertEquals([await session.ask(), await proxy.askAt(bind!)], ["one", "one"]);

      await Deno.remove(folder.at("state/filler"));
      const { code, err } = await proxy.reload({ ...process, services: more });
      assertEquals(code, 0, err);
      for (const each of ["b", "web"]) {
        await proxy.event("port.opened", { service: each });
      }
      assertEquals(await proxy.askAt(binds[0]!), "one");
      const files = [...Deno.readDirSync(folder.at("state"))].map(({ name }) => name);
      assertEquals(files.filter((name) => name.includes("tmp")), []);
    },
  );
}

/** Fills the disk of a file. */
async function fill(path: string): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true });
  try {
    for (;;) file.writeSync(new Uint8Array(4_096));
  } catch {
    // It is full.
  }
}

/** How many descriptors are left for a reload: too few to read the file, then for one port, and so on. */
const FREE = [0, 1, 2, 3, 4, 5, 6, 8, 12, 20];

scenario("descriptors run out in a reload: all of it is done, or nothing", async (relay) => {
  await using folder = await Folder.make();
  await using one = await startUpstream({ says: "one" });
  const bind = `127.0.0.1:${unusedPort()}`;
  const a = { hosts: one.name, bind, ...relay };
  const main = new URL("../harness/short_of_descriptors_main.ts", import.meta.url).pathname;
  await using proxy = await startReloaded({ services: { a } }, {
    main,
    env: { TEST_FREE: folder.at("free") },
    under: ["prlimit", "--nofile=250"],
  });
  await proxy.event("promotion.finished", { service: "a" });
  using session = await proxy.session(bind);
  assertEquals(await session.ask(), "one");
  const outcomes = new Set<string>();
  for (const free of FREE) {
    // A removed service keeps its port until clients in its queue are served.
    const binds = [unusedPort(), unusedPort()].map((port) => `127.0.0.1:${port}`);
    await folder.write("free", String(free));
    await proxy.write(textOf({ services: services({ ...a, hold: "7s" }, one.name, binds) }));
    const last = { index: proxy.log.length - 1 };
    proxy.signal("SIGWINCH");
    await proxy.line(new RegExp(`^${free} descriptors are left`));

    proxy.signal("SIGHUP");

    // Lines of the reload before, by a command, may still be on their way.
    const by = "SIGHUP";
    const told = await Promise.race([
      proxy.event("config.refused", { by }, last),
      proxy.event("config.reloaded", { by }, last),
    ]);
    outcomes.add(told.event);
    assertEquals(await session.ask(), "one");
    if (told.event === "config.refused") assertMatch(told.message, /open files/i);
    proxy.signal("SIGWINCH");
    await proxy.line(new RegExp(`^${free} descriptors were left`));
    const { services: now } = await proxy.states();
    const names = now.map(({ service }) => service).toSorted();
    assertEquals(names, told.event === "config.refused" ? ["a"] : ["a", "b", "web"]);
    if (told.event === "config.reloaded") {
      for (const service of ["b", "web"]) await proxy.event("port.opened", { service }, last);
      assertEquals(await proxy.askAt(binds[0]!), "one");
    }
    assertEquals(await proxy.askAt(bind), "one");
    const { code, err } = await proxy.reload({ services: { a } });
    assertEquals(code, 0, err);
  }
  assertEquals(outcomes, new Set(["config.refused", "config.reloaded"]));
  assertEquals(proxy.events("service.died"), []);
}, ["prlimit"]);

/** More names than the process asks for at one time, and more than the runtime has threads for. */
const NAMES = 40;

if (mayServeNames()) {
  scenario("names that nobody answers: reloads do not wait for them", async (relay) => {
    await using names = await NameServer.start();
    names.isSilent = true;
    await using folder = await Folder.make();
    await using one = await startUpstream({ says: "one" });
    const bind = `127.0.0.1:${unusedPort()}`;
    const a = { hosts: [one.name], bind, ...relay };
    const process = { state_dir: folder.at("state") };
    const silent = Array.from({ length: NAMES }, (_, at) => ({
      [`s${at}`]: { hosts: `silent${at}.test:1`, bind: `127.0.0.1:${unusedPort()}`, ...relay },
    }));
    const more = { ...a, hosts: ["silent.test:1", one.name] };
    await using proxy = await startReloaded({ ...process, services: { a } }, {
      under: await names.command(folder),
    });
    await proxy.event("promotion.finished", { service: "a" });
    using session = await proxy.session(bind);
    assertEquals(await session.ask(), "one");

    const services = Object.assign({ a: more }, ...silent);
    const added = await proxy.reload({ ...process, services });

    assertEquals(added.code, 0, added.err);
    await names.unanswered("silent.test");
    assertEquals([await session.ask(), await proxy.askAt(bind)], ["one", "one"]);
    const again = await proxy.reload({ ...process, services: { ...services, a } });
    assertEquals(again.code, 0, again.err);
    const removed = await proxy.reload({ ...process, services: { a: { ...a, hold: "7s" } } });
    assertEquals(removed.code, 0, removed.err);
    assertEquals((await proxy.states()).services.map(({ service }) => service), ["a"]);
    assertEquals([await session.ask(), await proxy.askAt(bind)], ["one", "one"]);
    assertEquals(proxy.events("state.failed"), []);
    assertEquals(proxy.events("upstream.down", { service: "a" }), []);
    // None of their look-ups keeps the process.
    session[Symbol.dispose]();
    assertEquals(await proxy.stop(), 0);
  });
}
