/**
 * A separate program for `splice_test.ts`: thousands of short sessions, many cut off by either side, after
 * which no more descriptors are open than before: fewer are as good, for the runtime closes some of its own
 * soon after its start. Ends with an error if there are more.
 */
import { Libc } from "../../linux/libc.ts";
import { ipSockaddr } from "../../linux/sockaddr.ts";
import { Dice, seedOr } from "../../base/testing/dice.ts";
import { spliceRelay } from "../splice/testing/alone.ts";
import {
  closeQuietly,
  echoes,
  encode,
  hangsUp,
  says,
  type ServeConn,
  until,
  World,
} from "./world.ts";

const openDescriptors = () => [...Deno.readDirSync("/proc/self/fd")].length;
const accepted = (world: World) => world.relay.counters().accepted;

async function main(): Promise<void> {
  // The runtime must open what it keeps open before we count: for signals, and for its first worker.
  const ignored = () => {};
  Deno.addSignalListener("SIGUSR2", ignored);
  Deno.removeSignalListener("SIGUSR2", ignored);
  await repeatSessions(1, () => true);
  const atStart = await steadyDescriptors();
  await repeatSessions(60, (opened) => openDescriptors() <= opened);
  await until("the worker's thread is gone too", () => openDescriptors() <= atStart);
}

/** 50 clients per round. `isClean` gets the number of descriptors that were open before the first of them. */
async function repeatSessions(rounds: number, isClean: (opened: number) => boolean): Promise<void> {
  using libc = new Libc();
  const dice = new Dice(seedOr(42));
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = serveRoughly(listener, dice);
  const address = { kind: "tcp", host: "127.0.0.1", port: listener.addr.port } as const;
  await using world = await World.start(spliceRelay);
  await world.relay.open({ name: "a", address, rank: 0 }, 1);
  const opened = openDescriptors();
  const port = Number((await world.event("port.opened")).address.split(":")[1]);
  const target = ipSockaddr("127.0.0.1", port)!;
  let begun = 0;
  for (let round = 0; round < rounds; round++) {
    const fds = Array.from({ length: 50 }, () => libc.connect(target, { userTimeoutMs: 0 }));
    begun += fds.length;
    for (const fd of fds) if (dice.once(2)) libc.send(fd, encode("hello"), 0, 5);
    if (dice.once(2)) await until("they came in", () => accepted(world) >= begun);
    if (world.doubts.splice(0).length > 0) await world.relay.confirm("a");
    for (const fd of fds) dice.once(2) ? libc.reset(fd) : libc.close(fd);
  }
  const ends = () => {
    if (world.doubts.splice(0).length > 0) void world.relay.confirm("a");
    const { active, held } = world.relay.counters();
    return active + held === 0 && isClean(opened);
  };
  await until("every session gave its descriptors back", ends);
  listener.close();
  await serving;
}

/** Accepts until the listener is closed; connections may be dead by the time they are accepted. */
async function serveRoughly(listener: Deno.Listener, dice: Dice): Promise<void> {
  for (;;) {
    try {
      const conn = await listener.accept();
      // Closes without a word, perhaps with bytes unread; or says one; or answers.
      const serve: ServeConn = dice.once(4) ? hangsUp : dice.once(3) ? says("word") : echoes;
      void serve(conn).catch(() => {}).finally(() => closeQuietly(conn));
    } catch (error) {
      if (error instanceof Deno.errors.BadResource) return;
    }
  }
}

/** What is open once the thread of the round before is gone, which takes it a moment. */
async function steadyDescriptors(): Promise<number> {
  let last = -1;
  let same = 0;
  await until("descriptors are steady", () => {
    same = openDescriptors() === last ? same + 1 : 0;
    last = openDescriptors();
    return same > 100; // looks, one millisecond or more apart
  });
  return last;
}

await main();
