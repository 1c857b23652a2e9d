import { assertEquals, assertRejects } from "@std/assert";
import { unusedPort } from "../../base/testing/ports.ts";
import { fillQueue, RawListener } from "../../linux/testing/raw_socket.ts";
import { bind, tryBind } from "./bind.ts";
import { untilRefused } from "../testing/refused.ts";

Deno.test("tryBind reports a port that is in use, and nothing for a free one", async () => {
  const port = unusedPort();
  const listener = Deno.listen({ hostname: "127.0.0.1", port });
  assertEquals(await tryBind({ kind: "tcp", host: "127.0.0.1", port }), "address in use");
  listener.close();
  await untilRefused(port);
  assertEquals(await tryBind({ kind: "tcp", host: "127.0.0.1", port }), undefined);
});

Deno.test("tryBind does not touch a file that is not a socket", async () => {
  const path = await Deno.makeTempFile();
  assertEquals(await tryBind({ kind: "unix", path }), "a file that is no socket is in the way");
  await Deno.lstat(path);
  await Deno.remove(path);
});

Deno.test({
  name: "a socket file whose owner is too busy to answer is in use",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const folder = await Deno.makeTempDir();
    const address = { kind: "unix", path: `${folder}/front.sock` } as const;
    using _listener = new RawListener(address);
    const queued = fillQueue(address);
    assertEquals(await bind(address), "address in use");
    assertEquals(await tryBind(address), "address in use");
    for (const one of queued) one.close();
    await Deno.remove(folder, { recursive: true });
  },
});

/** Connects again and again until `work` has ended; returns the outcomes of the attempts. */
async function connectsDuring(port: number, work: () => Promise<unknown>): Promise<Set<string>> {
  const seen = new Set<string>();
  let isOver = false;
  const connecting = (async () => {
    while (!isOver) {
      try {
        using conn = await Deno.connect({ hostname: "127.0.0.1", port });
        seen.add(await conn.read(new Uint8Array(1)) === null ? "closed" : "served");
      } catch (error) {
        seen.add(error instanceof Deno.errors.ConnectionRefused ? "refused" : String(error));
      }
    }
  })();
  await work();
  isOver = true;
  await connecting;
  return seen;
}

/** Whether this process may call libc decides how an address is tried. */
for (const ffi of [true, false]) {
  const permissions = { net: true, read: true, write: true, ffi } as const;
  const how = ffi ? "with" : "without";
  const ignore = ffi && Deno.build.os !== "linux";

  Deno.test({ name: `tryBind accepts no client, ${how} libc`, ignore, permissions }, async () => {
    const port = unusedPort();
    const seen = await connectsDuring(port, async () => {
      for (let i = 0; i < 50; i++) {
        assertEquals(await tryBind({ kind: "tcp", host: "127.0.0.1", port }), undefined);
        await Deno.stat("."); // lets the client run
      }
    });
    assertEquals([...seen], ["refused"]);
  });

  Deno.test({
    name: `tryBind reports why an address cannot be used, ${how} libc`,
    ignore,
    permissions,
  }, async () => {
    using taken = Deno.listen({ hostname: "0.0.0.0", port: 0 });
    const { port } = taken.addr;
    for (const host of ["0.0.0.0", "127.0.0.1"]) {
      assertEquals(await tryBind({ kind: "tcp", host, port }), "address in use", host);
    }
    // TEST-NET-1 is assigned to nobody (RFC 5737).
    const foreign = await tryBind({ kind: "tcp", host: "192.0.2.1", port: 0 });
    assertEquals(typeof foreign, "string");
    const folder = await Deno.makeTempDir();
    const path = `${folder}/front.sock`;
    assertEquals(await tryBind({ kind: "unix", path }), undefined);
    await assertRejects(() => Deno.lstat(path), Deno.errors.NotFound);
    using _live = Deno.listen({ transport: "unix", path });
    assertEquals(await tryBind({ kind: "unix", path }), "address in use");
    await Deno.remove(folder, { recursive: true });
  });
}
