import { assertEquals } from "@std/assert";
import { Background, listeners, listens, missing } from "./programs.ts";

Deno.test("[bench] addresses that listen are counted once each; other ports and states are not", () => {
  const line = (n: number, local: string, remote: string, state: string) =>
    `   ${n}: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000     0        0 1 1`;
  const table = [
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    line(0, "0100007F:1F90", "00000000:0000", "0A"),
    line(1, "0100007F:1F90", "00000000:0000", "0A"), // a second listener of a shared port
    line(2, "0200007F:1F90", "00000000:0000", "0A"),
    line(3, "0300007F:1F91", "00000000:0000", "0A"),
    line(4, "0400007F:1F90", "0100007F:C350", "01"), // established
  ].join("\n");
  assertEquals(listeners(table, 8080), 2);
  assertEquals(listeners(table, 8081), 1);
  assertEquals(listeners(table, 80), 0);
});

Deno.test({
  name: "[bench] waiting for listeners ends when they are there, or when the time is over",
  ignore: Deno.build.os !== "linux",
  async fn() {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    assertEquals(await listens(listener.addr.port, 1, 10_000), true);
    assertEquals(await listens(listener.addr.port, 1_000, 0), false);
  },
});

Deno.test("[bench] a program that is not installed is named", async () => {
  assertEquals((await missing(["no-such-program"])).length, 1);
});

Deno.test("[bench] ending a program that has ended by itself is no error", async () => {
  const program = new Background(["true"]);
  await program.ended;
  await program[Symbol.asyncDispose]();
});
