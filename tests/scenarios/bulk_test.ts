/** Bytes: none is lost, reordered or kept in memory; and each direction ends independently. */
import { assert, assertEquals } from "@std/assert";
import { BULK_DEADLINE_MS, withTestDeadline } from "../harness/test_deadline.ts";
import { startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { assertSlim, peakMemory } from "../harness/peak_memory.ts";

const BULK_BYTES = 200 * 1024 * 1024;

function moved<T>(what: string, result: Promise<T>): Promise<T> {
  return withTestDeadline(what, result, undefined, BULK_DEADLINE_MS);
}

scenario(
  "200 MB each way arrive whole although the client reads nothing at first",
  async (relay) => {
    await using upstream = await startUpstream({ says: "primary" });
    await using proxy = await startProxy({ upstreams: [upstream], flags: relay });
    const before = await peakMemory(proxy);

    const conn = await proxy.connect();
    await conn.say(`exchange ${BULK_BYTES}`);
    const sent = await moved("the upload", conn.sendBulk(BULK_BYTES));
    // The upload is complete and nothing was read. What the upstream could send is in the kernel, not in
    // the proxy.
    assert(Number(await proxy.ask("sent")) < BULK_BYTES / 2, "the upstream was not slowed down");
    const received = await moved("the download", conn.receiveBulk(BULK_BYTES, 8 * 1024));

    assertEquals(await conn.line(), `${received} ${sent}`);
    conn.close();
    await assertSlim(proxy, before);
  },
);

scenario(
  "200 MB each way arrive whole although the upstream reads nothing at first",
  async (relay) => {
    await using upstream = await startUpstream({ says: "primary" });
    await using proxy = await startProxy({ upstreams: [upstream], flags: relay });
    const before = await peakMemory(proxy);

    const conn = await proxy.connect();
    await conn.say(`exchangeLate ${BULK_BYTES}`);
    const [sent, received] = await moved(
      "the exchange",
      Promise.all([conn.sendBulk(BULK_BYTES), conn.receiveBulk(BULK_BYTES)]),
    );

    assertEquals(await conn.line(), `${received} ${sent}`);
    conn.close();
    await assertSlim(proxy, before);
  },
);

scenario("a client that finishes first still gets its answer", async (relay) => {
  await using upstream = await startUpstream({ says: "primary" });
  await using proxy = await startProxy({ upstreams: [upstream], flags: relay });

  const conn = await proxy.connect();
  await conn.say("drink");
  await conn.say("1234567");
  await conn.closeWrite();

  assertEquals(await withTestDeadline("the answer", conn.rest()), "drank 8\n");
  conn.close();
});

scenario(
  "an upstream that finishes first still receives all that the client sends",
  async (relay) => {
    await using upstream = await startUpstream({ says: "primary" });
    await using proxy = await startProxy({ upstreams: [upstream], flags: relay });

    const conn = await proxy.connect();
    await conn.say("finish");
    assertEquals(await withTestDeadline("the upstream's end", conn.rest()), "last words\n");
    await conn.say("and more");
    await conn.closeWrite();

    assertEquals(await proxy.ask("tail"), "and more");
    conn.close();
  },
);

scenario("a session without a byte for --idle-timeout ends, a busy one does not", async (relay) => {
  await using upstream = await startUpstream({ says: "primary" });
  await using proxy = await startProxy({
    upstreams: [upstream],
    // A busy machine must not make a busy session look idle.
    flags: { ...relay, "idle-timeout": "5s" },
  });

  const idle = await proxy.connect();
  const busy = await proxy.connect();
  let ended = false;
  const end = withTestDeadline("the end of an idle session", idle.line().catch(() => undefined))
    .then(() => ended = true);
  while (!ended) {
    await busy.say("who");
    assertEquals(await busy.line(), "primary");
  }

  await end;
  idle.close();
  busy.close();
});

scenario("beyond --max-connections a client waits for a place", async (relay) => {
  await using upstream = await startUpstream({ says: "primary" });
  await using proxy = await startProxy({
    upstreams: [upstream],
    flags: { ...relay, "max-connections": "2" },
  });
  const first = await proxy.connect();
  const second = await proxy.connect();
  for (const conn of [first, second]) {
    await conn.say("who");
    assertEquals(await conn.line(), "primary");
  }

  const answer = proxy.ask();
  await proxy.event("limit.reached", { max: 2 });
  first.close();

  assertEquals(await answer, "primary");
  second.close();
});
