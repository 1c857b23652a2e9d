import { assertEquals } from "@std/assert";
import { changeIn, isChange, recordOfChange } from "./change.ts";

const MADE = {
  id: "20261121-030000.000-reload",
  time: Date.UTC(2026, 10, 21, 3),
  version: "1.2.3",
};

Deno.test("a reload that changes something and an upgrade are changes; what changes nothing is none", () => {
  const by = "ann";
  const reload = changeIn({ type: "config.reloaded", by, changes: ["hold 1s → 2s"] });
  assertEquals(reload, { kind: "reload", by, reason: "hold 1s → 2s", changes: ["hold 1s → 2s"] });
  const from = { from: "1.0.0", fromPid: 1, to: "1.1.0", toPid: 2 };
  const upgrade = changeIn({ type: "upgrade.tookOver", ...from });
  assertEquals(upgrade?.reason, "from 1.0.0 (process 1) to 1.1.0 (process 2)");
  assertEquals(changeIn({ type: "config.reloaded", by, changes: [] }), undefined);
  assertEquals(changeIn({ type: "config.refused", by, errors: ["no"] }), undefined);
  assertEquals(changeIn({ type: "upgrade.failed", reason: "no" }), undefined);
});

Deno.test("a change of thousands of lines has a short sentence and a bounded record", () => {
  const changes = Array.from({ length: 5_000 }, (_, at) => `service s${at} goes`);
  const change = changeIn({ type: "config.reloaded", by: "ann", changes })!;
  assertEquals(change.reason, "service s0 goes; service s1 goes; service s2 goes; 4997 more");
  const record = recordOfChange(change, MADE);
  assertEquals([record.changes!.length, record.changes!.at(-1)], [101, "4900 more"]);
  assertEquals([record.service, record.began, isChange(record)], [
    ...["", "2026-11-21T03:00:00.000Z"],
    true,
  ]);
  assertEquals(isChange({ kind: "failover" }), false);
});
