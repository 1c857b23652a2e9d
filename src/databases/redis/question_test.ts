import { assertEquals } from "@std/assert";
import { redisReport } from "./question.ts";
import { RedisError, type RedisReply } from "./resp.ts";

function report(role: RedisReply, lines: readonly string[] = [], ping: RedisReply = "PONG") {
  return redisReport({ ping, role, info: ["# Replication", ...lines, ""].join("\r\n") });
}

const SLAVE = ["slave", "db1", 6379, "connected", 100];

Deno.test("a master says how far it has written", () => {
  assertEquals(report(["master", 5, []], ["master_repl_offset:5"]), {
    role: "primary",
    phase: "running",
    readOnly: false,
    position: 5,
  });
});

Deno.test("a replica says how far it is, and how long its master was silent", () => {
  const facts = ["slave_repl_offset:100", "slave_read_only:1"];
  assertEquals(report(SLAVE, [...facts, "master_link_status:up", "master_last_io_seconds_ago:3"]), {
    role: "standby",
    phase: "running",
    readOnly: true,
    position: 100,
    lagSeconds: 3,
  });
  const down = ["master_link_status:down", "master_link_down_since_seconds:9"];
  const alone = report(SLAVE, [...facts, ...down]);
  assertEquals([alone.role, alone.lagSeconds, alone.reason], [
    "standby",
    9,
    "it has lost its master",
  ]);
  const named = ["master_host:DB1", "master_port:6379"];
  assertEquals(report(SLAVE, [...facts, ...down, ...named]).source, "db1:6379");
});

Deno.test("a replica without a whole copy of its master is starting", () => {
  const down = ["master_link_status:down"];
  for (
    const facts of [
      [...down, "slave_repl_offset:1", "master_link_down_since_seconds:-1"],
      [...down, "slave_repl_offset:500", "master_sync_in_progress:1"],
    ]
  ) {
    assertEquals(report(SLAVE, facts).phase, "starting");
  }
});

Deno.test("a replica of a master to which nobody has written has a whole copy", () => {
  const facts = [
    "master_link_status:down",
    "slave_repl_offset:0",
    "master_link_down_since_seconds:0",
  ];
  assertEquals(report(SLAVE, facts).phase, "running");
});

Deno.test("a server that loads is starting, and one that hides its role is alive", () => {
  const loading = new RedisError("LOADING Redis is loading the dataset in memory");
  assertEquals(report(SLAVE, [], loading).phase, "starting");
  const hidden = report(new RedisError("NOAUTH Authentication required."));
  assertEquals([hidden.role, hidden.phase], ["unknown", "running"]);
  assertEquals(hidden.reason, "NOAUTH Authentication required.");
  assertEquals(report(["sentinel", []]).reason, "it is a Sentinel, which keeps no data");
  assertEquals(report("what").reason, "it does not know ROLE");
});
