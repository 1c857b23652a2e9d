/** The control socket: who may use it, what is logged, and what happens if it cannot be made. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { FEEDS_MAX } from "../../src/admin/admin.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { runCommand } from "../harness/command.ts";
import { Control } from "../harness/control.ts";
import { runProxy, startProxy } from "../harness/proxy.ts";
import { scenario, testWithPrograms } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** The permission bits of a file. */
async function modeOf(path: string): Promise<string> {
  return ((await Deno.stat(path)).mode! & 0o777).toString(8);
}

scenario("an order is logged with who gave it and why", async (relay) => {
  await using control = await Control.make();
  await using upstream = await startUpstream({ says: "primary" });
  await using proxy = await startProxy({
    upstreams: [upstream],
    flags: { ...relay, control: control.path },
  });
  assertEquals((await control.order("pause?reason=new%20disk"))[0], 200);
  const paused = await proxy.event("service.paused", { reason: "new disk" });
  const by = Deno.build.os === "linux"
    ? new RegExp(`\\(uid ${Deno.uid()}, pid ${Deno.pid}\\)|^uid ${Deno.uid()}, pid ${Deno.pid}$`)
    : /^a local user$/;
  assertMatch(paused.by, by);
  assertEquals((await (await control.get("state")).json()).paused.reason, "new disk");
});

scenario("the socket is for user and group, and is removed with the process", async (relay) => {
  await using control = await Control.make();
  await using upstream = await startUpstream({ says: "primary" });
  const path = control.path.replace("/failover.sock", "/made/failover.sock");
  await using proxy = await startProxy({
    upstreams: [upstream],
    flags: { ...relay, control: path },
  });
  await proxy.event("control.opened", { path });
  assertEquals([await modeOf(path), await modeOf(path.replace("/failover.sock", ""))], [
    "660",
    "750",
  ]);
  assertEquals(await proxy.stop(), 0);
  assertEquals(await Deno.stat(path).catch(() => undefined), undefined);
});

testWithPrograms("another user is refused by the system", ["setpriv"], async () => {
  if (Deno.uid() !== 0) return;
  await using control = await Control.make();
  await Deno.chmod(control.path.replace("/failover.sock", ""), 0o755);
  await using upstream = await startUpstream({ says: "primary" });
  await using _proxy = await startProxy({
    upstreams: [upstream],
    flags: { control: control.path },
  });
  const script = `try { await Deno.connect({ transport: "unix", path: "${control.path}" }); }
    catch (error) { console.log(error.name); }`;
  const { stdout, stderr } = await new Deno.Command("setpriv", {
    args: ["--reuid=65534", "--regid=65534", "--clear-groups", Deno.execPath(), "eval", script],
    env: { DENO_DIR: "/tmp", NO_COLOR: "1", HOME: "/tmp" },
  }).output();
  const said = new TextDecoder().decode(stdout).trim();
  assertEquals(said, "PermissionDenied", new TextDecoder().decode(stderr));
});

scenario("the socket of a process that crashed is replaced", async (relay) => {
  await using control = await Control.make();
  await using upstream = await startUpstream({ says: "primary" });
  const options = { upstreams: [upstream], flags: { ...relay, control: control.path } };
  {
    await using crashed = await startProxy(options);
    crashed.signal("SIGKILL");
    await crashed.ended;
  }
  assert((await Deno.lstat(control.path)).isSocket);
  await using _proxy = await startProxy(options);
  assertEquals(await (await control.get("health")).text(), "OK");
});

scenario(
  "a second proxy does not take the socket of the first, and reports who has it",
  async (relay) => {
    await using control = await Control.make();
    await using upstream = await startUpstream({ says: "primary" });
    await using first = await startProxy({
      upstreams: [upstream],
      flags: { ...relay, control: control.path },
    });
    const run = await runProxy([
      ...["-b", `127.0.0.1:${unusedPort()}`, "-H", upstream.name, "--log-level", "error"],
      ...["--control", control.path],
    ]);
    assertEquals([run.code, run.stderr.length], [1, 1], run.stderr.join("\n"));
    const holder = Deno.build.os === "linux" ? `process ${first.pid}` : "another process";
    assertStringIncludes(
      run.stderr[0]!,
      `Cannot listen on ${control.path}: ${holder} listens there`,
    );

    // At the default path it is not an error: the proxy runs without a control socket.
    const folder = control.path.replace("/failover.sock", "");
    await using second = await startProxy({
      upstreams: [upstream],
      flags: { ...relay },
      env: { RUNTIME_DIRECTORY: folder, FAILOVER_CONTROL: "" },
    });
    const missing = await second.event("control.missing", { path: control.path });
    assertStringIncludes(missing.reason, holder);
    assertEquals(await second.ask(), "primary");
    assertEquals(await (await control.get("health")).text(), "OK");
  },
);

scenario(
  "if the default folder cannot be made, the proxy runs without a control socket",
  async (relay) => {
    await using upstream = await startUpstream({ says: "primary" });
    await using proxy = await startProxy({
      upstreams: [upstream],
      flags: { ...relay },
      env: { RUNTIME_DIRECTORY: "/proc/nowhere", FAILOVER_CONTROL: "" },
    });
    await proxy.event("control.missing", { path: "/proc/nowhere/failover.sock" });
    assertEquals(await proxy.ask(), "primary");
  },
);

scenario("with --control off there is no control socket", async (relay) => {
  await using control = await Control.make();
  await using upstream = await startUpstream({ says: "primary" });
  await using proxy = await startProxy({
    upstreams: [upstream],
    flags: { ...relay, control: "off" },
    env: { RUNTIME_DIRECTORY: control.path.replace("/failover.sock", "") },
  });
  assertEquals(await proxy.ask(), "primary");
  assertEquals(await Deno.stat(control.path).catch(() => undefined), undefined);
});

scenario("the socket comes back when its file was removed", async (relay) => {
  await using control = await Control.make();
  await using upstream = await startUpstream({ says: "primary" });
  const path = control.path.replace("/failover.sock", "/made/failover.sock");
  await using proxy = await startProxy({
    upstreams: [upstream],
    flags: { ...relay, control: path },
  });
  const first = await proxy.event("control.opened", { path });
  await Deno.remove(path.replace("/failover.sock", ""), { recursive: true });
  await proxy.event("control.opened", { path }, first);
  assertEquals(await modeOf(path), "660");
  assertEquals((await runCommand(["status", "--control", path])).code, 0);
  assertEquals(await proxy.stop(), 0);
  assertEquals(await Deno.stat(path).catch(() => undefined), undefined);
});

scenario("a proxy that ends leaves the socket of another one where it is", async (relay) => {
  await using control = await Control.make();
  await using upstream = await startUpstream({ says: "primary" });
  const options = { upstreams: [upstream], flags: { ...relay, control: control.path } };
  await using first = await startProxy(options);
  await first.event("control.opened");
  // Somebody moves the file away, and a second proxy listens at the same path.
  await Deno.rename(control.path, `${control.path}.old`);
  await using second = await startProxy(options);
  await second.event("control.opened");
  assertEquals(await first.stop(), 0);
  const run = await runCommand(["status", "--control", control.path]);
  assertEquals(run.code, 0, run.err);
});

scenario(
  "many connections to the control socket delay a command, but no client of the services",
  async (relay) => {
    await using control = await Control.make();
    await using upstream = await startUpstream({ says: "primary" });
    await using proxy = await startProxy({
      upstreams: [upstream],
      flags: { ...relay, control: control.path },
    });
    await proxy.event("control.opened");
    const crowd: Deno.Conn[] = [];
    const dialing = Array.from({ length: 1_000 }, async () => {
      try {
        crowd.push(await Deno.connect({ transport: "unix", path: control.path }));
      } catch {
        // Its queue is full.
      }
    });
    await Promise.all(dialing);
    try {
      assert(crowd.length > 0);
      assertEquals(await proxy.ask(), "primary");
      const run = await runCommand(["status", "--control", control.path]);
      assertEquals(run.code, 0, run.err);
      assertEquals(proxy.events("proxy.faulted"), []);
    } finally {
      for (const conn of crowd) conn.close();
    }
  },
);

Deno.test("a path where the socket cannot be created is reported with a short reason", async () => {
  await using control = await Control.make();
  const folder = control.path.replace("/failover.sock", "");
  await Deno.writeTextFile(`${folder}/file`, "");
  for (
    const [path, reason] of [
      [`${folder}/file`, "a file that is no socket is in the way"],
      [`${folder}/file/made/a.sock`, "cannot make the folder"],
      ["/proc/nowhere/a.sock", "cannot make the folder /proc/nowhere: "],
      [`${folder}/${"x".repeat(100)}`, "the path is too long for a unix socket, 10"],
    ] as const
  ) {
    const run = await runProxy([
      ...["-b", `127.0.0.1:${unusedPort()}`, "-H", "127.0.0.1:1", "--log-level", "error"],
      ...["--control", path],
    ]);
    assertEquals([run.code, run.stderr.length], [1, 1], run.stderr.join("\n"));
    assertStringIncludes(run.stderr[0]!, `Cannot listen on ${path}: ${reason}`);
    assert(!/os error|error \d/.test(run.stderr[0]!), run.stderr[0]);
  }
});

scenario("readers of live events that never read delay nobody", async (relay) => {
  await using control = await Control.make();
  await using upstream = await startUpstream({ says: "primary" });
  const port = unusedPort();
  await using proxy = await startProxy({
    upstreams: [upstream],
    flags: { ...relay, control: control.path, admin: `127.0.0.1:${port}` },
  });
  const dials: readonly (() => Promise<Deno.Conn>)[] = [
    () => Deno.connect({ transport: "unix", path: control.path }),
    () => Deno.connect({ hostname: "127.0.0.1", port }),
  ];
  const request = "GET /__failover/events HTTP/1.1\r\nHost: localhost\r\n" +
    "Accept: text/event-stream\r\n\r\n";
  const begin = async (dial: () => Promise<Deno.Conn>) => {
    const conn = await dial();
    await conn.write(new TextEncoder().encode(request));
    const buffer = new Uint8Array(12);
    const count = await withTestDeadline("a feed to begin", conn.read(buffer));
    return [conn, new TextDecoder().decode(buffer.subarray(0, count ?? 0))] as const;
  };
  for (const dial of dials) {
    const feeds: Deno.Conn[] = [];
    try {
      for (let feed = 0; feed < FEEDS_MAX; feed++) {
        const [conn, first] = await begin(dial);
        feeds.push(conn);
        assertEquals(first, "HTTP/1.1 200");
      }
      const [refused, first] = await begin(dial);
      refused.close();
      assertEquals(first, "HTTP/1.1 503");
      const reason = "x".repeat(300);
      for (let turn = 0; turn < 300; turn++) {
        assertEquals((await control.order(`pause?reason=${reason}`))[0], 200);
        assertEquals((await control.order("resume"))[0], 200);
      }
      assertEquals(await proxy.ask(), "primary");
      assertEquals((await runCommand(["status", "--control", control.path])).code, 0);
    } finally {
      for (const conn of feeds) conn.close();
    }
    // Their slots are free again as soon as their end is noticed.
    let again = "";
    while (again !== "HTTP/1.1 200") {
      const [conn, first] = await begin(dial);
      conn.close();
      again = first;
    }
  }
  assertEquals(proxy.events("proxy.faulted"), []);
});
