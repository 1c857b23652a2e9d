import { assertEquals } from "@std/assert";
import { AcceptPauses, acceptVerdict } from "./accept.ts";
import { connectAndReset } from "./testing/resets.ts";

const coded = (code: string) => Object.assign(new Error(code), { code });

Deno.test("only a shortage or an unknown error makes a listener wait", () => {
  for (const code of ["ENOTCONN", "ECONNABORTED", "ECONNRESET", "EPERM", "EPROTO"]) {
    assertEquals(acceptVerdict(coded(code)), "again", code);
  }
  for (const code of ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EWHATEVER"]) {
    assertEquals(acceptVerdict(coded(code)), "wait", code);
  }
  assertEquals(acceptVerdict(new Error("no code")), "wait");
  assertEquals(acceptVerdict(new Deno.errors.BadResource("closed")), "stop");
  assertEquals(acceptVerdict(new Deno.errors.Interrupted("closed")), "stop");
});

Deno.test("the pauses of a shortage become longer, and it is reported once", () => {
  const pauses = new AcceptPauses();
  const all = Array.from({ length: 9 }, (_, i) => pauses.next(i));
  assertEquals(all.map(({ pauseMs }) => pauseMs), [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
  assertEquals(all.map(({ isNews }) => isNews).indexOf(true, 1), -1);
  assertEquals(all[0]!.isNews, true);
  pauses.over();
  assertEquals(pauses.next(5_000), { pauseMs: 10, isNews: false });
  assertEquals(pauses.next(10_000).isNews, true);
});

Deno.test("Deno gives a connection that was reset in the queue a code that is in this table", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let resets = 0;
  for (let tries = 0; resets < 2 && tries < 100; tries++) {
    await connectAndReset(listener.addr.port);
    const accepted = await listener.accept().catch((error) => error);
    if (accepted instanceof Error) {
      assertEquals(acceptVerdict(accepted), "again", String(accepted));
      resets++;
      continue;
    }
    // A program that another test starts at this moment holds the client's descriptor: its reset comes later.
    accepted.close();
  }
  assertEquals(resets, 2);
  listener.close();
  assertEquals(acceptVerdict(await listener.accept().catch((error) => error)), "stop");
});
