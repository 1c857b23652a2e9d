import { chosenSeed } from "../../src/base/testing/dice.ts";
import { SimulatedCluster } from "./cluster.ts";

/** Schedules of one run. `deno task simulate` runs a hundred thousand. */
const COUNT = chosenSeed === undefined
  ? Number(Deno.env.get("FAILOVER_CLUSTER_SCHEDULES") ?? 60)
  : 1;
/** The first seed. A run of many schedules in several parts sets it; without that each run has the same schedules. */
const FIRST = chosenSeed ?? Number(Deno.env.get("FAILOVER_CLUSTER_FIRST") ?? 1);

Deno.test("several proxies keep to one decision in random schedules of faults", async () => {
  console.log(`first seed ${FIRST}, ${COUNT} schedules`);
  let runs = 0;
  for (let seed = FIRST; seed < FIRST + COUNT; seed++) {
    const cluster = new SimulatedCluster(seed);
    await cluster.run();
    runs += cluster.rules.runs.length;
  }
  if (runs < COUNT) throw new Error(`only ${runs} promotions in ${COUNT} schedules`);
});
