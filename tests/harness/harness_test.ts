/** The harness itself: its upstreams, without a proxy. */
import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { Child } from "./child.ts";
import { acceptedBy } from "./accepted.ts";
import { ask, connectTo } from "./client.ts";
import { withSuppressed } from "./scenario.ts";
import {
  blackHoleUpstream,
  refusingUpstream,
  resettingUpstream,
  silentUpstream,
  startUpstream,
} from "./upstream.ts";
import { connectAndReset } from "../../src/net/testing/resets.ts";

Deno.test("an upstream sends its name, refuses when killed, and returns at the same address", async () => {
  await using upstream = await startUpstream({ says: "primary" });
  assertEquals(await ask(upstream.name, "who"), "primary");
  await upstream.kill();
  await assertRejects(() => connectTo(upstream.name), Deno.errors.ConnectionRefused);
  await upstream.restart();
  assertEquals(await ask(upstream.name, "who"), "primary");
});

Deno.test("a signal to a process that has just ended by itself is no error", async () => {
  for (let round = 0; round < 100; round++) {
    await using child = new Child("true", { args: [] });
    await new Promise((resolve) => setTimeout(resolve, round % 6));
    child.signal("SIGTERM");
  }
});

Deno.test("an upstream that was frozen answers once it is thawed", async () => {
  await using upstream = await startUpstream({ says: "primary" });
  await upstream.freeze();
  const answer = ask(upstream.name, "who");
  upstream.thaw();
  assertEquals(await answer, "primary");
});

Deno.test("an upstream that became a black hole answers no connection", async () => {
  await using upstream = await startUpstream({ says: "primary", backlog: 3 });
  await upstream.blackHole();
  await assertNoAnswer(upstream.name);
});

Deno.test("an upstream that always was a black hole answers no connection", async () => {
  await using upstream = await blackHoleUpstream();
  await assertNoAnswer(upstream.name);
});

async function assertNoAnswer(name: string): Promise<void> {
  const port = Number(name.split(":")[1]);
  const connecting = Deno.connect({ port, signal: AbortSignal.timeout(300) });
  await assertRejects(() => connecting, DOMException);
}

Deno.test("an upstream that refuses, one that resets and one that is silent do so", async () => {
  await assertRejects(() => connectTo(refusingUpstream().name), Deno.errors.ConnectionRefused);

  await using resetting = await resettingUpstream("primary");
  const conn = await connectTo(resetting.name);
  await conn.say("hello");
  assertEquals(await conn.line(), "primary");
  await assertRejects(() => conn.line(), Deno.errors.ConnectionReset);
  conn.close();

  await using silent = silentUpstream();
  const unheard = await connectTo(silent.name);
  await unheard.say("hello");
  unheard.close();
});

Deno.test("bulk data keeps its checksum both ways", async () => {
  await using upstream = await startUpstream({ says: "primary" });
  const bytes = 3_000_001;
  for (const command of ["exchange", "exchangeLate"]) {
    const conn = await connectTo(upstream.name);
    await conn.say(`${command} ${bytes}`);
    const [sent, received] = await Promise.all([conn.sendBulk(bytes), conn.receiveBulk(bytes)]);
    assertEquals(await conn.line(), `${received} ${sent}`);
    conn.close();
  }
});

Deno.test("an upstream that half-closes first still receives the rest", async () => {
  await using upstream = await startUpstream({ says: "primary" });
  const conn = await connectTo(upstream.name);
  await conn.say("finish");
  assertEquals(await conn.rest(), "last words\n");
  await conn.say("more");
  await conn.closeWrite();
  assertEquals(await ask(upstream.name, "tail"), "more");
  conn.close();
});

Deno.test("a failure that others followed while the test was ended is told before them", async () => {
  const failing = (message: string) => ({
    [Symbol.asyncDispose]: () => Promise.reject(new Error(message)),
  });
  const error = await assertRejects(async () => {
    await using _later = failing("third");
    await using _first = failing("second");
    throw new Error("first");
  });
  const all = withSuppressed(error);
  assertInstanceOf(all, AggregateError);
  assertEquals(all.errors.map(({ message }) => message), ["first", "second", "third"]);
  const alone = new Error("alone");
  assertEquals(withSuppressed(alone), alone);
});

Deno.test("clients that reset their connections in the queue do not end a server of a test", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  for (let count = 0; count < 3; count++) await connectAndReset(port);
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  for await (const accepted of acceptedBy(listener)) {
    using one = accepted;
    if ((one.remoteAddr as Deno.NetAddr).port === (conn.localAddr as Deno.NetAddr).port) break;
  }
});
