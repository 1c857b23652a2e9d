/** `--max-connections-per-client`, with clients at several addresses of the loopback. */
import { assertEquals, assertMatch } from "@std/assert";
import { createConnection, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { tlsTest } from "../gateway/certificate.ts";
import { ENGINES, testWithPrograms } from "../harness/scenario.ts";
import { startProxy } from "../harness/proxy.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startUpstream } from "../harness/upstream.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** A connection from one address of this machine. */
class Client implements Disposable {
  readonly #socket: Socket;
  readonly ended: Promise<void>;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.ended = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("error", () => {});
  }

  static from(localAddress: string, address: string): Client {
    const port = Number(address.split(":")[1]);
    return new Client(createConnection({ host: "127.0.0.1", port, localAddress }));
  }

  /** The first bytes of the answer; empty if the connection is closed without any. */
  async ask(text: string): Promise<string> {
    const answer = new Promise<string>((resolve) => {
      this.#socket.once("data", (data) => resolve(String(data)));
      this.#socket.once("close", () => resolve(""));
    });
    this.#socket.write(text);
    return await withTestDeadline("an answer", answer);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

const LIMIT = { "max-connections-per-client": "2" };

/** Two connections of one client are served, a third one is not, and one of another client is. */
async function provesLimit(
  address: string,
  question: string,
  counted: (count: number) => Promise<void>,
  open = Client.from,
): Promise<void> {
  using first = open("127.0.0.1", address);
  assertMatch(await first.ask(question), /primary/);
  using second = open("127.0.0.1", address);
  assertMatch(await second.ask(question), /primary/);
  using third = open("127.0.0.1", address);
  assertEquals(await third.ask(question), "");
  using other = open("127.0.0.2", address);
  assertMatch(await other.ask(question), /primary/);
  await counted(1);
  first[Symbol.dispose]();
  // The proxy sees the end of the first connection at some time after the client.
  const again = (async () => {
    for (;;) {
      using next = open("127.0.0.1", address);
      if (/primary/.test(await next.ask(question))) return;
    }
  })();
  await withTestDeadline("a place to be free again", again);
}

/** Resolves when so many connections have been counted, or more: a thread counts when it has nothing else to do. */
async function counts(admin: string, least: number): Promise<void> {
  const counting = (async () => {
    for (;;) {
      const text = await (await fetch(`http://${admin}/__failover/metrics`)).text();
      const count = /^failover_clients_over_limit_total\{[^}]*\} (\d+)$/m.exec(text)?.[1];
      if (Number(count) >= least) return;
    }
  })();
  await withTestDeadline(`${least} connections to be counted`, counting);
}

for (const relay of ENGINES) {
  for (const workers of relay === "splice" ? ["1", "2"] : ["1"]) {
    const flags = { relay, workers, ...LIMIT };

    testWithPrograms(
      `[${relay}, ${workers}] a TCP client has as many connections as it may`,
      [],
      async () => {
        await using primary = await startUpstream({ says: "primary" });
        const admin = `127.0.0.1:${unusedPort()}`;
        await using proxy = await startProxy({ upstreams: [primary], flags: { ...flags, admin } });
        await provesLimit(proxy.address, "who\n", (least) => counts(admin, least));
        const { client, max } = await proxy.event("client.limited");
        assertEquals([client, max], ["127.0.0.1", 2]);
      },
    );

    testWithPrograms(
      `[${relay}, ${workers}] an HTTP client has as many connections as it may`,
      [],
      async () => {
        await using primary = await WebUpstream.start("primary");
        const admin = `127.0.0.1:${unusedPort()}`;
        await using proxy = await startWebProxy({ primary, flags: { ...flags, admin } });
        const question = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
        await provesLimit(proxy.address, question, (least) => counts(admin, least));
        const { client, max } = await proxy.event("client.limited");
        assertEquals([client, max], ["127.0.0.1", 2]);
      },
    );
  }
}

tlsTest("a client of HTTPS has as many connections as the limit allows", async (tls) => {
  await using primary = await WebUpstream.start("primary");
  const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay, ...LIMIT };
  await using proxy = await startWebProxy({ primary, flags });
  const question = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const open = (localAddress: string, address: string) => {
    const port = Number(address.split(":")[1]);
    const to = createConnection({ host: "127.0.0.1", port, localAddress });
    to.on("error", () => {});
    return new Client(connectTls({ socket: to, servername: "localhost", ca: tls.cert }));
  };
  await provesLimit(proxy.address, question, async () => {
    await proxy.event("client.limited");
  }, open);
});
