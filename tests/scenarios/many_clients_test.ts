/** Many clients during a failover, of which none is lost. */
import { assertEquals } from "@std/assert";
import { startWithBlockingTrigger } from "../harness/blocking_trigger.ts";
import { startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";

const CLIENTS = 1_000;

scenario(
  `${CLIENTS} clients that connect during a failover are all served by the backup`,
  async (relay) => {
    await using service = await startWithBlockingTrigger({ ...relay, "hold": "1m" });
    const { proxy, primary } = service;

    await primary.kill();
    let connected = 0;
    const half = Promise.withResolvers<void>();
    const answers = Array.from({ length: CLIENTS }, async () => {
      const conn = await proxy.connect();
      if (++connected === CLIENTS / 2) half.resolve();
      await conn.say("who");
      const answer = await conn.line();
      conn.close();
      return answer;
    });
    await Promise.all([half.promise, proxy.event("trigger.started", { epoch: 2 })]);
    await service.endTrigger();

    assertEquals(await Promise.all(answers), Array(CLIENTS).fill("backup"));
  },
);

scenario(
  "clients that connect all the time are all served while primary and backup are killed in turn",
  async (relay) => {
    // Servers that send first: whatever happens to a client happens before any byte was relayed.
    await using primary = await startUpstream({ says: "primary", greets: true });
    await using backup = await startUpstream({ says: "backup", greets: true });
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: { ...relay, "hold": "1m", "hold-while": "down" },
    });

    const answers: (string | undefined)[] = [];
    let stop = false;
    const clients = Array.from({ length: 20 }, async () => {
      while (!stop) {
        const conn = await proxy.connect();
        // Clients that failed are found among the answers at the end.
        answers.push(await conn.line().catch(String));
        conn.close();
      }
    });
    let last = await proxy.event("promotion.finished");
    for (
      const [dying, heir] of [[primary, backup], [backup, primary], [primary, backup]] as const
    ) {
      await dying.kill();
      last = await proxy.event("promotion.finished", { to: heir.name }, last);
      await dying.restart();
      await proxy.event("upstream.up", { upstream: dying.name }, last);
    }
    stop = true;
    await Promise.all(clients);

    assertEquals(answers.filter((answer) => answer !== "primary" && answer !== "backup"), []);
    assertEquals(new Set(answers).size, 2);
  },
);
