import { assertEquals, assertRejects } from "@std/assert";
import { untilTrue } from "../../tests/harness/test_deadline.ts";
import { connect, NoProcess } from "./connection.ts";

/**
 * Resolves when nobody listens at a path. While another thread of this process starts a program, that has a copy of the
 * closed listener until it begins.
 */
async function untilRefused(path: string): Promise<void> {
  await untilTrue(`nobody to listen at ${path}`, async () => {
    try {
      (await Deno.connect({ transport: "unix", path })).close();
      return false;
    } catch {
      return true;
    }
  });
}

Deno.test("a command reports where it looked for a proxy, and why it found none", async () => {
  const folder = await Deno.makeTempDir({ prefix: "failover-test-" });
  try {
    const stale = `${folder}/stale.sock`;
    const listener = Deno.listen({ transport: "unix", path: stale });
    await Deno.rename(stale, `${folder}/kept.sock`);
    listener.close();
    await untilRefused(`${folder}/kept.sock`);
    const error = await assertRejects(
      () => connect([`${folder}/none.sock`, `${folder}/kept.sock`]),
      NoProcess,
    );
    assertEquals(
      error.message,
      `no proxy can be reached (${folder}/none.sock: there is no socket; ` +
        `${folder}/kept.sock: no process listens there)`,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a command uses the first socket where a proxy listens, and reads its answers and events", async () => {
  const folder = await Deno.makeTempDir({ prefix: "failover-test-" });
  const path = `${folder}/failover.sock`;
  const server = Deno.serve({ transport: "unix", path, onListen() {} }, (request) => {
    const { pathname, search } = new URL(request.url);
    if (pathname.endsWith("/events")) {
      return new Response('id: 1\ndata: {"a":1}\n\n: nothing new\n\nid: 2\ndata: {"b":2}\n\n');
    }
    return Response.json({ method: request.method, asked: pathname + search }, { status: 409 });
  });
  try {
    using connection = await connect([`${folder}/none.sock`, path]);
    assertEquals(await connection.ask("state?service=x"), {
      status: 409,
      body: { method: "GET", asked: "/__failover/state?service=x" },
    });
    assertEquals((await connection.order("pause")).body.method, "POST");
    const events: string[] = [];
    for await (const data of connection.events(new AbortController().signal)) events.push(data);
    assertEquals(events, ['{"a":1}', '{"b":2}']);
  } finally {
    await server.shutdown();
    await Deno.remove(folder, { recursive: true });
  }
});
