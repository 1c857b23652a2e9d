import { assertEquals } from "@std/assert";
import { breachesOf, lostWrites, readTriggers } from "./history.ts";

const GOOD = `begin p1-x-1 start a 1 5 1000
end p1-x-1 start a 1 5 1100
begin p2-x-2 failover b 2 9 2000
end p2-x-2 failover b 2 9 2100
`;

Deno.test("a history that keeps the rules has no breach", () => {
  assertEquals(breachesOf(readTriggers(GOOD)), []);
});

Deno.test("each broken rule is named", () => {
  const breach = (more: string) => breachesOf(readTriggers(GOOD + more));
  assertEquals(breach("overlap p3-x-3 resume a 3 10 2050\n"), [
    "epoch 3 began while another trigger was running",
  ]);
  assertEquals(breach("begin p3-y-2 failover b 2 9 3000\n"), [
    "epoch 2 was begun by p2-x and by p3-y",
  ]);
  assertEquals(breach("begin p3-x-3 failover a 3 8 3000\n"), ["fence 8 came after 9"]);
  assertEquals(
    breach("begin p3-x-1 failover a 1 12 3000\n").includes("epoch 1 came after 2"),
    true,
  );
  assertEquals(breach("refused p3-x-3 resume a 3 8 2050\n"), [
    "the fence of epoch 3 was refused",
  ]);
});

Deno.test("a write that was acknowledged and is not there is lost", () => {
  assertEquals(lostWrites(["a-1", "a-2"], "a-2\na-3\n"), ["write a-1 is lost"]);
  assertEquals(lostWrites(["a-2"], "a-2\na-3\n"), []);
});
