import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { endpointOf } from "../linux/sockaddr.ts";
import { literalSockaddr } from "../linux/sockaddr.ts";
import { Resolver } from "../net/resolve.ts";
import { NameWatch } from "./name_watch.ts";

const ADDRESS = { kind: "tcp", host: "db.example", port: 5432 } as const;

Deno.test("literals and unix paths need no look-up, names do", () => {
  assertEquals(literalSockaddr({ kind: "unix", path: "/run/x" })?.[0], 1);
  assertEquals(literalSockaddr({ kind: "tcp", host: "10.0.0.1", port: 1 })?.[0], 2);
  assertEquals(literalSockaddr({ kind: "tcp", host: "::1", port: 1 })?.[0], 10);
  assertEquals(literalSockaddr(ADDRESS), undefined);
});

Deno.test("a name in use is looked up every 5 s, also after a failure, and not after the watch has ended", async () => {
  const clock = new ManualClock();
  const answers = [["10.0.0.1", "::1"], [], ["10.0.0.2"]];
  const asked: number[] = [];
  const reported: string[] = [];
  const watch = new NameWatch(
    clock,
    ADDRESS,
    (addresses) => {
      const found = addresses.map(endpointOf).map((found) => found.kind === "ip" ? found.ip : "");
      reported.push(`${clock.now()}: ${found}`);
    },
    new Resolver(clock, () => {
      asked.push(clock.now());
      return Promise.resolve(answers.shift() ?? []);
    }),
  );
  await clock.advance(0); // lets the first answer arrive
  for (let round = 0; round < 11; round++) await clock.advance(1_000);
  assertEquals(reported, ["0: 10.0.0.1,::1", "5000: 10.0.0.1,::1", "10000: 10.0.0.2"]);
  watch[Symbol.dispose]();
  await clock.advance(60_000);
  assertEquals([asked, clock.pending], [[0, 5_000, 10_000], 0]);
});

Deno.test("a name that was never found has no address, and one that was found keeps its address in the next watch", async () => {
  const clock = new ManualClock();
  let answer: readonly string[] = [];
  const resolver = new Resolver(clock, () => Promise.resolve(answer));
  const reported: number[] = [];
  const watchOnce = async (found: readonly string[]) => {
    answer = found;
    await clock.advance(5_000); // the earlier result has expired
    using _ = new NameWatch(
      clock,
      ADDRESS,
      (addresses) => reported.push(addresses.length),
      resolver,
    );
    await clock.advance(0);
  };
  await watchOnce([]);
  await watchOnce(["10.0.0.1", "10.0.0.2"]);
  await watchOnce([]);
  assertEquals(reported, [0, 2, 2]);
});
