import { assertEquals } from "@std/assert";
import { breachesOf, readTriggers } from "./history.ts";

const GOOD = `begin p1-x-1 start a 1 5 1000
end p1-x-1 start a 1 5 1100
begin p2-x-2 failover b 2 9 2000
end p2-x-2 failover b 2 9 2100
`;

Deno.test("a history that keeps the rules has no breach", () => {
  const writes = [
    { upstream: "a", id: "1", at: 1_500 },
    { upstream: "b", id: "2", at: 2_200 },
  ];
  assertEquals(breachesOf(readTriggers(GOOD), writes), []);
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
  assertEquals(
    breachesOf(readTriggers(GOOD), [{ upstream: "a", id: "7", at: 2_500 }]),
    ["write 7 went to a after epoch 2 had moved to b"],
  );
});
