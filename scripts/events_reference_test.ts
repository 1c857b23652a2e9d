import { assert, assertEquals, assertMatch } from "@std/assert";
import { eventMembers, eventsMarkdown, metricsMarkdown } from "./events_reference.ts";

const SOURCE = new URL("../src/events/events.ts", import.meta.url);

Deno.test("the members of a union are read with their fields", () => {
  const source = `export type Event =
  // One
  | { type: "a.b"; reason: string }
  /** Sent
   * once. */
  | {
    type: "c.d";
    /** How long. */
    tookMs: number;
    reasons: readonly { readonly upstream: string; readonly reason: string }[];
  };

`;
  assertEquals(eventMembers(source), [
    { type: "a.b", fields: [{ name: "reason", type: "string" }], comment: "" },
    {
      type: "c.d",
      fields: [
        { name: "tookMs", type: "number" },
        {
          name: "reasons",
          type: "readonly { readonly upstream: string; readonly reason: string }[]",
        },
      ],
      comment: "Sent once.",
    },
  ]);
});

Deno.test("every event has a row, and its line shows its fields by name", async () => {
  const table = eventsMarkdown(await Deno.readTextFile(SOURCE));
  assertMatch(table, /\| `upstream\.down` \| warn \| .*UPSTREAM is down: REASON \|/);
  assert(!/undefined|NaN|\[object/.test(table), table);
});

Deno.test("every metric of a scrape has a row", async () => {
  const table = await metricsMarkdown();
  assertMatch(table, /\| `failover_upstream_up` \| gauge \| `service`, `upstream`, `rank` \|/);
  assertMatch(table, /\| `failover_clients_accepted_total` \| counter \| `service` \|/);
  assertMatch(table, /\| `failover_promotions_total` \| counter \|/);
});
