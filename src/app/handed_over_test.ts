import { assertEquals } from "@std/assert";
import { type PassedListener, ReceivedListeners } from "../net/handover.ts";
import { listenersOf, receivedFor } from "./handed_over.ts";

const address = { kind: "tcp", host: "127.0.0.1", port: 5432 } as const;

Deno.test("what a service hands over is what the same service receives in the next process", () => {
  const passed = listenersOf("db", address, { descriptor: 7, isLent: true });
  assertEquals(passed, [{
    owner: { is: "service", name: "db" },
    address: "127.0.0.1:5432",
    descriptor: 7,
    isLent: true,
  }]);
  const received = new ReceivedListeners(passed);
  assertEquals(receivedFor({ received }, "other", address).received!.take(), undefined);
  const port = receivedFor({ received }, "db", address).received!;
  const taken = port.take() as PassedListener;
  assertEquals([taken.descriptor, port.take()], [7, undefined]);
  port.giveBack(taken);
  assertEquals(port.take(), taken);
});

Deno.test("a closed port hands nothing over, and a process alone receives nothing", () => {
  assertEquals(listenersOf("db", address, undefined), []);
  assertEquals(receivedFor({}, "db", address), {});
});
