import { assert, assertEquals } from "@std/assert";
import {
  type CheckVariables,
  PROGRAM_VARIABLES,
  type TriggerVariables,
} from "./program_variables.ts";

Deno.test("each variable belongs to a program, and has its name and its words", () => {
  for (const [name, { check, trigger, help }] of Object.entries(PROGRAM_VARIABLES)) {
    assert(/^FAILOVER_[A-Z_]+$/.test(name), name);
    assert(check || trigger, name);
    assert(help.length > 0 && !/[.\n]$/.test(help), name);
  }
});

Deno.test("the types of both environments follow from the table", () => {
  const check: CheckVariables = {
    FAILOVER_SERVICE: "db",
    FAILOVER_EPOCH: "1",
    FAILOVER_ACTIVE: "",
    FAILOVER_PHASE: "serving",
  };
  const trigger: TriggerVariables = {
    FAILOVER_SERVICE: "db",
    FAILOVER_EPOCH: "1",
    FAILOVER_FENCE: "9",
    FAILOVER_EVENT: "failover",
    FAILOVER_EVENT_ID: "x-1",
    FAILOVER_FROM: "",
    FAILOVER_TO: "a:1",
    FAILOVER_REASON: "why",
  };
  const named = (whose: "check" | "trigger") =>
    Object.entries(PROGRAM_VARIABLES).filter(([, row]) => row[whose]).map(([name]) => name);
  assertEquals([Object.keys(check), Object.keys(trigger)], [named("check"), named("trigger")]);
});
