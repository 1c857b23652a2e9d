/** What both kinds of sockets guarantee for a port that is served. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Address } from "../base/address.ts";
import { realClock } from "../base/clock.ts";
import { Deadlines } from "../net/deadlines.ts";
import { serveFetch } from "./fetch_app.ts";
import { type Handler, Server } from "./server.ts";
import { say, text } from "./testing/server_fixture.ts";
import { onBoth, serve, untilStill } from "./testing/both_transports.ts";
import { connectAndReset } from "../net/testing/resets.ts";
import { untilRefused } from "../net/testing/refused.ts";

/** Answers with the address of the client. */
const who: Handler = async (exchange) => {
  exchange.respond(200, "OK");
  await exchange.send(text.encode(exchange.peer));
};

/** A client that keeps its connection. */
class Client implements Disposable {
  readonly #conn: Deno.Conn;

  constructor(conn: Deno.Conn) {
    this.#conn = conn;
  }

  static async to(port: number, hostname = "127.0.0.1"): Promise<Client> {
    return new Client(await Deno.connect({ hostname, port }));
  }

  /** The body of the answer, which must be short; empty if there was none. */
  async ask(path: string): Promise<string> {
    await this.#conn.write(text.encode(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`));
    const buffer = new Uint8Array(1000);
    const count = await this.#conn.read(buffer) ?? 0;
    return new TextDecoder().decode(buffer.subarray(0, count)).split("\r\n\r\n")[1] ?? "";
  }

  [Symbol.dispose](): void {
    this.#conn.close();
  }
}

const server = (handler: Handler) => new Server({ deadlines: new Deadlines(realClock), handler });
const OPTIONS = { clock: realClock };

onBoth(
  "with port 0 the system chooses the port, which is served until it is closed",
  async (sockets) => {
    const { port, number, end } = await serve(sockets, say);
    assert(number > 0);
    assertEquals(port.address, { kind: "tcp", host: "127.0.0.1", port: number });
    {
      using client = await Client.to(number);
      assertEquals([await client.ask("/a"), await client.ask("/b")], ["/a", "/b"]);
      port.close();
      port.close();
      await port.finished;
      await untilRefused(number);
      // A connection that exists is still served.
      assertEquals(await client.ask("/c"), "/c");
    }
    await end();
  },
);

onBoth(
  "an address in use is reported, and so is one that this machine does not have",
  async (sockets) => {
    const { port, end } = await serve(sockets, say);
    assertEquals(await sockets.listen(port.address, server(say), OPTIONS), "address in use");
    // TEST-NET-1 is assigned to nobody (RFC 5737).
    const foreign: Address = { kind: "tcp", host: "192.0.2.1", port: 0 };
    assertEquals(typeof await sockets.listen(foreign, server(say), OPTIONS), "string");
    const unknown: Address = { kind: "tcp", host: `${"a".repeat(64)}.test`, port: 0 };
    assertEquals(typeof await sockets.listen(unknown, server(say), OPTIONS), "string");
    await end();
  },
);

onBoth("a port listens on the address of a name", async (sockets) => {
  const app = server(say);
  const port = await sockets.listen({ kind: "tcp", host: "localhost", port: 0 }, app, OPTIONS);
  assert(typeof port !== "string" && port.address.kind === "tcp");
  {
    using client = await Client.to(port.address.port, "localhost");
    assertEquals(await client.ask("/x"), "/x");
  }
  port.close();
  await app.drain(AbortSignal.abort());
});

onBoth(
  "`::` serves IPv4 and IPv6, and each client is known by its own address",
  async (sockets) => {
    const app = server(who);
    const port = await sockets.listen({ kind: "tcp", host: "::", port: 0 }, app, OPTIONS);
    assert(typeof port !== "string" && port.address.kind === "tcp");
    const { host, port: number } = port.address;
    assertEquals(host, "::");
    const seen: string[] = [];
    for (const hostname of ["127.0.0.1", "::1"]) {
      using client = await Client.to(number, hostname);
      // Deno leaves an address of IPv4 mapped; the gateway writes both forms alike.
      seen.push((await client.ask("/")).replace(/^::ffff:/, ""));
    }
    assertEquals(seen, ["127.0.0.1", "::1"]);
    port.close();
    await app.drain(AbortSignal.abort());
  },
);

onBoth(
  "a unix socket replaces the file of a crash, and removes its own at the end",
  async (sockets) => {
    const folder = await Deno.makeTempDir({ prefix: "failover-test-" });
    const path = `${folder}/front.sock`;
    // A process that is killed leaves its socket file.
    const program = `Deno.listen({ transport: "unix", path: ${JSON.stringify(path)} });
    Deno.kill(Deno.pid, "SIGKILL");`;
    await new Deno.Command(Deno.execPath(), { args: ["eval", program] }).output();
    assert((await Deno.lstat(path)).isSocket);

    const [first, second] = [server(who), server(who)];
    const asked: Address = { kind: "unix", path };
    const port = await sockets.listen(asked, first, OPTIONS);
    assert(typeof port !== "string", String(port));
    assertEquals(port.address, asked);
    {
      using client = new Client(await Deno.connect({ transport: "unix", path }));
      assertEquals(await client.ask("/"), "unix");
      // This one is in use.
      assertEquals(await sockets.listen(asked, second, OPTIONS), "address in use");
    }
    port.close();
    await port.finished;
    await assertRejects(() => Deno.lstat(path), Deno.errors.NotFound);

    // The first one must not remove the file of its successor.
    const next = await sockets.listen(asked, second, OPTIONS);
    assert(typeof next !== "string", String(next));
    port.close();
    assert((await Deno.lstat(path)).isSocket);
    next.close();
    await next.finished;
    await Promise.all([first, second].map((each) => each.drain(AbortSignal.abort())));
    await Deno.remove(folder, { recursive: true });
  },
);

onBoth("a file that is not a socket is not replaced by one", async (sockets) => {
  const path = await Deno.makeTempFile({ prefix: "failover-test-" });
  assertEquals(typeof await sockets.listen({ kind: "unix", path }, server(say), OPTIONS), "string");
  assert((await Deno.lstat(path)).isFile);
  await Deno.remove(path);
});

onBoth("clients beyond the limit wait until there is room", async (sockets) => {
  const { number, end } = await serve(sockets, say, { connectionsMax: 2 });
  const inside = [await Client.to(number), await Client.to(number)] as const;
  for (const client of inside) assertEquals(await client.ask("/in"), "/in");
  using outside = await Client.to(number);
  let answer: string | undefined;
  const answered = outside.ask("/out").then((said) => answer = said);
  await untilStill(() => 0);
  assertEquals(answer, undefined);
  inside[0][Symbol.dispose]();
  assertEquals(await answered, "/out");
  inside[1][Symbol.dispose]();
  await end();
});

onBoth(
  "connections that were reset in the queue do not keep other clients from being served",
  async (sockets) => {
    const { number, end, complaints } = await serve(sockets, say, { connectionsMax: 1 });
    {
      using inside = await Client.to(number);
      assertEquals(await inside.ask("/in"), "/in");
      // The server is full, so these are reset while they wait to be accepted.
      for (let i = 0; i < 200; i++) await connectAndReset(number);
    }
    using outside = await Client.to(number);
    assertEquals(await outside.ask("/out"), "/out");
    assertEquals(complaints, []);
    await end();
  },
);

onBoth("many clients that connect at once are all served", async (sockets) => {
  const { number, end } = await serve(sockets, say);
  const clients = await Promise.all(Array.from({ length: 150 }, () => Client.to(number)));
  const answers = await Promise.all(clients.map((client, i) => client.ask(`/${i}`)));
  assertEquals(answers, clients.map((_, i) => `/${i}`));
  for (const client of clients) client[Symbol.dispose]();
  await end();
});

onBoth("a bug in the app ends its exchange, and the port continues", async (sockets) => {
  const { port, number, end } = await serve(
    sockets,
    (exchange) =>
      serveFetch(exchange, (request) => {
        if (request.url.endsWith("/bug")) throw new Error("a bug, made by a test");
        return new Response("fine");
      }),
  );
  using first = await Client.to(number);
  assertEquals(await first.ask("/"), "fine");
  {
    using second = await Client.to(number);
    assertEquals(await second.ask("/bug"), "internal error\n");
    assertEquals(await first.ask("/"), "fine");
  }
  await end();
  await port.finished;
});
