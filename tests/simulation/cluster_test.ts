import { SimulatedCluster } from "./cluster.ts";

/** Schedules of one run, and the first seed; the environment can ask for others. */
const COUNT = Number(Deno.env.get("FAILOVER_CLUSTER_SCHEDULES") ?? 60);
const FIRST = Number(Deno.env.get("FAILOVER_SEED") ?? Math.floor(Math.random() * 2 ** 31));

Deno.test("several proxies keep to one decision in random schedules of faults", async () => {
  console.log(`first seed ${FIRST}, ${COUNT} schedules`);
  let runs = 0;
  for (let seed = FIRST; seed < FIRST + COUNT; seed++) {
    const cluster = new SimulatedCluster(seed, 2 + seed % 3);
    await cluster.run();
    runs += cluster.runs.length;
  }
  if (runs < COUNT) throw new Error(`only ${runs} promotions in ${COUNT} schedules`);
});
