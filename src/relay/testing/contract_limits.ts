/** The contract of the settings: addresses, limits, time-outs, the PROXY header, a port that is taken. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  closesAtOnce,
  echoes,
  encode,
  ended,
  type MakeRelay,
  readsOnly,
  readText,
  readToEnd,
  RelayFixture,
  sends,
  TestUpstream,
  writeAll,
} from "./relay_fixture.ts";
import { unusedPort } from "../../base/testing/ports.ts";

/** Sends back the first line that it receives. */
const firstLine = async (conn: Deno.Conn): Promise<void> => {
  let line = "";
  while (!line.endsWith("\n")) line += await readText(conn, 1);
  await writeAll(conn, encode(line));
};

export function limitsContract(name: string, make: MakeRelay): void {
  addressContract(name, make);
  proxyHeaderContract(name, make);
  scopeContract(name, make);

  Deno.test(`${name}: a client beyond the connection limit waits until another leaves`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using fixture = await RelayFixture.start(make, { connectionsMax: 2 });
    await fixture.relay.open(primary.upstream, 1);
    const clients = [await fixture.connect(), await fixture.connect(), await fixture.connect()];
    const [first, second, third] = clients as [Deno.Conn, Deno.Conn, Deno.Conn];
    for (const client of clients) await writeAll(client, encode("x"));
    assertEquals(await readText(first, 1), "x");
    assertEquals(await readText(second, 1), "x");
    await fixture.event("limit.reached");
    assertEquals(fixture.relay.counters().accepted, 2);
    assertEquals(fixture.all("limit.reached").length, 1);

    first.close();
    assertEquals(await readText(third, 1), "x");
    second.close();
    third.close();
  });

  Deno.test(`${name}: a session in which nothing moves is ended after the idle time`, async () => {
    await using primary = new TestUpstream("a", readsOnly);
    await using fixture = await RelayFixture.start(make, { idleTimeoutMs: 60 });
    await fixture.relay.open(primary.upstream, 1);
    using client = await fixture.connect();
    await writeAll(client, encode("x"));
    assert(await ended(client));
    await fixture.counters("the session ended", (c) => c.active === 0);
    assertEquals(fixture.relay.counters().cut, 0);
  });

  Deno.test(`${name}: a port that is taken is tried again until it is free`, async () => {
    const port = unusedPort();
    const blocker = Deno.listen({ hostname: "127.0.0.1", port });
    await using primary = new TestUpstream("a", sends("a"));
    await using fixture = await RelayFixture.start(make, {
      bind: { kind: "tcp", host: "127.0.0.1", port },
    });
    await fixture.relay.open(primary.upstream, 1);
    const failed = await fixture.event("port.failed");
    assertEquals(failed.address, `127.0.0.1:${port}`);
    assertEquals(fixture.all("port.opened"), []);

    blocker.close();
    await fixture.event("port.opened");
    using client = await fixture.connect();
    assertEquals(await readToEnd(client), "a");
  });
}

function addressContract(name: string, make: MakeRelay): void {
  Deno.test(`${name}: the address :: accepts clients of IPv4 and IPv6`, async () => {
    await using primary = new TestUpstream("a", sends("a"));
    await using fixture = await RelayFixture.start(make, {
      bind: { kind: "tcp", host: "::", port: 0 },
    });
    await fixture.relay.open(primary.upstream, 1);
    const { address } = await fixture.event("port.opened");
    const port = Number(address.slice(address.lastIndexOf(":") + 1));
    // Where the system has no IPv6 the relay listens on 0.0.0.0, and reports that.
    const hosts = address.startsWith("[::]") ? ["127.0.0.1", "::1"] : ["127.0.0.1"];
    for (const hostname of hosts) {
      using client = await Deno.connect({ hostname, port });
      assertEquals(await readToEnd(client), "a");
    }
  });

  Deno.test(`${name}: unix sockets work on both sides, and the socket file is removed with the port`, async () => {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/front`;
    await using primary = new TestUpstream("a", echoes, `${folder}/back`);
    await using fixture = await RelayFixture.start(make, { bind: { kind: "unix", path } });
    await fixture.relay.open(primary.upstream, 1);
    assertEquals((await fixture.event("port.opened")).address, `unix:${path}`);
    {
      using client = await fixture.connect();
      await writeAll(client, encode("through files"));
      await client.closeWrite();
      assertEquals(await readToEnd(client), "through files");
    }
    await fixture.relay.refuse();
    assertEquals([...Deno.readDirSync(folder)].map((entry) => entry.name), ["back"]);
    await primary.close();
    await Deno.remove(folder, { recursive: true });
  });

  Deno.test(`${name}: the socket file of a crashed process is replaced`, async () => {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/front`;
    // Closing a listener removes its file unless that was moved away; moved back, it is a file of a crash.
    const crashed = Deno.listen({ transport: "unix", path });
    await Deno.rename(path, `${path}.kept`);
    crashed.close();
    await Deno.rename(`${path}.kept`, path);

    await using primary = new TestUpstream("a", sends("a"));
    await using fixture = await RelayFixture.start(make, { bind: { kind: "unix", path } });
    await fixture.relay.open(primary.upstream, 1);
    // A program that another test starts at this moment still listens there until it begins.
    await fixture.event("port.opened");
    using client = await fixture.connect();
    assertEquals(await readToEnd(client), "a");
    await fixture.relay.refuse();
    await Deno.remove(folder, { recursive: true });
  });

  Deno.test(`${name}: a socket file on which a process answers is not replaced`, async () => {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/front`;
    await using neighbour = new TestUpstream("n", sends("neighbour"), path);
    await using primary = new TestUpstream("a", sends("a"));
    await using fixture = await RelayFixture.start(make, { bind: { kind: "unix", path } });
    await fixture.relay.open(primary.upstream, 1);
    await fixture.event("port.failed");
    using client = await Deno.connect({ transport: "unix", path });
    assertEquals(await readToEnd(client), "neighbour");
    await fixture.relay.refuse();
    await neighbour.close();
    await Deno.remove(folder, { recursive: true });
  });
}

/** A link-local address of this machine with its interface, if it has one (proc(5)). */
function linkLocal(): string | undefined {
  if (Deno.build.os !== "linux") return undefined;
  const lines = Deno.readTextFileSync("/proc/net/if_inet6").split("\n");
  const [digits, , , , , name] = lines.find((line) => line.startsWith("fe80"))?.split(/ +/) ?? [];
  return digits === undefined ? undefined : `${digits.match(/..../g)!.join(":")}%${name}`;
}

function scopeContract(name: string, make: MakeRelay): void {
  const host = linkLocal();
  Deno.test({
    name:
      `${name}: an address with its interface is listened on, served, and doubted when it refuses`,
    ignore: host === undefined,
    async fn() {
      const listener = Deno.listen({ hostname: host!, port: 0 });
      const { port } = listener.addr as Deno.NetAddr;
      const address = { kind: "tcp", host: host!, port } as const;
      await using fixture = await RelayFixture.start(make, { bind: { ...address, port: 0 } });
      await fixture.relay.open({ name: "a", address, rank: 0 }, 1);
      const opened = await fixture.event("port.opened");
      const relayPort = Number(opened.address.slice(opened.address.lastIndexOf(":") + 1));
      const connect = () => Deno.connect({ hostname: host!, port: relayPort });
      {
        using client = await connect();
        using conn = await listener.accept();
        await writeAll(client, encode("x"));
        assertEquals(await readText(conn, 1), "x");
      }
      listener.close();
      using _client = await connect();
      const { hard } = await fixture.doubt();
      assertEquals(hard, true);
      const gone = { ...address, host: "fe80::1%no-such-if" };
      await fixture.relay.open({ name: "b", address: gone, rank: 1 }, 2);
      await fixture.doubt(2);
      assertEquals(fixture.doubts.at(-1)?.upstream, "b");
    },
  });
}

function proxyHeaderContract(name: string, make: MakeRelay): void {
  Deno.test(`${name}: PROXY v1 comes before the client's first byte`, async () => {
    await using primary = new TestUpstream("a", firstLine);
    await using fixture = await RelayFixture.start(make, { sendProxy: "v1" });
    await fixture.relay.open(primary.upstream, 1);
    using client = await fixture.connect();
    await writeAll(client, encode("not this line\n"));
    const local = client.localAddr as Deno.NetAddr;
    const remote = client.remoteAddr as Deno.NetAddr;
    assertEquals(
      await readToEnd(client),
      `PROXY TCP4 127.0.0.1 127.0.0.1 ${local.port} ${remote.port}\r\n`,
    );
  });

  Deno.test(`${name}: PROXY shows an IPv4 client of a dual-stack port as IPv4`, async () => {
    await using primary = new TestUpstream("a", firstLine);
    const bind = { kind: "tcp", host: "::", port: 0 } as const;
    await using fixture = await RelayFixture.start(make, { sendProxy: "v1", bind });
    await fixture.relay.open(primary.upstream, 1);
    const { address } = await fixture.event("port.opened");
    const port = Number(address.slice(address.lastIndexOf(":") + 1));
    using client = await Deno.connect({ hostname: "127.0.0.1", port });
    const local = client.localAddr as Deno.NetAddr;
    assertEquals(
      await readToEnd(client),
      `PROXY TCP4 127.0.0.1 127.0.0.1 ${local.port} ${port}\r\n`,
    );
  });

  Deno.test(`${name}: the next upstream of a client that is moved gets a PROXY header too`, async () => {
    await using primary = new TestUpstream("a", closesAtOnce);
    await using backup = new TestUpstream("b", firstLine);
    await using fixture = await RelayFixture.start(make, { sendProxy: "v1" });
    await fixture.relay.open(primary.upstream, 1);
    using client = await fixture.connect();
    await fixture.doubt();
    await fixture.relay.open(backup.upstream, 2);
    assertMatch(await readToEnd(client), /^PROXY TCP4 /);
  });

  Deno.test(`${name}: PROXY v2 is sent although the client sends nothing`, async () => {
    await using primary = new TestUpstream("a", async (conn) => {
      const header = new Uint8Array(28);
      for (let received = 0; received < 28;) {
        received += await conn.read(header.subarray(received)) ?? 28;
      }
      await writeAll(conn, header);
    });
    await using fixture = await RelayFixture.start(make, { sendProxy: "v2" });
    await fixture.relay.open(primary.upstream, 1);
    using client = await fixture.connect();
    const header = new Uint8Array(28);
    for (let received = 0; received < 28;) {
      received += await client.read(header.subarray(received)) ?? 28;
    }
    assertEquals(header.subarray(0, 12), encode("\r\n\r\n\0\r\nQUIT\n"));
    assertEquals([...header.subarray(12, 16)], [0x21, 0x11, 0, 12]);
    assertEquals([...header.subarray(16, 24)], [127, 0, 0, 1, 127, 0, 0, 1]);
    const view = new DataView(header.buffer);
    assertEquals(view.getUint16(24), (client.localAddr as Deno.NetAddr).port);
    assertEquals(view.getUint16(26), (client.remoteAddr as Deno.NetAddr).port);
  });
}
