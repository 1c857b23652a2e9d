import { assertEquals } from "@std/assert";
import { configReport, lastReloadWorked } from "./config_state.ts";

const CONFIG = { hash: "abc", readAt: 5_900 };
const LAST = { at: 9_100, by: "ann", changes: [], errors: ["Unknown key x"] } as const;

Deno.test("before the first reload the config of the start is in force, and nothing was refused", () => {
  assertEquals(configReport(CONFIG), { hash: "abc", read_unix: 5, last_reload: null });
  assertEquals(lastReloadWorked(CONFIG), true);
});

Deno.test("a reload is reported with its time, its outcome and why", () => {
  const refused = { ...CONFIG, lastReload: { ...LAST, outcome: "refused" } } as const;
  assertEquals(configReport(refused), {
    ...{ hash: "abc", read_unix: 5 },
    last_reload: {
      ...{ time_unix: 9, by: "ann", outcome: "refused", changes: [] },
      errors: ["Unknown key x"],
    },
  });
  const outcomes = (["refused", "applied", "unchanged"] as const).map((outcome) =>
    lastReloadWorked({ ...CONFIG, lastReload: { ...LAST, outcome } })
  );
  assertEquals(outcomes, [false, true, true]);
});
