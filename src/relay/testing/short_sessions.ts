/**
 * A separate program for `splice_test.ts`: thousands of short sessions, many cut off by either side, after
 * which no more descriptors are open than before. Fewer are fine, as the runtime may close some of its own
 * soon after its start. Ends with an error if there are more.
 */
import { Libc } from "../../linux/libc.ts";
import { ipSockaddr } from "../../linux/sockaddr.ts";
import { Dice, seedOr } from "../../base/testing/dice.ts";
import { spliceRelay } from "../splice/testing/alone.ts";
import {
  closeQuietly,
  closesAtOnce,
  echoes,
  encode,
  RelayFixture,
  sends,
  type ServeConn,
  until,
} from "./relay_fixture.ts";
import { descriptorCount } from "../../linux/testing/descriptors.ts";

const accepted = (fixture: RelayFixture) => fixture.relay.counters().accepted;

async function main(): Promise<void> {
  // The runtime must open its own descriptors before we count: for signals, and for its first worker.
  const ignored = () => {};
  Deno.addSignalListener("SIGUSR2", ignored);
  Deno.removeSignalListener("SIGUSR2", ignored);
  await repeatSessions(1, () => true);
  const atStart = await steadyDescriptors();
  await repeatSessions(60, (opened) => descriptorCount() <= opened);
  await until("the worker's thread has ended too", () => descriptorCount() <= atStart);
}

/** 50 clients per round. `isClean` gets the number of descriptors that were open before the first of them. */
async function repeatSessions(rounds: number, isClean: (opened: number) => boolean): Promise<void> {
  using libc = new Libc();
  const dice = new Dice(seedOr(42));
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = serveInThreeWays(listener, dice);
  const address = { kind: "tcp", host: "127.0.0.1", port: listener.addr.port } as const;
  await using fixture = await RelayFixture.start(spliceRelay);
  await fixture.relay.open({ name: "a", address, rank: 0 }, 1);
  const opened = descriptorCount();
  const port = Number((await fixture.event("port.opened")).address.split(":")[1]);
  const target = ipSockaddr("127.0.0.1", port)!;
  let begun = 0;
  for (let round = 0; round < rounds; round++) {
    const fds = Array.from({ length: 50 }, () => libc.connect(target, { userTimeoutMs: 0 }));
    begun += fds.length;
    for (const fd of fds) if (dice.once(2)) libc.send(fd, encode("hello"), 0, 5);
    if (dice.once(2)) await until("they were accepted", () => accepted(fixture) >= begun);
    if (fixture.doubts.splice(0).length > 0) await fixture.relay.confirm("a");
    for (const fd of fds) dice.once(2) ? libc.reset(fd) : libc.close(fd);
  }
  const ends = () => {
    if (fixture.doubts.splice(0).length > 0) void fixture.relay.confirm("a");
    const { active, held } = fixture.relay.counters();
    return active + held === 0 && isClean(opened);
  };
  await until("every session gave its descriptors back", ends);
  listener.close();
  await serving;
}

/** Accepts until the listener is closed; connections may have ended before they are accepted. */
async function serveInThreeWays(listener: Deno.Listener, dice: Dice): Promise<void> {
  for (;;) {
    try {
      const conn = await listener.accept();
      // Closes at once, perhaps with unread bytes; or sends a word; or echoes.
      const serve: ServeConn = dice.once(4) ? closesAtOnce : dice.once(3) ? sends("word") : echoes;
      void serve(conn).catch(() => {}).finally(() => closeQuietly(conn));
    } catch (error) {
      if (error instanceof Deno.errors.BadResource) return;
    }
  }
}

/** The number of open descriptors once the thread of the previous round has ended, which takes a moment. */
async function steadyDescriptors(): Promise<number> {
  let last = -1;
  let same = 0;
  await until("descriptors are steady", () => {
    same = descriptorCount() === last ? same + 1 : 0;
    last = descriptorCount();
    return same > 100; // checks, one millisecond or more apart
  });
  return last;
}

await main();
