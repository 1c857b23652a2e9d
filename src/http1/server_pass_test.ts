/** Connections that wait for a request and go on in another server, on the real kernel, as from process to process. */
import { assert, assertEquals } from "@std/assert";
import { realClock } from "../base/clock.ts";
import { Libc } from "../linux/libc.ts";
import { Loop } from "../linux/loop.ts";
import { closeDescriptors, DescriptorSocket } from "../linux/pass_descriptors.ts";
import { Deadlines } from "../net/deadlines.ts";
import { LinuxConn } from "../net/linux/conn.ts";
import { EmbeddedLoop } from "../net/linux/embedded_loop.ts";
import { LinuxAcceptor } from "../net/linux/listener.ts";
import { addressOfSockaddr, ipSockaddr } from "../linux/sockaddr.ts";
import { Server } from "./server.ts";

const ignore = Deno.build.os !== "linux";
const never = new AbortController().signal;

/** A server in a loop of its own, which answers with its name as soon as `mayAnswer` resolves. */
class NamedServer implements AsyncDisposable {
  readonly libc = new Libc();
  readonly host = new EmbeddedLoop(new Loop(this.libc), this.libc, realClock);
  readonly server: Server;
  readonly errors: unknown[] = [];
  mayAnswer: Promise<void> = Promise.resolve();
  /** Requests that have begun. */
  begun = 0;
  #acceptor: LinuxAcceptor | undefined;

  constructor(name: string) {
    this.server = new Server({
      deadlines: new Deadlines(realClock),
      onError: (error) => this.errors.push(error),
      handler: async (exchange) => {
        this.begun++;
        await this.mayAnswer;
        exchange.respond(200, "OK");
        await exchange.send(new TextEncoder().encode(name));
      },
    });
  }

  listen(): { hostname: string; port: number } {
    const fd = this.libc.listen(ipSockaddr("127.0.0.1", 0)!, { backlog: 64, userTimeoutMs: 0 });
    this.#acceptor = new LinuxAcceptor(this.host, fd, this.server, { clock: realClock });
    this.host.loop.watch(fd, this.#acceptor);
    const at = addressOfSockaddr(this.libc.localAddress(fd));
    assert(at.kind === "tcp");
    return { hostname: at.host, port: at.port };
  }

  /** Goes on with a connection. */
  take(descriptor: number, peer: string): void {
    void this.server.serve(new LinuxConn(this.host, descriptor, () => {}), peer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#acceptor?.close();
    await this.server.drain(AbortSignal.abort());
    if (await this.host.stop() && this.host.loop.watched === 0) this.libc[Symbol.dispose]();
  }
}

class Client {
  constructor(readonly conn: Deno.Conn) {}

  async send(text: string): Promise<void> {
    await this.conn.write(new TextEncoder().encode(text));
  }

  /** The body and the fields of the next response; undefined if the connection has ended. */
  async answer(): Promise<{ body: string; closes: boolean } | undefined> {
    let text = "";
    const buffer = new Uint8Array(4_096);
    for (;;) {
      const found = /^HTTP\/1\.1 200 OK\r\n([\s\S]*?)\r\n\r\n(\w+)$/.exec(text);
      if (found !== null) return { body: found[2]!, closes: /connection: close/i.test(found[1]!) };
      const count = await this.conn.read(buffer);
      if (count === null) return undefined;
      text += new TextDecoder().decode(buffer.subarray(0, count));
    }
  }

  async ask(): Promise<string | undefined> {
    await this.send(GET);
    return (await this.answer())?.body;
  }
}

const GET = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/** A descriptor of its own for the receiver, as it comes from another process. */
function copyOf(descriptor: number): number {
  const ends = DescriptorSocket.pair();
  assert(typeof ends !== "number");
  assertEquals(ends[0].trySend(new Uint8Array(1), [descriptor]), 0);
  const message = ends[1].tryReceive();
  assert(typeof message !== "number");
  for (const end of ends) end.close();
  return message.descriptors[0]!;
}

async function clientsOf(address: Deno.ConnectOptions, count: number): Promise<Client[]> {
  const made = Array.from({ length: count }, () => Deno.connect(address));
  return (await Promise.all(made)).map((conn) => new Client(conn));
}

Deno.test({
  name:
    "connections that wait for a request go on in another server; those with one end where they are",
  ignore,
  async fn() {
    await using before = new NamedServer("before");
    await using after = new NamedServer("after");
    const address = before.listen();
    // Kept connections, new ones, one with a request under way, and one with the beginning of a request.
    const [kept, fresh, [busy, partial]] = await Promise.all([
      clientsOf(address, 30),
      clientsOf(address, 5),
      clientsOf(address, 2),
    ]);
    for (const client of kept) assertEquals(await client.ask(), "before");
    const mayAnswer = Promise.withResolvers<void>();
    before.mayAnswer = mayAnswer.promise;
    const begun = before.begun;
    await busy!.send(GET);
    await partial!.send(GET.slice(0, 20));
    while (before.begun === begun || before.server.connections < 37) await turn();
    const peers = new Set<string>();
    let passed = 0;
    await before.server.passIdle((descriptor, peer) => {
      passed++;
      peers.add(peer);
      after.take(copyOf(descriptor), peer);
      return Promise.resolve(true);
    });
    assertEquals([passed, [...peers]], [35, ["127.0.0.1"]]);
    for (const client of [...kept, ...fresh]) assertEquals(await client.ask(), "after");
    const drained = before.server.drain(never);
    await partial!.send(GET.slice(20));
    mayAnswer.resolve();
    assertEquals(await busy!.answer(), { body: "before", closes: true });
    assertEquals(await partial!.answer(), { body: "before", closes: true });
    assertEquals(await drained, 0);
    assertEquals([before.server.connections, after.server.connections], [0, 35]);
    for (const client of kept) assertEquals(await client.ask(), "after");
    for (const { conn } of [...kept, ...fresh, busy!, partial!]) conn.close();
    assertEquals([before.errors, after.errors], [[], []]);
  },
});

Deno.test({
  name:
    "connections that are not taken go on where they are, also with requests that came meanwhile",
  ignore,
  async fn() {
    await using before = new NamedServer("before");
    const clients = await clientsOf(before.listen(), 20);
    for (const client of clients) assertEquals(await client.ask(), "before");
    let offered = 0;
    await before.server.passIdle(async (descriptor) => {
      closeDescriptors([copyOf(descriptor)]);
      // While a connection stands still its client sends the next request.
      if (offered++ % 2 === 0) await Promise.all(clients.splice(0, 1).map(later));
      return false;
    });
    for (const client of clients) assertEquals(await client.ask(), "before");
    for (const answer of await Promise.all(laterAnswers)) assertEquals(answer, "before");
    for (const { conn } of [...clients, ...laterClients]) conn.close();
    assert(laterClients.length > 0);
    assertEquals(before.errors, []);
  },
});

const laterClients: Client[] = [];
const laterAnswers: Promise<string | undefined>[] = [];

async function later(client: Client): Promise<void> {
  laterClients.push(client);
  await client.send(GET);
  laterAnswers.push(client.answer().then((answer) => answer?.body));
}

function turn(): Promise<void> {
  return new Promise((resolve) => realClock.after(1, resolve));
}
