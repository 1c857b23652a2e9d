/** The acceptor of one thread: its permits, its share, and shortages. */
import { assertEquals } from "@std/assert";
import type { Event } from "../../events/events.ts";
import { Loop } from "../../linux/loop.ts";
import { ipSockaddr } from "../../linux/sockaddr.ts";
import { FakeKernel } from "../../linux/testing/fake_kernel.ts";
import { printSockaddr, SpliceAcceptor } from "./acceptor.ts";

const PORT = 9;

/** An acceptor with so many permits, on a port of a fake kernel. */
function fixture(permits: number) {
  const kernel = new FakeKernel({ scratchBytes: 64, bufferBytes: 256 });
  const loop = new Loop(kernel);
  const state = { permits, yields: false };
  const admitted: number[] = [];
  const events: Event[] = [];
  const shortages: string[] = [];
  const acceptor: SpliceAcceptor = new SpliceAcceptor({
    loop,
    publish: (event) => events.push(event),
    acquire: () => state.permits > 0 && state.permits-- > 0,
    giveBack: () => state.permits++,
    yields: () => state.yields,
    admit: (client) => admitted.push(client),
    short: (reason) => {
      shortages.push(reason);
      acceptor.pause(reason);
    },
  });
  const listener = kernel.listen(ipSockaddr("127.0.0.1", PORT)!);
  acceptor.open(listener);
  const runTicks = () => {
    for (let i = 0; i < 5; i++) loop.tick();
  };
  const pass = (ms: number) => {
    for (let passed = 0; passed < ms; passed += 16) {
      kernel.time += 16;
      loop.tick();
    }
    runTicks();
  };
  return { kernel, acceptor, state, admitted, events, shortages, runTicks, pass };
}

Deno.test("clients are accepted as long as there are permits, and again when one is free", () => {
  const { kernel, acceptor, state, admitted, runTicks } = fixture(2);
  for (let i = 0; i < 3; i++) kernel.client(PORT);
  runTicks();
  assertEquals([admitted.length, state.permits], [2, 0]);
  state.permits = 2;
  acceptor.resume();
  runTicks();
  assertEquals([admitted.length, state.permits], [3, 1]);
});

Deno.test("a permit for which no client waits is given back", () => {
  const { acceptor, state, admitted, runTicks } = fixture(2);
  acceptor.look();
  runTicks();
  assertEquals([admitted, state.permits], [[], 2]);
});

Deno.test("a client is left to other threads for a moment, and taken if it is still there", () => {
  const { kernel, state, admitted, runTicks, pass } = fixture(2);
  state.yields = true;
  kernel.client(PORT);
  runTicks();
  assertEquals(admitted, []);
  state.yields = false;
  pass(48);
  assertEquals(admitted.length, 1);
});

Deno.test("in a shortage it pauses, reports that once, and goes on after the pause", () => {
  const { kernel, state, admitted, events, shortages, runTicks, pass } = fixture(2);
  kernel.fdMax = kernel.open;
  kernel.client(PORT);
  runTicks();
  pass(48);
  assertEquals(admitted, []);
  assertEquals(shortages.length > 1, true);
  assertEquals(events.map((event) => event.type === "accept.failed" && event.address), [
    ...[`127.0.0.1:${PORT}`],
  ]);
  kernel.fdMax = Infinity;
  pass(2_000);
  assertEquals([admitted.length, state.permits], [1, 1]);
});

Deno.test("a closed acceptor takes nobody, and the listening socket stays open", () => {
  const { kernel, acceptor, admitted, runTicks } = fixture(2);
  const { open } = kernel;
  acceptor.close();
  kernel.client(PORT);
  acceptor.resume();
  acceptor.pause("too late");
  runTicks();
  assertEquals([admitted, kernel.open], [[], open]);
});

Deno.test("an address is printed in the form of the options", () => {
  assertEquals(printSockaddr(ipSockaddr("::1", 80)!), "[::1]:80");
});
