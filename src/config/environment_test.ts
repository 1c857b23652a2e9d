/** Options from environment variables, and variables that only have the same prefix. */
import { assertEquals } from "@std/assert";
import { readEnvironment } from "./environment.ts";

Deno.test("prefixed and general names are distinguished, and an empty variable counts as unset", () => {
  const { own, general, warnings } = readEnvironment({
    FAILOVER_HOLD: "5s",
    HOSTS: "a:1,b:1",
    FAILOVER_CHECK_INTERVAL: "",
    HOME: "/root",
  });
  assertEquals([...own.entries], [["hold", {
    written: "5s",
    origin: "environment FAILOVER_HOLD",
  }]]);
  assertEquals([...general.entries.keys()], ["hosts"]);
  assertEquals([own.shared, general.shared, warnings], [false, true, []]);
});

Deno.test("variables of container links and of our own programs are not options, and an unknown one is a warning", () => {
  const { own, warnings } = readEnvironment({
    FAILOVER_SERVICE_HOST: "10.0.0.1",
    FAILOVER_PORT: "tcp://10.0.0.1:80",
    FAILOVER_PORT_80_TCP_ADDR: "10.0.0.1",
    FAILOVER_ACTIVE: "db1:5432",
    FAILOVER_HODL: "5s",
  });
  assertEquals(own.entries.size, 0);
  assertEquals(warnings, [
    "Unknown environment variable FAILOVER_HODL; did you mean FAILOVER_HOLD?",
  ]);
});
